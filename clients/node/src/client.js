// Submits jobs, waits for them, reads and cancels them, and subscribes to events.

import { randomUUID } from "node:crypto";

import { sleep } from "./backoff.js";
import { WaitTimeoutError } from "./errors.js";
import { Subscription } from "./events.js";
import { Http } from "./http.js";

/** How long one request waits for a job; the server allows a minute (`http.max_wait`). */
const WAIT_MS = 30_000;
/** A response may take this much longer than the wait that was asked for. */
const WAIT_MARGIN_MS = 15_000;

/** How long `wait` pauses after an answer that came before its time. */
const EARLY_MS = 500;

const FINAL_STATES = new Set(["completed", "discarded", "cancelled"]);

/** A connection to one server. It keeps no state but its HTTP connections, which do not keep the process alive. */
export class Client {
  #http;

  /** @param {string | URL} url @param {import("../index.d.ts").ClientOptions} [options] */
  constructor(url, options = {}) {
    this.#http = new Http(url, options);
  }

  /**
   * Submits a job and returns it as soon as it is on disk, or with `waitMs` once it is final or this time has passed.
   * Without an idempotency key it gets a random one, so that it can be repeated safely when the response is lost.
   */
  async submit(kind, payload, options = {}) {
    const { signal, waitMs, ...fields } = options;
    const wait = waitMs > 0 ? `?wait=${Math.ceil(waitMs)}ms` : "";
    const body = JSON.stringify(submission({ kind, payload, ...fields }));
    return this.#http.json("POST", `/api/v1/jobs${wait}`, { body, signal, timeoutMs: waitTimeout(waitMs) });
  }

  /** Submits many jobs, all or none, and returns them in order. */
  async submitMany(jobs, { signal } = {}) {
    const submissions = Array.from(jobs, submission);
    if (submissions.length === 0) return [];
    const body = JSON.stringify(submissions);
    return (await this.#http.json("POST", "/api/v1/jobs", { body, signal })).jobs;
  }

  /** Reads one job. */
  async get(id, { signal } = {}) {
    return this.#http.json("GET", `/api/v1/jobs/${encodeURIComponent(id)}`, { signal });
  }

  /** Waits until a job is final and returns it; throws `WaitTimeoutError` after `timeoutMs` (default: never). */
  async wait(id, { timeoutMs = Infinity, signal } = {}) {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const waitMs = Math.max(1, Math.ceil(Math.min(WAIT_MS, end - performance.now())));
      const askedAt = performance.now();
      const path = `/api/v1/jobs/${encodeURIComponent(id)}?wait=${waitMs}ms`;
      const job = await this.#http.json("GET", path, { signal, timeoutMs: waitTimeout(waitMs) });
      if (FINAL_STATES.has(job.state)) return job;
      if (performance.now() >= end) throw new WaitTimeoutError(job);
      // A server that is stopping answers at once.
      if (performance.now() - askedAt < waitMs / 2) await sleep(EARLY_MS * (0.5 + Math.random() / 2), signal);
    }
  }

  /** Cancels a job: a waiting one at once, a running one as soon as its handler stops. Returns its status. */
  async cancel(id, { signal } = {}) {
    return this.#http.json("POST", `/api/v1/jobs/${encodeURIComponent(id)}/cancel`, { signal, repeat: "unprocessed" });
  }

  /** Iterates over the events after a cursor, or from now on; reconnects by itself. */
  subscribe(options = {}) {
    return new Subscription(this.#http, options);
  }

  /** Closes the HTTP connections. */
  close() {
    this.#http.close();
  }
}

function waitTimeout(waitMs) {
  return waitMs > 0 ? waitMs + WAIT_MARGIN_MS : undefined;
}

/** Translates the options of a submission into the names of the API. */
function submission({ kind, payload = null, backoff, ...options }) {
  const { queue, priority, delayMs, runAt, maxAttempts, timeoutMs, idempotencyKey = randomUUID(), tags, ...unknown } = options;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new TypeError(`unknown option of a submission: ${name}`);
  return {
    kind,
    payload,
    queue,
    priority,
    delay_ms: delayMs,
    run_at: runAt instanceof Date ? runAt.toISOString() : runAt,
    max_attempts: maxAttempts,
    backoff: backoff && { base_ms: backoff.baseMs, cap_ms: backoff.capMs },
    timeout_ms: timeoutMs,
    idempotency_key: idempotencyKey,
    tags,
  };
}
