// Waiting: jittered exponential backoff, and a sleep that a signal can end.

/** Delays that double up to a cap; each is random between a half and the whole, so that clients do not move in step. */
export class Backoff {
  #baseMs;
  #capMs;
  #failures = 0;

  /** @param {{baseMs: number, capMs: number}} options */
  constructor({ baseMs, capMs }) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
  }

  /** Returns the next delay in milliseconds. */
  next() {
    const whole = Math.min(this.#capMs, this.#baseMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    return whole * (0.5 + Math.random() / 2);
  }

  reset() {
    this.#failures = 0;
  }
}

/**
 * Waits for a time, or until the signal is aborted: then it throws the reason of the signal.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
