// A queue that a test waits on.

/** A test fails when what it waits for does not happen within this time. */
const PATIENCE_MS = 15_000;

export class Queue {
  #name;
  #items = [];
  #waiting = [];

  /** @param {string} name what it contains, for the error when nothing comes */
  constructor(name) {
    this.#name = name;
  }

  get length() {
    return this.#items.length;
  }

  push(item) {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting(item);
  }

  /** Takes the next item, and waits for it. */
  next(what = this.#name) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE_MS} ms`)), PATIENCE_MS).unref();
      this.#waiting.push((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}
