// Starts the real server on a free port with a data directory of its own, and stops it again.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { cortado } from "./programs.mjs";

const PATIENCE_MS = 20_000;
/** The number of last lines of each server that a failed test shows. */
const SHOWN_LINES = 60;

export const SERVER_LOG = "the last lines of the server at";

/** The servers of this process that have not been removed. */
const servers = new Set();

// A test that has failed may leave servers behind, and its process would wait for them without end.
if (process.env.NODE_TEST_CONTEXT) after(() => Promise.all([...servers].map((server) => server.remove())));

/** Returns the last log lines of the servers, for a failed test. */
export function serverLogs() {
  return [...servers].map(({ origin, lines }) => `${SERVER_LOG} ${origin}:\n${lines.slice(-SHOWN_LINES).map((line) => `  ${line}\n`).join("")}`).join("");
}

/**
 * Returns a free port, which the server keeps across restarts. It is below those that systems give to whoever asks for any
 * port: while the server is down, a test that runs at the same time could get such a port.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer();
    const isFree = await new Promise((resolve) => probe.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true)));
    if (!isFree) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

export class Server {
  /** The output of the server, over all its starts. */
  lines = [];
  /** Headers of the test's own requests, for a server with users. */
  headers;

  /**
   * Starts a server with additional arguments and environment variables, and a configuration file with this text, which
   * may be a function of the server's origin.
   */
  static async start({ flags = [], env = {}, grace = "5s", config } = {}) {
    const server = new Server();
    Object.assign(server, { flags: ["--grace", grace, ...flags], env });
    server.port = await freePort();
    server.origin = `http://127.0.0.1:${server.port}`;
    server.data = await mkdtemp(path.join(tmpdir(), "cortado-browser-"));
    if (config) {
      server.config = `${server.data}.toml`;
      await writeFile(server.config, typeof config === "function" ? config(server.origin) : config);
      server.flags.push("--config", server.config);
    }
    servers.add(server);
    await server.again();
    return server;
  }

  /** Starts the server again with the same port and data. */
  async again() {
    const child = spawn(cortado(), ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", this.data, ...this.flags], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...this.env } });
    this.child = child;
    this.ended = new Promise((resolve) => child.once("exit", resolve));
    const ready = new Promise((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          this.lines.push(line);
          if (line.includes(`listening on ${this.origin}`)) resolve("ready");
        });
      }
    });
    const answer = await Promise.race([ready, this.ended, timeout()]);
    if (answer !== "ready") throw new Error(`the server did not start:\n${serverLogs()}`);
  }

  /** Stops the server in an orderly way; its data is kept. */
  async stop() {
    this.child.kill("SIGTERM");
    if ((await Promise.race([this.ended, timeout()])) === "timeout") {
      this.child.kill("SIGKILL");
      await this.ended;
      throw new Error(`the server did not stop:\n${serverLogs()}`);
    }
  }

  /** Kills the server with SIGKILL; its data is kept as it is. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** Stops the server and removes its data. */
  async remove() {
    this.isRemoved = true;
    await this.stop();
    servers.delete(this);
    await rm(this.data, { recursive: true, force: true });
    if (this.config) await rm(this.config, { force: true });
  }

  async post(path, body) {
    const answer = await fetch(this.origin + path, { method: "POST", headers: { "content-type": "application/json", ...this.headers }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async submit(job) {
    return (await this.post("/api/v1/jobs", job)).json();
  }

  async stats() {
    return (await fetch(`${this.origin}/api/v1/stats`, { headers: this.headers })).json();
  }

  /** Waits until a job is in a state, and returns it. */
  async until(id, state) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const job = await (await fetch(`${this.origin}/api/v1/jobs/${id}`, { headers: this.headers })).json();
      if (job.state === state) return job;
      if (Date.now() > end) throw new Error(`job ${id} is ${job.state}, not ${state}\n${serverLogs()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function timeout() {
  return new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, "timeout").unref());
}
