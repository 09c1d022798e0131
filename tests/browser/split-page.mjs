// A proxy in front of the server that sends one page in two parts, the second when the test releases it.

import http from "node:http";
import { connect } from "node:net";

export class SplitPage {
  sockets = new Set();

  /** Holds back the page at `path` after the first `mark` in it; everything else passes unchanged. */
  static async start(server, path, mark) {
    const split = new SplitPage();
    const release = new Promise((resolve) => (split.release = resolve));
    split.relay = http.createServer(async (asked, answer) => {
      const got = await fetch(server.origin + asked.url, { headers: { accept: asked.headers.accept ?? "*/*" } });
      answer.writeHead(got.status, { "content-type": got.headers.get("content-type") });
      const body = Buffer.from(await got.arrayBuffer());
      if (asked.url !== path) return answer.end(body);
      const cut = body.indexOf(mark) + mark.length;
      if (cut < mark.length) throw new Error(`${path} has no ${mark}`);
      answer.write(body.subarray(0, cut));
      await release;
      answer.end(body.subarray(cut));
    });
    split.relay.on("connection", (socket) => split.sockets.add(socket));
    split.relay.on("upgrade", (asked, socket) => {
      const onward = connect(server.port, "127.0.0.1");
      const headers = asked.rawHeaders.reduce((text, word, at) => text + word + (at % 2 ? "\r\n" : ": "), "");
      onward.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers}\r\n`);
      socket.pipe(onward).pipe(socket);
      for (const [end, other] of [[socket, onward], [onward, socket]]) end.on("error", () => other.destroy());
    });
    await new Promise((resolve) => split.relay.listen(0, "127.0.0.1", resolve));
    split.origin = `http://127.0.0.1:${split.relay.address().port}`;
    return split;
  }

  async stop() {
    this.release();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.relay.close(resolve));
  }
}
