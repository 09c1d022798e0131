// What the worker has to tell the server: settles, which are kept until the server has confirmed them, and notes.

import { MAX_ENTRIES, settleText, updateMembers } from "./protocol.js";

/** The longest update, unless a single settle is longer, which then goes alone: the server limits messages to 2 MiB. */
const FULL_CHARS = 256 * 1024;

/** The report that an attempt has ended. */
class Settle {
  /** Whether it reports that the server has refused the actual outcome. */
  isReplacement = false;
  /** Whether the server has refused a message that contained it. It then travels alone, to find the wrong one. */
  isSuspect = false;

  constructor(attempt, text) {
    this.attempt = attempt;
    this.text = text;
  }
}

/** What one update contains, apart from the extensions of leases. */
class Batch {
  /** @type {Settle[]} */
  settles = [];
  notes = [];
  free = 0;

  /** The members of the message. @param {{extend?: string[], leaseMs?: number}} extensions */
  members({ extend, leaseMs } = {}) {
    const notes = this.notes.map((note) => note.text);
    const settles = this.settles.map((settle) => settle.text);
    return updateMembers({ extend, leaseMs, notes, settles, free: this.free });
  }
}

export class Outbox {
  /** Settles that the server has not confirmed, by lease. @type {Map<string, Settle>} */
  #unconfirmed = new Map();
  /** Those of them that are not in a message on its way. @type {Settle[]} */
  #unsent = [];
  /** Attempts with notes that were not sent. */
  #noted = new Set();
  #onEmpty = [];
  /** The number of slots that have become free since the server was told. */
  #freed = 0;
  #givesCredit = true;
  #logger;

  constructor(logger) {
    this.#logger = logger;
  }

  /** The number of settles that are not confirmed. */
  get size() {
    return this.#unconfirmed.size;
  }

  /** The leases of these settles: the worker still holds them. */
  leases() {
    return [...this.#unconfirmed.keys()];
  }

  /** Adds the report of an ended attempt. */
  settle(attempt, text) {
    const settle = new Settle(attempt, text);
    this.#unconfirmed.set(attempt.lease, settle);
    this.#unsent.push(settle);
  }

  /** Notices that an attempt has notes. */
  note(attempt) {
    this.#noted.add(attempt);
  }

  /** Forgets the notes of an attempt whose lease is lost. */
  forgetNotes(attempt) {
    this.#noted.delete(attempt);
  }

  addFreeSlot() {
    if (this.#givesCredit) this.#freed++;
  }

  /** From now on, updates give no credit: the worker stops, or claims its jobs. */
  endCredit() {
    this.#givesCredit = false;
    this.#freed = 0;
  }

  /** Forgets the free slots, because the server has just been told how many there are. */
  resetFreeSlots() {
    this.#freed = 0;
  }

  /** Takes what the next update contains, or nothing if there is nothing to tell. @returns {Batch | undefined} */
  take() {
    if (this.#unsent.length === 0 && this.#noted.size === 0 && this.#freed === 0) return undefined;
    const batch = new Batch();
    batch.free = this.#freed;
    this.#freed = 0;
    let chars = 0;
    let count = 0;
    while (count < this.#unsent.length && count < MAX_ENTRIES) {
      const settle = this.#unsent[count];
      chars += settle.text.length + settle.attempt.notesChars;
      if (count > 0 && (chars > FULL_CHARS || settle.isSuspect || this.#unsent[0].isSuspect)) break;
      count++;
      batch.settles.push(settle);
      // The server applies notes before settles, so the last lines of an attempt go into the same message.
      if (this.#noted.delete(settle.attempt)) takeNotes(settle.attempt, batch);
    }
    this.#unsent = count === this.#unsent.length ? [] : this.#unsent.slice(count);
    const isProbe = batch.settles[0]?.isSuspect === true;
    for (const attempt of isProbe ? [] : this.#noted) {
      if (this.#unconfirmed.has(attempt.lease)) continue; // they go with its settle
      chars += attempt.notesChars;
      const isEmpty = batch.settles.length === 0 && batch.notes.length === 0;
      if (batch.notes.length >= MAX_ENTRIES || (chars > FULL_CHARS && !isEmpty)) break;
      this.#noted.delete(attempt);
      takeNotes(attempt, batch);
    }
    return batch;
  }

  /** Puts a batch back that the server may not have received. */
  putBack(batch) {
    this.#unsent = [...batch.settles.filter((settle) => this.#unconfirmed.get(settle.attempt.lease) === settle), ...this.#unsent];
    for (const note of batch.notes) {
      const { attempt } = note;
      if (attempt.isOver && !this.#unconfirmed.has(attempt.lease)) continue;
      attempt.returnNotes(note);
      this.#noted.add(attempt);
    }
  }

  /** Reads the server's answers to settles. */
  confirm(answers = []) {
    for (const { lease, status, detail } of answers) {
      const settle = this.#unconfirmed.get(lease);
      if (settle === undefined) continue;
      this.#unconfirmed.delete(lease);
      if (status === "settled") continue;
      if (status === "invalid") this.#replace(settle, detail ?? "invalid");
      else this.#logger.warn(`cortado: the outcome of job ${settle.attempt.job.id} came too late: its lease is ${status}`);
    }
    this.#checkEmpty();
  }

  /** Replaces settles that the server has refused. @param {Settle[]} settles @param {string} detail */
  refuse(settles, detail) {
    for (const settle of settles) {
      if (this.#unconfirmed.get(settle.attempt.lease) !== settle) continue;
      this.#unconfirmed.delete(settle.attempt.lease);
      this.#unsent = this.#unsent.filter((other) => other !== settle);
      this.#replace(settle, detail);
    }
    this.#checkEmpty();
  }

  /**
   * Handles a batch that the server has refused because of something in it. A settle that was alone in it is replaced;
   * several are sent one by one, and notes are dropped.
   * @param {Batch} batch @param {string} detail
   */
  refuseBatch(batch, detail) {
    if (this.#givesCredit) this.#freed += batch.free;
    if (batch.settles.length === 1 && batch.notes.length === 0) return this.refuse(batch.settles, detail);
    for (const settle of batch.settles) settle.isSuspect = true;
    this.putBack({ settles: batch.settles, notes: [] });
  }

  /** Replaces the longest settle, because a message was too big for the server. @param {string} detail */
  refuseLongest(detail) {
    const all = [...this.#unconfirmed.values()].filter((settle) => !settle.isReplacement);
    if (all.length === 0) return;
    this.refuse([all.reduce((longest, settle) => (settle.text.length > longest.text.length ? settle : longest))], detail);
  }

  /** The job would run until its lease expires, and then again, with the same end: so it fails instead. */
  #replace({ attempt, isReplacement }, detail) {
    this.#logger.error(`cortado: the server refused the outcome of job ${attempt.job.id}: ${detail}`);
    if (isReplacement) return;
    this.settle(attempt, settleText.retry(attempt.lease, `the server refused the outcome of this attempt: ${detail}`));
    this.#unconfirmed.get(attempt.lease).isReplacement = true;
  }

  /** Waits until every settle is confirmed. @returns {Promise<void>} */
  whenEmpty() {
    if (this.#unconfirmed.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  #checkEmpty() {
    if (this.#unconfirmed.size > 0 || this.#onEmpty.length === 0) return;
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }
}

/** Moves the notes of an attempt into a batch. */
function takeNotes(attempt, batch) {
  const notes = attempt.takeNotes();
  if (notes !== undefined) batch.notes.push(notes);
}
