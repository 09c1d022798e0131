// The worker: takes jobs from the server, runs their handlers, and stops in an orderly way.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

import { Attempts } from "./attempts.js";
import { sleep } from "./backoff.js";
import { Http } from "./http.js";
import { HttpTransport } from "./http-transport.js";
import { Outbox } from "./outbox.js";
import { CLIENT } from "./protocol.js";
import { SocketTransport } from "./socket-transport.js";

const RECONNECT = { baseMs: 250, capMs: 30_000, refusedBaseMs: 10_000, refusedCapMs: 300_000 };
/** How long a stopping worker waits until the server has confirmed its last settles. */
const LAST_SETTLES_MS = 5_000;
/** How long a handler that ignores its signal may keep the process alive after a stop by signal. */
const EXIT_MS = 1_000;
const MAX_CONCURRENCY = 10_000;
const SIGNALS = ["SIGTERM", "SIGINT"];
const TRANSPORTS = { websocket: SocketTransport, http: HttpTransport };

export class Worker {
  #http;
  #handlers = new Map();
  #options;
  #attempts;
  #transport;
  #logger;
  #state = "new";
  /** @type {Promise<void> | undefined} */
  #stopped;
  #run;
  #onSignal = (signal) => {
    this.#logger.info(`cortado: ${signal} received, stopping`);
    this.#leaveSignals();
    this.stop().then(() => this.#exitSoon());
  };

  /** @param {string | URL} url @param {import("../index.d.ts").WorkerOptions} [options] */
  constructor(url, options = {}) {
    const { name = defaultName(), queues = ["default"], concurrency = 10, leaseMs = 30_000, graceMs = 25_000 } = options;
    const { transport = "websocket", signals = true, logger = console, reconnect = {}, ...connection } = options;
    if (!Object.hasOwn(TRANSPORTS, transport)) throw new TypeError('transport must be "websocket" or "http"');
    if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY) {
      throw new TypeError(`concurrency must be an integer from 1 to ${MAX_CONCURRENCY}`);
    }
    this.#http = new Http(url, connection);
    this.#logger = logger;
    this.#options = { name, queues, concurrency, leaseMs, graceMs, transport, signals, reconnect: { ...RECONNECT, ...reconnect } };
  }

  /** The name under which the server knows this worker. */
  get name() {
    return this.#options.name;
  }

  /** `new`, `running`, `stopping` or `stopped`. */
  get state() {
    return this.#state;
  }

  /** The number of handlers that are running. */
  get busy() {
    return this.#attempts?.busy ?? 0;
  }

  /** Registers the handler of a kind. */
  handle(kind, handler) {
    if (this.#state !== "new") throw new Error("register all handlers before run()");
    if (typeof handler !== "function") throw new TypeError(`the handler of ${kind} must be a function`);
    if (this.#handlers.has(kind)) throw new Error(`the kind ${kind} has a handler already`);
    this.#handlers.set(kind, handler);
    return this;
  }

  /**
   * Runs jobs until the worker is stopped. Throws if the server refuses the first connection, or if another worker
   * takes its name. When the server cannot be reached, it tries again for ever.
   */
  run() {
    this.#run ??= this.#runOnce();
    return this.#run;
  }

  async #runOnce() {
    if (this.#state !== "new") throw new Error("this worker has been stopped");
    if (this.#handlers.size === 0) throw new Error("a worker needs a handler: call handle() before run()");
    this.#state = "running";
    this.#start();
    if (this.#options.signals) for (const signal of SIGNALS) process.on(signal, this.#onSignal);
    try {
      await this.#transport.run();
    } finally {
      this.#state = "stopped";
      this.#leaveSignals();
      this.#attempts.refuseMore();
      this.#attempts.loseAll();
      this.#http.close();
    }
  }

  #start() {
    const { name, queues, concurrency, leaseMs, transport, reconnect } = this.#options;
    const outbox = new Outbox(this.#logger);
    this.#attempts = new Attempts({ handlers: this.#handlers, concurrency, outbox, logger: this.#logger });
    this.#transport = new TRANSPORTS[transport]({
      http: this.#http,
      worker: { name, queues, kinds: [...this.#handlers.keys()], leaseMs, about: about(concurrency) },
      attempts: this.#attempts,
      outbox,
      reconnect,
      logger: this.#logger,
      onStopCommand: () => void this.stop(),
    });
    this.#outbox = outbox;
  }

  #outbox;

  /**
   * Stops the worker: takes no more jobs, waits for the running handlers for `graceMs`, gives back what is not done, and
   * signs off. Returns when `run` is about to return.
   */
  stop({ graceMs = this.#options.graceMs } = {}) {
    this.#stopped ??= this.#stopOnce(graceMs);
    return this.#stopped;
  }

  async #stopOnce(graceMs) {
    if (this.#state === "new") this.#state = "stopped";
    if (this.#state === "stopped") return;
    this.#state = "stopping";
    this.#attempts.refuseMore();
    this.#outbox.endCredit();
    this.#transport.stopClaiming();
    await within(graceMs, this.#attempts.whenIdle());
    this.#attempts.giveBack();
    await within(LAST_SETTLES_MS, this.#outbox.whenEmpty());
    if (this.#outbox.size > 0) this.#logger.warn(`cortado: the server has not confirmed the end of ${this.#outbox.size} jobs`);
    await this.#transport.signOff();
    await this.#run.catch(() => {}); // whoever called run() gets the error
  }

  /** Restores the default action of the signals, so that a second one ends the process. */
  #leaveSignals() {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }

  #exitSoon() {
    // The timer does not keep the process alive, so it fires only if something else does.
    if (this.busy > 0) setTimeout(() => process.exit(), EXIT_MS).unref();
  }
}

/** Waits for a promise, but not longer than a time. */
async function within(ms, promise) {
  const timer = new AbortController();
  await Promise.race([promise, sleep(ms, timer.signal).catch(() => {})]);
  timer.abort();
}

/** A name that no other worker has: the server lets a newer worker replace one of the same name. */
function defaultName() {
  const host = hostname().replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 64) || "node";
  return `${host}:${process.pid}:${randomBytes(3).toString("hex")}`;
}

/** What a worker says about itself. `instance` tells its process from others with the same name and number, as in containers. */
function about(concurrency) {
  const instance = randomBytes(8).toString("hex");
  return { host: hostname().slice(0, 64), pid: process.pid, ...CLIENT, concurrency, instance };
}
