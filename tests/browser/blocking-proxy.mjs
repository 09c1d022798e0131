// A reverse proxy with the faults that real ones have: it refuses or swallows WebSockets, keeps back the bytes of
// streaming responses, or is gone for a while. Tests change its faults while it runs.

import http from "node:http";
import net from "node:net";

export class BlockingProxy {
  /** What happens to WebSockets: `passed`, `refused` with a status, or `swallowed`: accepted by TCP and never answered. */
  sockets = "passed";
  status = 403;
  /** Whether streaming responses are kept back for ever. */
  buffersStreams = false;
  /** Whether every connection is cut. */
  isDown = false;
  #open = new Set();

  /** Starts a proxy with these faults in front of a server. */
  static async start(server, faults = {}) {
    const proxy = Object.assign(new BlockingProxy(), faults);
    proxy.upstream = server.port;
    proxy.http = http.createServer((request, response) => proxy.#forward(request, response));
    proxy.http.on("connection", (socket) => {
      proxy.#keep(socket);
      if (proxy.isDown) socket.destroy();
    });
    proxy.http.on("upgrade", (request, socket, head) => proxy.#upgrade(request, socket, head));
    await new Promise((resolve) => proxy.http.listen(0, "127.0.0.1", resolve));
    proxy.origin = `http://127.0.0.1:${proxy.http.address().port}`;
    return proxy;
  }

  /** Cuts every connection, and new ones, until `up`. */
  down() {
    this.isDown = true;
    for (const socket of this.#open) socket.destroy();
  }

  up() {
    this.isDown = false;
  }

  async stop() {
    this.down();
    await new Promise((resolve) => this.http.close(resolve));
  }

  #keep(socket) {
    this.#open.add(socket);
    socket.on("error", () => {}).on("close", () => this.#open.delete(socket));
  }

  #forward(request, response) {
    const { url: path, method, headers } = request;
    const upstream = http.request({ host: "127.0.0.1", port: this.upstream, path, method, headers, agent: false }, (answer) => {
      if (this.buffersStreams && answer.headers["content-type"] === "text/event-stream") return answer.resume();
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      return undefined;
    });
    upstream.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
    response.on("close", () => upstream.destroy());
    request.pipe(upstream);
  }

  #upgrade({ url, rawHeaders }, socket, head) {
    if (this.sockets === "swallowed") return;
    if (this.sockets === "refused") {
      socket.end(`HTTP/1.1 ${this.status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      return;
    }
    const upstream = net.connect(this.upstream, "127.0.0.1", () => {
      const lines = Array.from({ length: rawHeaders.length / 2 }, (_, n) => `${rawHeaders[2 * n]}: ${rawHeaders[2 * n + 1]}\r\n`);
      upstream.write(`GET ${url} HTTP/1.1\r\n${lines.join("")}\r\n`);
      upstream.write(head);
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    this.#keep(upstream);
    upstream.on("error", () => socket.destroy()).on("close", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
  }
}
