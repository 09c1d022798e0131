// One attempt of a job in this worker, and the context that its handler sees.

import { JobAborted } from "./errors.js";
import { lineText, noteText, progressMember } from "./protocol.js";

/**
 * Lines that wait to be sent, per attempt. When there are more, the oldest are dropped and their number is logged. With
 * the line that says so, they are as many as one note may have.
 */
const MAX_LINES = 999;
const MAX_LINES_CHARS = 128 * 1024;
/** The server cuts lines at 8 KiB; what is far behind that is not sent. */
const MAX_LINE_CHARS = 9_000;

const STREAMS = ["log", "stdout", "stderr"];

export class Attempt {
  /** @type {string} */
  lease;
  job;
  /** Whether somebody has asked to cancel the job. */
  isCancelled = false;
  /** Whether the outcome no longer counts: it was reported, the lease is lost, or the job was given back. */
  isOver = false;
  /** Created when the handler asks for its signal: most handlers do not. @type {AbortController | undefined} */
  #controller;
  /** @type {JobAborted | undefined} */
  #aborted;
  #onNote;
  /** @type {string[]} */
  #lines = [];
  #linesChars = 0;
  #dropped = 0;
  #progress;

  /** @param {object} lease an entry of `leases` @param {(attempt: Attempt) => void} onNote called when there is something to send */
  constructor({ lease, job }, onNote) {
    this.lease = lease;
    this.job = job;
    this.#onNote = onNote;
  }

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  /** About how long its notes are that were not sent yet. */
  get notesChars() {
    return this.#linesChars;
  }

  /** Tells the handler to stop. @param {"cancelled" | "lost" | "stopping"} why */
  abort(why) {
    if (this.#aborted !== undefined) return;
    this.#aborted = new JobAborted(why);
    this.#controller?.abort(this.#aborted);
  }

  log(text, stream) {
    if (this.isOver) return;
    const at = new Date().toISOString();
    for (const line of String(text).split(/\r?\n/)) this.#addLine(lineText({ text: line.slice(0, MAX_LINE_CHARS), stream, at }));
    this.#onNote(this);
  }

  progress(progress) {
    if (this.isOver) return;
    this.#progress = progress;
    this.#onNote(this);
  }

  #addLine(line) {
    this.#lines.push(line);
    this.#linesChars += line.length;
    while (this.#lines.length > MAX_LINES || (this.#linesChars > MAX_LINES_CHARS && this.#lines.length > 1)) {
      this.#linesChars -= this.#lines.shift().length;
      this.#dropped++;
    }
  }

  /** Takes the notes that were not sent yet. @returns {Notes | undefined} */
  takeNotes() {
    if (this.#lines.length === 0 && this.#progress === undefined) return undefined;
    const lines = this.#lines;
    const count = this.#dropped;
    if (count > 0) lines.unshift(lineText({ text: `(${count} lines were dropped because they could not be sent in time)` }));
    const notes = new Notes(this, lines, this.#progress);
    this.#lines = [];
    this.#linesChars = 0;
    this.#dropped = 0;
    this.#progress = undefined;
    return notes;
  }

  /** Puts notes back whose arrival is not certain. @param {Notes} notes */
  returnNotes({ lines, progress }) {
    const newer = this.#lines;
    this.#lines = [];
    this.#linesChars = 0;
    for (const line of [...lines, ...newer]) this.#addLine(line);
    this.#progress ??= progress;
  }
}

/** Lines and progress of one attempt, on their way to the server. */
class Notes {
  constructor(attempt, lines, progress) {
    this.attempt = attempt;
    this.lines = lines;
    this.progress = progress;
    this.text = noteText(attempt.lease, { lines, progress });
  }
}

/** What a handler sees of its attempt. */
export class Context {
  #attempt;

  /** @param {Attempt} attempt */
  constructor(attempt) {
    this.#attempt = attempt;
  }

  /** The job, with the names of the API. */
  get job() {
    return this.#attempt.job;
  }

  /** The number of this attempt, from 1. */
  get attempt() {
    return this.#attempt.job.attempt;
  }

  /** Aborted when the job is cancelled, its lease is lost, or the worker stops; its reason is a `JobAborted`. */
  get signal() {
    return this.#attempt.signal;
  }

  /** Whether somebody has asked to cancel the job. */
  get cancelled() {
    return this.#attempt.isCancelled;
  }

  /** Adds lines to the log of the job. They are sent in the background. */
  log(text, { stream } = {}) {
    if (stream !== undefined && !STREAMS.includes(stream)) throw new TypeError(`the stream of a line is one of ${STREAMS.join(", ")}`);
    this.#attempt.log(text, stream);
  }

  /** Reports how far the job is. */
  progress(done, total, message) {
    this.#attempt.progress(progressMember(done, total, message));
  }
}
