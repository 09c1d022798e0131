// A PostgreSQL server for tests of several nodes; see tests/postgres.sh.

import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { program, root } from "./programs.mjs";

/** A PostgreSQL server with an empty database. */
export class Postgres {
  static async start() {
    const postgres = new Postgres();
    // The path of a socket is short. The script removes the folder.
    postgres.folder = await mkdtemp("/tmp/cortado-pg.");
    const programs = path.dirname(program("initdb"));
    postgres.child = spawn("sh", [path.join(root, "tests/postgres.sh"), postgres.folder, programs], { stdio: ["pipe", "pipe", "inherit"] });
    postgres.ended = new Promise((resolve) => postgres.child.once("exit", resolve));
    const lines = createInterface({ input: postgres.child.stdout })[Symbol.asyncIterator]();
    const { value } = await lines.next();
    if (value !== "done") throw new Error(`PostgreSQL does not start: ${value}`);
    return postgres;
  }

  get url() {
    return `postgresql://cortado@/postgres?host=${this.folder}`;
  }

  async remove() {
    this.child.stdin.end();
    await this.ended;
  }
}
