// A way to the server on which one page comes in two parts, the second when it is let go.

import http from "node:http";
import { connect } from "node:net";

export class Halves {
  sockets = new Set();

  /** The page at `path` is held back after the first `mark` in it; everything else comes as it is. */
  static async start(server, path, mark) {
    const halves = new Halves();
    const letGo = new Promise((resolve) => (halves.letGo = resolve));
    halves.relay = http.createServer(async (asked, answer) => {
      const got = await fetch(server.origin + asked.url, { headers: { accept: asked.headers.accept ?? "*/*" } });
      answer.writeHead(got.status, { "content-type": got.headers.get("content-type") });
      const body = Buffer.from(await got.arrayBuffer());
      if (asked.url !== path) return answer.end(body);
      const cut = body.indexOf(mark) + mark.length;
      if (cut < mark.length) throw new Error(`${path} has no ${mark}`);
      answer.write(body.subarray(0, cut));
      await letGo;
      answer.end(body.subarray(cut));
    });
    halves.relay.on("connection", (socket) => halves.sockets.add(socket));
    halves.relay.on("upgrade", (asked, socket) => {
      const onward = connect(server.port, "127.0.0.1");
      const headers = asked.rawHeaders.reduce((text, word, at) => text + word + (at % 2 ? "\r\n" : ": "), "");
      onward.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers}\r\n`);
      socket.pipe(onward).pipe(socket);
      for (const [end, other] of [[socket, onward], [onward, socket]]) end.on("error", () => other.destroy());
    });
    await new Promise((resolve) => halves.relay.listen(0, "127.0.0.1", resolve));
    halves.origin = `http://127.0.0.1:${halves.relay.address().port}`;
    return halves;
  }

  async stop() {
    this.letGo();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.relay.close(resolve));
  }
}
