// What refusals mean to a worker, and how long it waits after them.

import { Backoff } from "./backoff.js";

const FATAL_STATUSES = new Set([400, 401, 403, 404, 405, 413, 415, 421, 422, 426]);
const FATAL_CODES = new Set(["forbidden", "invalid_fields", "invalid_parameter", "malformed_message", "unauthorized", "unknown_subprotocol"]);

/** @param {import("./errors.js").CortadoError} error */
export function isFatal(error) {
  return FATAL_STATUSES.has(error.status) || FATAL_CODES.has(error.code);
}

/** Whether the server refused who asked, and not what was asked. @param {import("./errors.js").CortadoError} error */
function isAccessRefused({ status, code }) {
  return status === 401 || status === 403 || code === "unauthorized" || code === "forbidden";
}

const REFUSED_CONTENT = new Set(["body_too_large", "invalid_fields", "json_too_deep", "json_too_many_values", "malformed_message", "payload_too_large"]);

/**
 * Whether something in a message itself is wrong. After any other code, such as `store_unavailable`, the same message may
 * succeed on the next connection.
 * @param {string} code the code of an error on a WebSocket
 */
export function isContentRefused(code) {
  return REFUSED_CONTENT.has(code);
}

/**
 * The delays between attempts to reach the server: short ones while it is away, long ones while it refuses the token, as
 * after it was revoked. Each such attempt is a failed login, which the server counts and logs.
 */
export class RetryDelays {
  #away;
  #refused;
  #wasRefused = false;
  #logger;

  /** @param {{baseMs: number, capMs: number, refusedBaseMs: number, refusedCapMs: number}} reconnect */
  constructor({ baseMs, capMs, refusedBaseMs, refusedCapMs }, logger) {
    this.#away = new Backoff({ baseMs, capMs });
    this.#refused = new Backoff({ baseMs: refusedBaseMs, capMs: refusedCapMs });
    this.#logger = logger;
  }

  /** The delay after an error, in milliseconds. It is logged; a token that stays refused is logged once. */
  after(error) {
    if (!isAccessRefused(error)) {
      const delayMs = Math.max(this.#away.next(), error.retryAfterMs ?? 0);
      this.#logger.warn(`cortado: ${error.message}; trying again in ${Math.round(delayMs)} ms`);
      return delayMs;
    }
    const delayMs = this.#refused.next();
    if (!this.#wasRefused) {
      const plan = `trying again in ${Math.round(delayMs)} ms, and then less and less often`;
      this.#logger.error(`cortado: the server no longer accepts the token of this worker (${error.message}); ${plan}`);
    }
    this.#wasRefused = true;
    return delayMs;
  }

  /** The delay after a connection has ended. */
  afterEnd() {
    return this.#away.next();
  }

  /** The server accepts the token. */
  accepted() {
    this.#refused.reset();
    this.#wasRefused = false;
  }

  /** The connection is stable, or a request has succeeded. */
  succeeded() {
    this.accepted();
    this.#away.reset();
  }
}
