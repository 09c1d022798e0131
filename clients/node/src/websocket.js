// A small WebSocket client (RFC 6455): text messages, no extensions. Node 20 has none of its own.

import { createHash, randomBytes } from "node:crypto";

import { CortadoError } from "./errors.js";
import { CLOSE, FrameError, FrameReader, PING, PONG, TEXT, encodeFrame } from "./frames.js";
import { unreachable } from "./http.js";

const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_MESSAGE = 256 * 1024 * 1024;
/** How long the server may take to answer a close frame. */
const CLOSE_MS = 2_000;

/** The connection ended without a close frame (RFC 6455, section 7.1.5). */
const ABNORMAL = 1006;

/**
 * Opens a connection; throws `CortadoError` with the problem document if the server refuses it.
 * @param {import("./http.js").Http} http
 * @param {string} path
 * @param {{protocol: string, timeoutMs: number, signal?: AbortSignal}} options
 * @returns {Promise<WebSocketConnection>}
 */
export function connect(http, path, { protocol, timeoutMs, signal }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const key = randomBytes(16).toString("base64");
    const headers = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": key,
      "sec-websocket-protocol": protocol,
    };
    const request = http.open("GET", path, { headers, agent: false });
    const onAbort = () => request.destroy(signal.reason);
    const timer = setTimeout(() => request.destroy(new Error(`no response within ${timeoutMs} ms`)), timeoutMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    const end = (settle, value) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      settle(value);
    };
    request.on("error", (error) => end(reject, signal?.aborted ? signal.reason : unreachable(error)));
    request.on("response", (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", (error) => end(reject, unreachable(error)));
      response.on("end", () => {
        const { statusCode: status, headers } = response;
        request.destroy();
        end(reject, CortadoError.fromResponse({ status, headers, text: Buffer.concat(chunks).toString() }));
      });
    });
    request.on("upgrade", (response, socket, head) => {
      const fault = handshakeFault(response.headers, key, protocol);
      if (fault === undefined) return end(resolve, new WebSocketConnection(socket, head));
      socket.destroy();
      end(reject, CortadoError.unreachable(`the answer to the WebSocket handshake is wrong: ${fault}`));
    });
    request.end();
  });
}

function handshakeFault(headers, key, protocol) {
  const accept = createHash("sha1").update(key + KEY_SUFFIX).digest("base64");
  if (headers.upgrade?.toLowerCase() !== "websocket") return "Upgrade is not websocket";
  if (headers["sec-websocket-accept"] !== accept) return "Sec-WebSocket-Accept does not fit the key";
  if (headers["sec-websocket-protocol"] !== protocol) return `the subprotocol is not ${protocol}`;
  if (headers["sec-websocket-extensions"] !== undefined) return "it has extensions that were not offered";
  return undefined;
}

/** An open connection, which reads nothing before `start`. */
export class WebSocketConnection {
  /** When bytes arrived last, on the clock of `performance.now()`. */
  lastReceived = performance.now();

  #socket;
  #reader;
  #onText;
  #onClose;
  #isClosing = false;
  #isClosed = false;
  /** What `onClose` will be told. */
  #end = { code: ABNORMAL, reason: "" };

  /** @param {import("node:net").Socket} socket @param {Buffer} head bytes that arrived with the handshake */
  constructor(socket, head) {
    this.#socket = socket;
    this.#reader = new FrameReader({
      maxMessage: MAX_MESSAGE,
      onMessage: (text) => {
        if (!this.#isClosed) this.#onText(text);
      },
      onControl: (opcode, payload) => this.#control(opcode, payload),
    });
    socket.setNoDelay(true);
    socket.setTimeout(0);
    socket.on("error", (error) => {
      if (this.#end.code === ABNORMAL) this.#end = { code: ABNORMAL, reason: error.message };
    });
    socket.on("close", () => this.#closed());
    socket.on("end", () => socket.destroy());
    if (head.length > 0) socket.unshift(head);
  }

  /**
   * Begins to read. `onClose` is called once, with the code and the reason of the close.
   * @param {{onText: (text: string) => void, onClose: (code: number, reason: string) => void}} handlers
   */
  start({ onText, onClose }) {
    this.#onText = onText;
    this.#onClose = onClose;
    if (this.#isClosed) return queueMicrotask(() => onClose(this.#end.code, this.#end.reason));
    this.#socket.on("data", (chunk) => this.#read(chunk));
  }

  /** Sends a text message. It is dropped when the connection is closing. @param {string} text */
  send(text) {
    if (!this.#isClosing) this.#socket.write(encodeFrame(TEXT, text));
  }

  /** Closes the connection, and does not wait for an answer for ever. */
  close(code = 1000, reason = "") {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code);
    payload.write(reason, 2);
    this.#socket.write(encodeFrame(CLOSE, payload));
    setTimeout(() => this.#socket.destroy(), CLOSE_MS).unref();
  }

  /** Drops the connection at once. @param {string} reason */
  destroy(reason) {
    this.#isClosing = true;
    if (this.#end.code === ABNORMAL) this.#end = { code: ABNORMAL, reason };
    this.#socket.destroy();
  }

  #read(chunk) {
    this.lastReceived = performance.now();
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#end = { code: error.code, reason: error.message };
      this.close(error.code, error.message);
      this.#socket.destroySoon();
    }
  }

  #control(opcode, payload) {
    if (opcode === PING && !this.#isClosing) this.#socket.write(encodeFrame(PONG, payload));
    if (opcode !== CLOSE) return;
    if (payload.length === 1) throw new FrameError(1002, "a close frame has one byte");
    const code = payload.length === 0 ? 1005 : payload.readUInt16BE();
    this.#end = { code, reason: payload.subarray(2).toString() };
    this.close(payload.length === 0 ? 1000 : code);
    this.#socket.destroySoon();
  }

  #closed() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isClosing = true;
    this.#onClose?.(this.#end.code, this.#end.reason);
  }
}
