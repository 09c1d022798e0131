// The event stream as an async iterator, over server-sent events: each event comes with its own cursor, and a consumer
// that is slow slows down the reading of the response.

import { StringDecoder } from "node:string_decoder";

import { Backoff, sleep } from "./backoff.js";
import { CortadoError, UNREACHABLE } from "./errors.js";
import { unreachable } from "./http.js";

const RECONNECT = { baseMs: 250, capMs: 30_000 };
/** The longest silence before the first message says how long one may be. */
const CONNECT_MS = 30_000;
/** A connection counts as broken after this many of the longest silences that the server allows itself. */
const SILENCES = 2.5;
const FILTERS = ["queue", "kind", "job", "tag", "type", "by"];

/** An iteration over events. */
export class Subscription {
  #http;
  #query;
  #reconnect;
  #events;
  #end = new AbortController();
  #isClosed = false;

  constructor(http, { after, signal, reconnect, ...filter }) {
    this.#http = http;
    this.#query = filterQuery(filter);
    this.#reconnect = { ...RECONNECT, ...reconnect };
    /** The position after the last event that was returned: keep it, and pass it as `after` next time. */
    this.cursor = after || undefined;
    this.#events = this.#iterate(signal);
  }

  next() {
    return this.#events.next();
  }

  /** Ends the iteration, also while it waits for an event. */
  return() {
    this.#isClosed = true;
    this.#end.abort(new Error("the subscription is closed"));
    return this.#events.return();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async *#iterate(signal) {
    const onAbort = () => this.#end.abort(signal.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const backoff = new Backoff(this.#reconnect);
    try {
      for (;;) {
        const delayMs = yield* this.#connection(backoff);
        await sleep(delayMs ?? backoff.next(), this.#end.signal);
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Yields the events of one connection. Returns when to connect again, if the server has said so. */
  async *#connection(backoff) {
    let delayMs;
    try {
      for await (const message of this.#messages(this.#end.signal)) {
        backoff.reset();
        if (message.retryMs !== undefined) delayMs = Math.random() * message.retryMs;
        if (message.cursor !== undefined) this.cursor = message.cursor;
        if (message.value !== undefined) yield message.value;
      }
    } catch (error) {
      if (this.#end.signal.aborted) throw this.#end.signal.reason;
      if (!isTransient(error)) throw error;
      if (error.retryAfterMs !== undefined) return error.retryAfterMs;
    }
    return delayMs;
  }

  /** Reads one connection. Yields `{value}` for events and gaps, and what else the stream says. */
  async *#messages(signal) {
    const headers = { accept: "text/event-stream", ...(this.cursor && { "last-event-id": this.cursor }) };
    const request = this.#http.open("GET", `/api/v1/events${this.#query}`, { headers, agent: false });
    const silence = new SilenceTimer((ms) => request.destroy(new Error(`nothing was received for ${Math.round(ms)} ms`)));
    const onAbort = () => request.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      const response = await responseOf(request);
      for await (const fields of sseMessages(response, silence)) {
        const data = fields.data === undefined ? {} : JSON.parse(fields.data);
        const retryMs = fields.retry ?? data.retry_ms;
        if (data.heartbeat_ms > 0) silence.allowMs = data.heartbeat_ms * SILENCES;
        const isValue = fields.data !== undefined && (fields.event === undefined || fields.event === "gap");
        yield { cursor: fields.id, value: isValue ? data : undefined, retryMs };
      }
    } catch (error) {
      throw error instanceof CortadoError ? error : unreachable(error);
    } finally {
      silence.stop();
      signal.removeEventListener("abort", onAbort);
      request.destroy();
    }
  }
}

function filterQuery(filter) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (!FILTERS.includes(name)) throw new TypeError(`unknown option of a subscription: ${name}`);
    if (value !== undefined) query.append(name, [value].flat().join(","));
  }
  return query.size === 0 ? "" : `?${query}`;
}

function isTransient(error) {
  if (!(error instanceof CortadoError)) return false;
  return error.code === UNREACHABLE || error.status === 429 || error.status >= 500;
}

/** Waits for a response that is a stream; throws `CortadoError`. */
function responseOf(request) {
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response) => {
      if (response.statusCode === 200) return resolve(response);
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode: status, headers } = response;
        reject(CortadoError.fromResponse({ status, headers, text: Buffer.concat(chunks).toString() }));
      });
    });
    request.end();
  });
}

/** Notices a connection on which nothing arrives; the time in which the consumer is busy does not count. */
class SilenceTimer {
  #onSilence;
  #timer;
  allowMs = CONNECT_MS;

  constructor(onSilence) {
    this.#onSilence = onSilence;
    this.start();
  }

  start() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onSilence(this.allowMs), this.allowMs);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Splits a response into messages: `{event, id, data, retry}`. */
async function* sseMessages(response, silence) {
  const decoder = new StringDecoder("utf8");
  let text = "";
  silence.start();
  for await (const chunk of response) {
    silence.stop();
    text += decoder.write(chunk);
    const messages = text.split("\n\n");
    text = messages.pop();
    for (const message of messages) yield parseMessage(message);
    silence.start();
  }
}

function parseMessage(message) {
  const fields = {};
  for (const line of message.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment
    const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    const name = line.slice(0, colon);
    if (name === "data" && fields.data !== undefined) fields.data += `\n${value}`;
    else if (name === "retry") fields.retry = Number(value);
    else fields[name] = value;
  }
  return fields;
}
