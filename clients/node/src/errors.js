// The errors that this package throws, and those that handlers throw to say how an attempt ended.

/** The code of an error that never reached the server, or got no answer. */
export const UNREACHABLE = "unreachable";

/** An error that the server answered with (RFC 9457 problem details), or a failure to reach it (`unreachable`). */
export class CortadoError extends Error {
  /**
   * @param {{code: string, status?: number, detail: string, errors?: {field: string, message: string}[], retryAfterMs?: number, cause?: unknown}} problem
   */
  constructor({ code, status = 0, detail, errors = [], retryAfterMs, cause }) {
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.name = "CortadoError";
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
  }

  /**
   * Reads a response that is not a success.
   * @param {{status: number, headers: import("node:http").IncomingHttpHeaders, text: string}} response
   */
  static fromResponse({ status, headers, text }) {
    const retryAfterMs = readRetryAfter(headers["retry-after"]);
    const problem = parseProblem(text);
    if (typeof problem?.code !== "string") {
      const detail = text.trim().slice(0, 200) || "the response has no body";
      return new CortadoError({ code: `http_${status}`, status, detail, retryAfterMs });
    }
    const { code, detail = problem.title ?? code, errors = [] } = problem;
    return new CortadoError({ code, status, detail, errors, retryAfterMs });
  }

  /** @param {string} detail @param {unknown} [cause] */
  static unreachable(detail, cause) {
    return new CortadoError({ code: UNREACHABLE, detail, cause });
  }
}

function parseProblem(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date. */
function readRetryAfter(value) {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** The job was not final within the time that `wait` was given. */
export class WaitTimeoutError extends Error {
  /** @param {object} job the job as it was at the end of the wait */
  constructor(job) {
    super(`job ${job.id} is ${job.state} and did not end in time`);
    this.name = "WaitTimeoutError";
    this.job = job;
  }
}

/** Thrown by a handler: the attempt failed, and the next one starts after the backoff, but not before `afterMs`. */
export class Retry extends Error {
  /** @param {string} message @param {{afterMs?: number, cause?: unknown}} [options] */
  constructor(message, { afterMs, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "Retry";
    this.afterMs = afterMs;
  }
}

/** Thrown by a handler: call it again after `delayMs`; this is not a failure. */
export class Snooze extends Error {
  /** @param {number} delayMs */
  constructor(delayMs) {
    super(`snoozed for ${delayMs} ms`);
    this.name = "Snooze";
    this.delayMs = delayMs;
  }
}

/** Thrown by a handler: no attempt can succeed, so the job is discarded. */
export class Discard extends Error {
  /** @param {string} message @param {{cause?: unknown}} [options] */
  constructor(message, { cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "Discard";
  }
}

const ABORT_MESSAGES = {
  cancelled: "the job is being cancelled",
  lost: "the lease of the job is lost; it may be running elsewhere",
  stopping: "the worker stops and has given the job back",
};

/** The reason of `context.signal` once it is aborted. Its name is `AbortError`, as of everything that obeys a signal. */
export class JobAborted extends Error {
  /** @param {"cancelled" | "lost" | "stopping"} why */
  constructor(why) {
    super(ABORT_MESSAGES[why]);
    this.name = "AbortError";
    this.code = "ABORT_ERR";
    this.why = why;
  }
}
