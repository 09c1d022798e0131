// Starts the real server, `CORTADO_BIN`, on a free port with a data directory of its own, and stops it again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

export const binary = process.env.CORTADO_BIN;

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

export class RealServer {
  /** The token that the next process requires. @type {string | undefined} */
  token;
  #data;
  #port;
  #child;
  #exited;

  /** @param {{after: (f: () => unknown) => void}} t the test, at whose end the server is stopped and its data removed */
  static async start(t, { token } = {}) {
    const server = new RealServer();
    server.token = token;
    server.#port = await freePort();
    server.#data = await mkdtemp(path.join(tmpdir(), "cortado-node-"));
    server.url = `http://127.0.0.1:${server.#port}`;
    t.after(() => server.#remove());
    await server.again();
    return server;
  }

  /** Starts it, or starts it again with the same port and data. */
  async again() {
    const flags = ["serve", "--listen", `127.0.0.1:${this.#port}`, "--data-dir", this.#data, "--grace", "2s"];
    const env = this.token === undefined ? process.env : { ...process.env, CORTADO_AUTH_TOKEN: this.token };
    this.#child = spawn(binary, flags, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#exited = once(this.#child, "exit");
    const lines = [];
    const listening = new Promise((resolve) => {
      for (const input of [this.#child.stdout, this.#child.stderr]) {
        createInterface({ input }).on("line", (line) => {
          lines.push(line);
          if (line.includes(`listening on ${this.url}`)) resolve(true);
        });
      }
    });
    if ((await Promise.race([listening, this.#exited])) !== true) throw new Error(`the server did not start:\n${lines.join("\n")}`);
  }

  /** Stops it in an orderly way; its data is kept. */
  async stop() {
    this.#child.kill("SIGTERM");
    await this.#exited;
  }

  /** Kills it; its data is kept. */
  async kill() {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  async #remove() {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }
}
