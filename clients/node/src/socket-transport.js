// A worker's connection over WebSocket: jobs are pushed against credit, and updates are answered in the background.

import { sleep } from "./backoff.js";
import { CortadoError } from "./errors.js";
import { BYE_MESSAGE, MAX_ENTRIES, PING_MESSAGE, SUBPROTOCOL, readyMessage, updateMembers, updateMessage, workerPaths } from "./protocol.js";
import { RetryDelays, isContentRefused, isFatal } from "./refusals.js";
import { connect } from "./websocket.js";

/** How long connecting may take, up to the message `hello`. */
const CONNECT_MS = 10_000;
/** How long notes wait for others, and for a settle. */
const NOTE_MS = 100;
/** The most updates whose answers are outstanding. Further settles wait and share the next update. */
const MAX_UNANSWERED = 8;
/** How long the server may take to answer an update before the connection counts as broken. */
const ANSWER_MS = 30_000;
/** A connection counts as broken after this many of the longest silences that the server allows itself, within these bounds. */
const SILENCES = 2.5;
const MIN_SILENCE_MS = 3_000;
const MAX_SILENCE_MS = 60_000;
/** The longest time between two heartbeats: each is answered, so that a broken connection is noticed in time. */
const MAX_BEAT_MS = 15_000;
/** A connection that lasted longer than this resets the backoff. */
const STABLE_MS = 5_000;
/** How long the server has to confirm that the worker has signed off. */
const BYE_MS = 2_000;

const CLOSE_TOO_BIG = 1009;
const CLOSE_REPLACED = 4409;
const REPLACED = "replaced";

/** @typedef {import("./outbox.js").Outbox} Outbox */

export class SocketTransport {
  #http;
  #worker;
  #attempts;
  /** @type {Outbox} */
  #outbox;
  #delays;
  #logger;
  #onStopCommand;
  #path;
  /** The connection, once the server has greeted. @type {import("./websocket.js").WebSocketConnection | undefined} */
  #socket;
  /** Updates without an answer, by their number. @type {Map<number, {batch: ReturnType<Outbox["take"]>, sentAt: number}>} */
  #unanswered = new Map();
  #lastId = 0;
  #isFlushPlanned = false;
  #noteTimer;
  #heartbeatMs = 10_000;
  #hasConnected = false;
  #isStopping = false;
  /** Whether this connection has been told that the worker takes no more jobs. */
  #isCreditEnded = false;
  /** Aborted when the transport ends. */
  #end = new AbortController();
  #signedOff = () => {};

  constructor({ http, worker, attempts, outbox, reconnect, logger, onStopCommand }) {
    this.#http = http;
    this.#worker = worker;
    this.#attempts = attempts;
    this.#outbox = outbox;
    this.#delays = new RetryDelays(reconnect, logger);
    this.#logger = logger;
    this.#onStopCommand = onStopCommand;
    this.#path = workerPaths(worker.name).socket;
    attempts.listen({ onSettled: () => this.#planFlush(), onNoted: () => this.#planNotes() });
  }

  /** Keeps a connection until `signOff`. */
  async run() {
    while (!this.#end.signal.aborted) {
      const startedAt = performance.now();
      let delayMs;
      try {
        const end = await this.#connection();
        if (this.#end.signal.aborted) return;
        delayMs = this.#afterClose(end, performance.now() - startedAt);
      } catch (error) {
        if (this.#end.signal.aborted) return;
        if (this.#givesUp(error)) throw error;
        delayMs = this.#delays.after(error);
      }
      await sleep(delayMs, this.#end.signal).catch(() => {});
    }
  }

  #givesUp(error) {
    if (!(error instanceof CortadoError) || error.code === REPLACED) return true;
    return !this.#hasConnected && isFatal(error);
  }

  /** Decides when to connect again after a connection has ended. @param {{code: number, reason: string, retryMs?: number}} end */
  #afterClose({ code, reason, retryMs }, livedMs) {
    if (code === CLOSE_REPLACED) {
      throw new CortadoError({ code: REPLACED, detail: `another worker has connected under the name ${this.#worker.name}` });
    }
    if (code === CLOSE_TOO_BIG) this.#outbox.refuseLongest("it is longer than the server accepts");
    if (livedMs > STABLE_MS) this.#delays.succeeded();
    const delayMs = retryMs === undefined ? this.#delays.afterEnd() : Math.random() * retryMs;
    this.#logger.warn(`cortado: the connection has ended (${code} ${reason}); connecting again in ${Math.round(delayMs)} ms`);
    return delayMs;
  }

  /** Makes one connection and waits for its end. @returns {Promise<{code: number, reason: string, retryMs?: number}>} */
  async #connection() {
    const socket = await connect(this.#http, this.#path, { protocol: SUBPROTOCOL, timeoutMs: CONNECT_MS, signal: this.#end.signal });
    let timer = setTimeout(() => socket.destroy("the server sent no hello in time"), CONNECT_MS);
    let retryMs;
    let isOver = false;
    // A greeted connection is ended by `signOff`.
    const onEnd = () => {
      if (this.#socket !== socket) socket.close();
    };
    this.#end.signal.addEventListener("abort", onEnd, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        const onHello = (hello) => {
          clearTimeout(timer);
          timer = this.#greeted(socket, hello);
        };
        socket.start({
          onText: (text) => {
            const message = parsed(text);
            if (message === undefined) return socket.destroy("a message of the server is not a JSON object");
            if (isOver) return;
            if (message.type === "bye") retryMs = message.retry_ms;
            this.#obey(message, socket, { onHello, onRefused: reject });
          },
          onClose: (code, reason) => resolve({ code, reason, retryMs }),
        });
        socket.send(this.#ready());
      });
    } finally {
      isOver = true;
      this.#end.signal.removeEventListener("abort", onEnd);
      clearTimeout(timer);
      socket.close();
      this.#disconnected(socket);
    }
  }

  /** The first message of a connection. */
  #ready() {
    this.#outbox.resetFreeSlots();
    this.#isCreditEnded = this.#isStopping;
    const held = [...this.#attempts.leases(), ...this.#outbox.leases()];
    return readyMessage({ ...this.#worker, free: this.#attempts.free, held });
  }

  /** Notes what the greeting says and returns the timer of heartbeats. */
  #greeted(socket, hello) {
    this.#socket = socket;
    this.#hasConnected = true;
    this.#delays.accepted();
    this.#heartbeatMs = hello.heartbeat_ms ?? this.#heartbeatMs;
    this.#worker.leaseMs = hello.lease_ms ?? this.#worker.leaseMs;
    this.#logger.info(`cortado: worker ${this.#worker.name} is connected`);
    this.#attempts.obey(hello.held);
    this.#command(hello.command);
    this.#endCredit();
    this.#planFlush();
    return setInterval(() => this.#beat(), Math.min(this.#worker.leaseMs / 3, this.#heartbeatMs, MAX_BEAT_MS));
  }

  #disconnected(socket) {
    if (this.#socket === socket) this.#socket = undefined;
    for (const { batch } of [...this.#unanswered.values()].reverse()) if (batch !== undefined) this.#outbox.putBack(batch);
    this.#unanswered.clear();
    this.#signedOff();
  }

  #obey(message, socket, { onHello, onRefused }) {
    switch (message.type) {
      case "jobs":
        return this.#attempts.start(message.leases);
      case "updated":
        return this.#updated(message);
      case "cancel":
        return this.#attempts.cancel(message.lease);
      case "lost":
        return this.#attempts.lose(message.lease);
      case "command":
        return this.#command(message.command);
      case "hello":
        return onHello(message);
      case "error": {
        const field = message.field === undefined ? "" : `${message.field}: `;
        const error = new CortadoError({ code: message.code, detail: `${field}${message.message}` });
        if (this.#socket !== socket) return onRefused(error);
        this.#logger.error(`cortado: the server refused a message: ${error.message}`);
        return this.#refused(message.id, error);
      }
      default: // pong, bye, and what a newer server may send
    }
  }

  #command(command) {
    if (command === "stop") this.#onStopCommand();
    else if (command !== undefined) this.#logger.info(`cortado: the server sent the command ${command}`);
  }

  #updated({ id, extend, settle }) {
    this.#unanswered.delete(id);
    this.#attempts.obey(extend);
    this.#outbox.confirm(settle);
    this.#planFlush();
  }

  /** Handles an error about the update with this number. What is not wrong with its content stays unanswered, and is sent again. */
  #refused(id, { code, detail }) {
    const sent = this.#unanswered.get(id);
    if (sent === undefined || !isContentRefused(code)) return;
    this.#unanswered.delete(id);
    if (sent.batch !== undefined) this.#outbox.refuseBatch(sent.batch, detail);
    this.#planFlush();
  }

  /** Sends what is ready at the end of this turn of the event loop, so that all of it shares one message. */
  #planFlush() {
    if (this.#isFlushPlanned || this.#socket === undefined) return;
    this.#isFlushPlanned = true;
    setImmediate(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  #planNotes() {
    this.#noteTimer ??= setTimeout(() => {
      this.#noteTimer = undefined;
      this.#flush();
    }, NOTE_MS);
  }

  #flush() {
    while (this.#socket !== undefined && this.#unanswered.size < MAX_UNANSWERED) {
      const batch = this.#outbox.take();
      if (batch === undefined) return;
      this.#update(batch.members(), batch);
    }
  }

  #update(members, batch) {
    const id = ++this.#lastId;
    this.#unanswered.set(id, { batch, sentAt: performance.now() });
    this.#socket.send(updateMessage(id, members));
  }

  /** Extends all leases, and notices a broken connection. */
  #beat() {
    const socket = this.#socket;
    const now = performance.now();
    const silenceMs = Math.min(Math.max(this.#heartbeatMs * SILENCES, MIN_SILENCE_MS), MAX_SILENCE_MS);
    if (now - socket.lastReceived > silenceMs) return socket.destroy("the server has been silent");
    const [oldest] = this.#unanswered.values();
    if (oldest !== undefined && now - oldest.sentAt > ANSWER_MS) return socket.destroy("the server does not answer updates");
    const leases = this.#attempts.leases();
    if (leases.length === 0) return socket.send(PING_MESSAGE);
    for (let at = 0; at < leases.length; at += MAX_ENTRIES) {
      this.#update(updateMembers({ extend: leases.slice(at, at + MAX_ENTRIES), leaseMs: this.#worker.leaseMs }));
    }
  }

  #endCredit() {
    if (!this.#isStopping || this.#isCreditEnded || this.#socket === undefined) return;
    this.#isCreditEnded = true;
    const { queues, kinds, leaseMs } = this.#worker;
    this.#socket.send(readyMessage({ free: 0, queues, kinds, leaseMs }));
  }

  /** Asks for no more jobs; those that are on their way are given back. */
  stopClaiming() {
    this.#isStopping = true;
    this.#endCredit();
  }

  /** Signs off and ends the connection. */
  async signOff() {
    clearTimeout(this.#noteTimer);
    const socket = this.#socket;
    if (socket !== undefined) {
      const closed = new Promise((resolve) => {
        this.#signedOff = resolve;
      });
      this.#end.abort(new Error("the worker has signed off"));
      socket.send(BYE_MESSAGE);
      const timer = setTimeout(() => socket.destroy("the server did not confirm the end"), BYE_MS);
      await closed;
      clearTimeout(timer);
    }
    this.#end.abort(new Error("the worker has stopped"));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}
