// The attempts that this worker runs: starts handlers, turns how they end into settles, and tells them to stop.

import { inspect } from "node:util";

import { Attempt, Context } from "./attempt.js";
import { Discard, Retry, Snooze } from "./errors.js";
import { settleText } from "./protocol.js";

/** A longer description of an error is cut. */
const MAX_ERROR_CHARS = 16_000;
const MAX_CAUSES = 5;

/**
 * @typedef {object} Listener
 * @property {() => void} onSettled called when there is a settle to send, or a slot has become free
 * @property {() => void} onNoted called when there are notes to send
 */

export class Attempts {
  #handlers;
  #concurrency;
  #outbox;
  #logger;
  /** @type {Listener} */
  #listener;
  /** Attempts whose lease the worker holds, by lease. @type {Map<string, Attempt>} */
  #held = new Map();
  /** The number of handlers that are running, with those whose outcome no longer counts. */
  #busy = 0;
  #onIdle = [];
  #isRefusing = false;
  #onNote = (attempt) => {
    this.#outbox.note(attempt);
    this.#listener.onNoted();
  };

  /**
   * @param {{handlers: Map<string, Function>, concurrency: number, outbox: import("./outbox.js").Outbox, logger: Console}} parts
   */
  constructor({ handlers, concurrency, outbox, logger }) {
    this.#handlers = handlers;
    this.#concurrency = concurrency;
    this.#outbox = outbox;
    this.#logger = logger;
  }

  /** @param {Listener} listener */
  listen(listener) {
    this.#listener = listener;
  }

  /** The number of handlers that are running. */
  get busy() {
    return this.#busy;
  }

  /** The number of further jobs that the worker can take. */
  get free() {
    return this.#isRefusing ? 0 : Math.max(0, this.#concurrency - this.#busy);
  }

  /** The leases of running attempts. */
  leases() {
    return [...this.#held.keys()];
  }

  /** Starts the handlers of jobs that have arrived. @param {object[]} leases */
  start(leases = []) {
    for (const lease of leases) {
      // A repeated message must not run a job twice.
      if (!this.#held.has(lease.lease)) this.#start(new Attempt(lease, this.#onNote));
    }
  }

  #start(attempt) {
    if (this.#isRefusing) return this.#report(attempt, settleText.returned(attempt.lease));
    const handler = this.#handlers.get(attempt.job.kind);
    this.#held.set(attempt.lease, attempt);
    this.#busy++;
    try {
      if (handler === undefined) throw new Error(`this worker has no handler for the kind ${attempt.job.kind}`);
      const result = handler(attempt.job.payload, new Context(attempt));
      if (typeof result?.then === "function") {
        result.then(
          (value) => this.#completed(attempt, value),
          (error) => this.#failed(attempt, error),
        );
      } else {
        this.#completed(attempt, result);
      }
    } catch (error) {
      this.#failed(attempt, error);
    }
  }

  #completed(attempt, result) {
    let text;
    try {
      if (!attempt.isOver) text = settleText.done(attempt.lease, result);
    } catch (error) {
      return this.#failed(attempt, new Error(`the result cannot be written as JSON: ${error.message}`));
    }
    this.#ended(attempt, text);
  }

  #failed(attempt, error) {
    this.#ended(attempt, attempt.isOver ? undefined : failureText(attempt, error));
  }

  #ended(attempt, text) {
    this.#busy--;
    this.#outbox.addFreeSlot();
    this.#held.delete(attempt.lease);
    if (attempt.isOver) this.#listener.onSettled();
    else this.#report(attempt, text);
    if (this.#busy === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #report(attempt, text) {
    attempt.isOver = true;
    this.#outbox.settle(attempt, text);
    this.#listener.onSettled();
  }

  /** Tells a handler that its job is to be cancelled. @param {string} lease */
  cancel(lease) {
    const attempt = this.#held.get(lease);
    if (attempt === undefined || attempt.isCancelled) return;
    attempt.isCancelled = true;
    attempt.abort("cancelled");
  }

  /** Tells a handler that the worker no longer holds its lease; its outcome is not reported. @param {string} lease */
  lose(lease) {
    const attempt = this.#held.get(lease);
    if (attempt === undefined) return;
    this.#logger.warn(`cortado: the lease of job ${attempt.job.id} is lost`);
    this.#drop(attempt, "lost");
  }

  #drop(attempt, why) {
    this.#held.delete(attempt.lease);
    attempt.isOver = true;
    this.#outbox.forgetNotes(attempt);
    attempt.abort(why);
  }

  /** Reads the server's answers about leases. @param {{lease: string, status: string}[]} answers */
  obey(answers = []) {
    for (const { lease, status } of answers) {
      if (status === "cancel") this.cancel(lease);
      else if (status === "lost") this.lose(lease);
    }
  }

  /** Gives jobs that still arrive back unrun. */
  refuseMore() {
    this.#isRefusing = true;
  }

  /** Gives back every job that is still running, and tells its handler. */
  giveBack() {
    for (const attempt of [...this.#held.values()]) {
      this.#held.delete(attempt.lease);
      this.#report(attempt, settleText.returned(attempt.lease));
      attempt.abort("stopping");
    }
  }

  /** Tells every handler that its lease is lost. */
  loseAll() {
    for (const attempt of [...this.#held.values()]) this.#drop(attempt, "lost");
  }

  /** Waits until no handler is running. @returns {Promise<void>} */
  whenIdle() {
    if (this.#busy === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }
}

function failureText(attempt, error) {
  const { lease } = attempt;
  if (attempt.isCancelled) return settleText.cancelled(lease);
  if (error instanceof Snooze) return settleText.snooze(lease, error.delayMs);
  if (error instanceof Discard) return settleText.discard(lease, described(error.message, error));
  if (error instanceof Retry) return settleText.retry(lease, described(error.message, error), error.afterMs);
  return settleText.retry(lease, described(stackOf(error), error));
}

/** Describes an error with what caused it. */
function described(text, error) {
  let description = text || "the handler failed without a message";
  for (let cause = error?.cause, depth = 0; cause !== undefined && depth < MAX_CAUSES; cause = cause?.cause, depth++) {
    description += `\ncaused by: ${stackOf(cause)}`;
  }
  return description.slice(0, MAX_ERROR_CHARS);
}

/** Anything can be thrown. */
function stackOf(thrown) {
  if (thrown instanceof Error && typeof thrown.stack === "string") return thrown.stack;
  return typeof thrown === "string" ? thrown : inspect(thrown);
}
