// A worker over plain requests: a long poll claims jobs, and another request extends, notes and settles.

import { sleep } from "./backoff.js";
import { CortadoError } from "./errors.js";
import { MAX_CLAIM, MAX_ENTRIES, claimBody, updateMembers, workerPaths } from "./protocol.js";
import { RetryDelays, isFatal } from "./refusals.js";

/** How long a claim waits for a job. */
const WAIT_MS = 20_000;
/** A response may take this much longer. */
const MARGIN_MS = 15_000;
/** How long notes wait for others, and for a settle. */
const NOTE_MS = 100;
/** How soon a quieted worker asks again, and one whose claim was answered without jobs before its time. */
const EARLY_MS = 2_000;
/** With more unconfirmed settles than this, no further jobs are claimed until the server has confirmed some. */
const MAX_UNCONFIRMED = 2_000;
/** How long the last request of a worker may take. */
const SIGN_OFF_MS = 3_000;

export class HttpTransport {
  #http;
  #worker;
  #attempts;
  /** @type {import("./outbox.js").Outbox} */
  #outbox;
  #claimDelays;
  #updateDelays;
  #logger;
  #onStopCommand;
  #paths;
  /** Aborted when no more jobs are to be claimed. */
  #claims = new AbortController();
  /** Aborted when the transport ends. */
  #end = new AbortController();
  /** Ends the wait of the claim loop for a free slot. */
  #wakeClaim = () => {};
  #isSending = false;
  #isExtendDue = false;
  #noteTimer;

  constructor({ http, worker, attempts, outbox, reconnect, logger, onStopCommand }) {
    this.#http = http;
    this.#worker = worker;
    this.#attempts = attempts;
    this.#outbox = outbox;
    this.#claimDelays = new RetryDelays(reconnect, logger);
    this.#updateDelays = new RetryDelays(reconnect, logger);
    this.#logger = logger;
    this.#onStopCommand = onStopCommand;
    this.#paths = workerPaths(worker.name);
    outbox.endCredit(); // each claim says how many jobs it takes
    attempts.listen({ onSettled: () => this.#settled(), onNoted: () => this.#noted() });
  }

  /** Claims jobs until `stopClaiming`, and returns after `signOff`. */
  async run() {
    const ended = new Promise((resolve) => this.#end.signal.addEventListener("abort", resolve, { once: true }));
    const heartbeat = setInterval(() => {
      this.#isExtendDue = true;
      this.#planSend();
    }, this.#worker.leaseMs / 3);
    try {
      await this.#claimLoop();
      await ended;
    } finally {
      clearInterval(heartbeat);
      clearTimeout(this.#noteTimer);
      this.#end.abort(new Error("the worker has stopped"));
    }
  }

  async #claimLoop() {
    const { signal } = this.#claims;
    let hasClaimed = false;
    while (!signal.aborted) {
      if (this.#attempts.free === 0 || this.#outbox.size > MAX_UNCONFIRMED) {
        await new Promise((resolve) => {
          this.#wakeClaim = resolve;
        });
        continue;
      }
      try {
        const askedAt = performance.now();
        const answer = await this.#claim(signal);
        hasClaimed = true;
        this.#claimDelays.succeeded();
        this.#attempts.start(answer.leases);
        if (answer.command === "stop") this.#onStopCommand();
        const isEarly = performance.now() - askedAt < EARLY_MS;
        if (answer.leases.length === 0 && isEarly) await sleep(EARLY_MS * (0.5 + Math.random() / 2), signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof CortadoError) || (!hasClaimed && isFatal(error))) throw error;
        await sleep(this.#claimDelays.after(error), signal).catch(() => {});
      }
    }
  }

  #claim(signal) {
    const max = Math.min(this.#attempts.free, MAX_CLAIM);
    const body = claimBody({ ...this.#worker, max, waitMs: WAIT_MS });
    return this.#http.json("POST", this.#paths.claim, { body, signal, timeoutMs: WAIT_MS + MARGIN_MS, repeat: "never" });
  }

  #settled() {
    this.#wakeClaim();
    this.#planSend();
  }

  #noted() {
    this.#noteTimer ??= setTimeout(() => {
      this.#noteTimer = undefined;
      this.#planSend();
    }, NOTE_MS);
  }

  /** Sends what is ready at the end of this turn of the event loop, or after the request that is on its way. */
  #planSend() {
    if (this.#isSending) return;
    this.#isSending = true;
    setImmediate(() => this.#send());
  }

  async #send() {
    for (;;) {
      const batch = this.#outbox.take();
      const leases = this.#isExtendDue ? this.#attempts.leases() : [];
      if ((batch === undefined && leases.length === 0) || this.#end.signal.aborted) break;
      this.#isExtendDue = false;
      await this.#update(batch, leases.slice(0, MAX_ENTRIES));
      for (let at = MAX_ENTRIES; at < leases.length; at += MAX_ENTRIES) await this.#update(undefined, leases.slice(at, at + MAX_ENTRIES));
    }
    this.#isSending = false;
  }

  async #update(batch, extend) {
    const { signal } = this.#end;
    const extensions = { extend, leaseMs: this.#worker.leaseMs };
    const members = batch === undefined ? updateMembers(extensions) : batch.members(extensions);
    try {
      const answer = await this.#http.json("POST", this.#paths.leases, { body: `{${members}}`, signal, repeat: "never" });
      this.#updateDelays.succeeded();
      this.#attempts.obey(answer.extend);
      this.#outbox.confirm(answer.settle);
      this.#wakeClaim();
    } catch (error) {
      if (!(error instanceof CortadoError)) {
        if (!signal.aborted) throw error;
        return;
      }
      if (extend.length > 0) this.#isExtendDue = true;
      this.#notSent(batch, error);
      await sleep(this.#updateDelays.after(error), signal).catch(() => {});
    }
  }

  #notSent(batch, error) {
    if (batch === undefined) return;
    if (error.status === 422) return this.#outbox.refuseBatch(batch, error.detail);
    this.#outbox.putBack(batch);
    if (error.status === 413) this.#outbox.refuseLongest(error.detail);
  }

  /** Ends the claim that waits. If the server has just given it jobs, they are given back at the end. */
  stopClaiming() {
    this.#claims.abort(new Error("the worker is stopping"));
    this.#wakeClaim();
  }

  /** Signs off: what the worker still holds is given back. */
  async signOff() {
    try {
      await this.#http.json("DELETE", this.#paths.worker, { timeoutMs: SIGN_OFF_MS, repeat: "never" });
    } catch (error) {
      if (error.code !== "worker_not_found") this.#logger.warn(`cortado: the worker could not sign off: ${error.message}`);
    }
    this.#end.abort(new Error("the worker has stopped"));
  }
}
