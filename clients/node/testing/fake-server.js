// A server that does what a test tells it: it answers requests by functions of the test, and hands over the WebSockets
// of workers, whose messages the test reads and writes one by one.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

import { FrameReader, encodeFrame } from "../src/frames.js";
import { Queue } from "./queue.js";

export const GREETING = { type: "hello", heartbeat_ms: 10_000, lease_ms: 30_000, held: [], server: { name: "cortado", version: "0.1.0" } };

export class FakeServer {
  /** The WebSockets that were opened and not taken yet. */
  connections = new Queue("connection");
  /** The requests that no route answers: `{method, path, body, headers, respond}`. */
  requests = new Queue("request");
  /** What the next handshakes are answered with instead of an upgrade: `{status, body, headers}`. */
  refusals = [];
  #server = createServer((request, response) => this.#request(request, response));
  #sockets = new Set();

  /** @param {{after: (f: () => unknown) => void}} t the test, at whose end the server is closed */
  static async start(t) {
    const server = new FakeServer();
    server.#server.on("upgrade", (request, socket) => server.#upgrade(request, socket));
    server.#server.on("connection", (socket) => {
      server.#sockets.add(socket);
      socket.on("close", () => server.#sockets.delete(socket));
      socket.on("error", () => {}); // the tests drop connections
    });
    await new Promise((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    server.url = `http://127.0.0.1:${server.#server.address().port}`;
    t.after(() => server.close());
    return server;
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  /** Takes the next connection of a worker, reads its first message, and greets it. */
  async greet(greeting = {}) {
    const connection = await this.connections.next();
    connection.ready = await connection.next("ready");
    connection.send({ ...GREETING, ...greeting });
    return connection;
  }

  #request(request, response) {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const respond = (status, body, headers = {}) => {
        response.writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json", ...headers });
        response.end(body === undefined ? undefined : JSON.stringify(body));
      };
      const { method, url: path, headers } = request;
      this.requests.push({ method, path, headers, body: text && JSON.parse(text), respond, request, response });
    });
  }

  #upgrade(request, socket) {
    const refusal = this.refusals.shift();
    if (refusal !== undefined) {
      const body = JSON.stringify(refusal.body);
      return socket.end(`HTTP/1.1 ${refusal.status} Refused\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    }
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const protocol = request.headers["sec-websocket-protocol"];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\nsec-websocket-protocol: ${protocol}\r\n\r\n`);
    this.connections.push(new ServerConnection(request, socket));
  }
}

/** The server's side of a WebSocket. */
export class ServerConnection {
  #messages = new Queue("message");
  /** Control frames of the client: `{opcode, payload}`. */
  controls = new Queue("control frame");

  constructor(request, socket) {
    this.path = request.url;
    this.headers = request.headers;
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.on("close", resolve));
    const reader = new FrameReader({
      maxMessage: 2 ** 30,
      onMessage: (text) => this.#messages.push(JSON.parse(text)),
      onControl: (opcode, payload) => this.controls.push({ opcode, payload: Buffer.from(payload) }),
    });
    const unmasker = new Unmasker((frame) => reader.push(frame));
    socket.on("data", (chunk) => unmasker.push(chunk));
    socket.on("end", () => socket.end());
  }

  /** Returns the next message, which must be of this type; pings are answered and skipped. */
  async next(type) {
    for (;;) {
      const message = await this.#messages.next(type);
      if (message.type === "ping" && type !== "ping") this.send({ type: "pong" });
      else if (type !== undefined && message.type !== type) throw new Error(`${type} was expected, not ${JSON.stringify(message)}`);
      else return message;
    }
  }

  /** Sends one message, or several in one write. */
  send(...messages) {
    this.socket.write(Buffer.concat(messages.map((message) => serverFrame(1, Buffer.from(JSON.stringify(message))))));
  }

  /** Sends the jobs of these payloads and returns their leases. */
  sendJobs(kind, ...payloads) {
    const leases = payloads.map((payload) => leaseOf(kind, payload));
    this.send({ type: "jobs", leases });
    return leases.map((lease) => lease.lease);
  }

  /** Confirms an update. */
  confirm(update, { extend = "kept", settle = "settled" } = {}) {
    this.send(confirmation(update, { extend, settle }));
  }

  /** Sends a close frame and ends the connection. */
  close(code, reason = "") {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.socket.end(serverFrame(8, Buffer.concat([payload, Buffer.from(reason)])));
  }

  /** Drops the connection without a word. */
  drop() {
    this.socket.destroy();
  }
}

let leases = 0;

export function leaseOf(kind, payload) {
  leases++;
  const job = { id: `job-${leases}`, kind, queue: "default", payload, attempt: 1, max_attempts: 25, timeout_ms: null, priority: 0, tags: [], enqueued_at: "2026-11-23T08:00:00.000Z" };
  return { lease: `lease-${leases}`, expires_in_ms: 30_000, job };
}

export function confirmation(update, { extend = "kept", settle = "settled" } = {}) {
  return {
    type: "updated",
    id: update.id,
    extend: (update.extend ?? []).map((lease) => ({ lease, status: extend })),
    note: (update.note ?? []).map(({ lease }) => ({ lease, status: "noted" })),
    settle: (update.settle ?? []).map(({ lease }) => ({ lease, status: settle })),
  };
}

/** A frame of a server, which is not masked. */
export function serverFrame(opcode, payload, { fin = 0x80 } = {}) {
  const masked = encodeFrame(opcode, payload);
  const header = masked.length - payload.length - 4;
  const frame = Buffer.concat([masked.subarray(0, header), payload]);
  frame[0] = fin | opcode;
  frame[1] &= 0x7f;
  return frame;
}

/** Turns the masked frames of a client into frames of a server, which the reader of the client understands. */
class Unmasker {
  #pending = Buffer.alloc(0);
  #onFrame;

  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  push(chunk) {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const buffer = this.#pending;
      if (buffer.length < 2) return;
      const short = buffer[1] & 0x7f;
      const header = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (buffer.length < header) return;
      const length = short === 127 ? Number(buffer.readBigUInt64BE(2)) : short === 126 ? buffer.readUInt16BE(2) : short;
      const end = header + 4 + length;
      if (buffer.length < end) return;
      if (!(buffer[1] & 0x80)) throw new Error("a frame of the client is not masked");
      const payload = Buffer.from(buffer.subarray(header + 4, end));
      for (let at = 0; at < length; at++) payload[at] ^= buffer[header + (at & 3)];
      this.#onFrame(serverFrame(buffer[0] & 0x0f, payload, { fin: buffer[0] & 0x80 }));
      this.#pending = buffer.subarray(end);
    }
  }
}
