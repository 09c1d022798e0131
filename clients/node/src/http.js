// Requests over HTTP/1.1 with connections that are kept, and the rules for repeating them.

import http from "node:http";
import https from "node:https";

import { Backoff, sleep } from "./backoff.js";
import { CortadoError, UNREACHABLE } from "./errors.js";

const RETRY_BASE_MS = 100;
const RETRY_CAP_MS = 5_000;
/** A longer `Retry-After` is reported to the caller instead of being waited for. */
const MAX_RETRY_AFTER_MS = 60_000;

/** Failures of a connection after which the server cannot have received the request. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH"]);
const RETRIED_STATUSES = new Set([429, 502, 503, 504]);

/**
 * When a failed request is repeated. `always`: repeating it has no further effect. `unprocessed`: only when the server
 * has certainly not carried it out. `never`: the caller decides.
 * @typedef {"always" | "unprocessed" | "never"} Repeat
 */

/**
 * @typedef {object} RequestOptions
 * @property {string} [body] JSON text
 * @property {AbortSignal} [signal]
 * @property {number} [timeoutMs] how long the whole response may take
 * @property {Repeat} [repeat]
 */

/** One server: its address, the credentials, and the connections to it. */
export class Http {
  #base;
  #module;
  #agent;
  #token;
  #timeoutMs;
  #retries;
  #tls;

  /**
   * @param {string | URL} url such as `http://127.0.0.1:8080`, with the base path if the server has one
   * @param {{token?: string, timeoutMs?: number, retries?: number, tls?: import("node:tls").ConnectionOptions}} options
   */
  constructor(url, { token, timeoutMs = 30_000, retries = 4, tls = {} }) {
    const base = new URL(url);
    if (base.protocol !== "http:" && base.protocol !== "https:") {
      throw new TypeError(`the address of the server must begin with http:// or https://, but is ${url}`);
    }
    if (base.username || base.password) throw new TypeError("pass credentials as `token`, not in the address");
    this.#base = `${base.origin}${base.pathname.replace(/\/+$/, "")}`;
    this.#module = base.protocol === "https:" ? https : http;
    this.#agent = new this.#module.Agent({ keepAlive: true, ...tls });
    this.#tls = tls;
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#retries = retries;
  }

  /** Closes the connections. */
  close() {
    this.#agent.destroy();
  }

  /**
   * Opens a request. `agent: false` gives it a connection of its own.
   * @param {string} method @param {string} path
   * @param {{headers?: object, agent?: false}} [options]
   * @returns {http.ClientRequest}
   */
  open(method, path, { headers = {}, agent } = {}) {
    const authorization = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
    const options = { method, agent: agent ?? this.#agent, headers: { ...authorization, ...headers } };
    return this.#module.request(this.#base + path, agent === false ? { ...this.#tls, ...options } : options);
  }

  /**
   * Sends a request, repeats it as allowed, and returns the parsed JSON of the response; throws `CortadoError`.
   * @param {string} method @param {string} path @param {RequestOptions} [options]
   */
  async json(method, path, options = {}) {
    const { status, text } = await this.#repeated(method, path, options);
    if (text === "") return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new CortadoError({ code: "invalid_response", status, detail: "the response is not JSON", cause });
    }
  }

  async #repeated(method, path, options) {
    const { repeat = "always", signal } = options;
    const backoff = new Backoff({ baseMs: RETRY_BASE_MS, capMs: RETRY_CAP_MS });
    for (let left = repeat === "never" ? 0 : this.#retries; ; left--) {
      try {
        const response = await this.#once(method, path, options);
        if (response.status < 400) return response;
        throw CortadoError.fromResponse(response);
      } catch (error) {
        if (left === 0 || !mayRepeat(error, repeat)) throw error;
        await sleep(Math.max(backoff.next(), error.retryAfterMs ?? 0), signal);
      }
    }
  }

  /** @returns {Promise<{status: number, headers: http.IncomingHttpHeaders, text: string}>} */
  #once(method, path, { body, signal, timeoutMs = this.#timeoutMs }) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const headers = { accept: "application/json" };
      if (body !== undefined) {
        headers["content-type"] = "application/json";
        headers["content-length"] = Buffer.byteLength(body);
      }
      const request = this.open(method, path, { headers });
      const onAbort = () => request.destroy();
      const timer = setTimeout(() => request.destroy(new Error(`no response within ${timeoutMs} ms`)), timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      const end = (settle, value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        settle(value);
      };
      const fail = (error) => end(reject, signal?.aborted ? signal.reason : unreachable(error));
      request.on("error", fail);
      request.on("response", (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", fail);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          end(resolve, { status: response.statusCode, headers: response.headers, text });
        });
      });
      request.end(body);
    });
  }
}

/** @param {Error} error */
export function unreachable(error) {
  return CortadoError.unreachable(`the server cannot be reached: ${error.message || error.code}`, error);
}

function mayRepeat(error, repeat) {
  if (!(error instanceof CortadoError)) return false;
  if ((error.retryAfterMs ?? 0) > MAX_RETRY_AFTER_MS) return false;
  if (error.code === UNREACHABLE) return repeat === "always" || NEVER_SENT.has(error.cause?.code);
  if (!RETRIED_STATUSES.has(error.status)) return false;
  // 502 and 504 are of proxies, and after `timed_out` the request may still be carried out.
  return repeat === "always" || error.status === 429 || (error.status === 503 && error.code !== "timed_out");
}
