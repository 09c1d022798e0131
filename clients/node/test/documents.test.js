// The programs in the documents run against the real server as they stand there; only the server's address is replaced.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

import { Client } from "../src/index.js";
import { binary, RealServer } from "../testing/real-server.js";

const skip = binary === undefined && "set CORTADO_BIN to the server's binary";
const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const ADDRESS = "http://127.0.0.1:8080";

/** The only program in JavaScript with a mark that a document has, with the address of the server. */
async function programOf(document, url, mark = 'from "cortado"') {
  const text = await readFile(path.join(PACKAGE, "..", "..", document), "utf8");
  const blocks = [...text.matchAll(/^```js\n(.*?)^```/gms)].map(([, block]) => block);
  const programs = blocks.filter((block) => block.includes(mark));
  assert.equal(programs.length, 1, document);
  assert.equal(programs[0].split(ADDRESS).length, 2, "it names the server once");
  return programs[0].replace(ADDRESS, url);
}

/** Writes a program into a folder of its own in which the package is installed. */
async function written(t, text) {
  const folder = await mkdtemp(path.join(tmpdir(), "cortado-documents-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(path.join(folder, "node_modules"));
  await symlink(PACKAGE, path.join(folder, "node_modules", "cortado"));
  const file = path.join(folder, "program.mjs");
  await writeFile(file, text);
  return file;
}

const RESULTS = { "README.md": 640 * 480, "docs/workers.md": { pixels: 640 * 480 } };

for (const [document, result] of Object.entries(RESULTS)) {
  it(`the worker in ${document} runs jobs and stops in order`, { skip }, async (t) => {
    const server = await RealServer.start(t);
    const client = new Client(server.url);
    const cursor = (await client.submit("echo", null, { waitMs: 20_000 })).cursor;
    const events = client.subscribe({ after: cursor, type: ["kind.announced", "worker.left"] });
    t.after(async () => {
      await events.return();
      client.close();
    });
    const { CORTADO_TOKEN: _, ...env } = process.env;
    const program = spawn(process.execPath, [await written(t, await programOf(document, server.url))], { env, stdio: "inherit" });
    t.after(() => program.kill("SIGKILL"));
    const exited = once(program, "exit");
    assert.equal((await Promise.race([events.next(), exited])).value?.type, "kind.announced");
    const job = await client.submit("resize", { width: 640, height: 480 }, { waitMs: 20_000 });
    assert.deepEqual([job.state, job.result], ["completed", result]);
    program.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
    const left = (await events.next()).value;
    assert.deepEqual([left.type, left.why], ["worker.left", "signed_off"]);
  });
}

it("the README of the package has a worker and a program that submits to it", { skip }, async (t) => {
  const server = await RealServer.start(t);
  const client = new Client(server.url);
  const cursor = (await client.submit("echo", null, { waitMs: 20_000 })).cursor;
  const events = client.subscribe({ after: cursor, type: ["kind.announced", "job.completed"] });
  t.after(async () => {
    await events.return();
    client.close();
  });
  const { CORTADO_TOKEN: _, ...env } = process.env;
  const README = "clients/node/README.md";
  const worker = spawn(process.execPath, [await written(t, await programOf(README, server.url, "new Worker("))], { env, stdio: "inherit" });
  t.after(() => worker.kill("SIGKILL"));
  assert.equal((await events.next()).value?.type, "kind.announced");
  const text = await programOf(README, server.url, "new Client(");
  const image = "https://example.com/1.png";
  assert.equal(text.split(image).length, 2, "it names the image once");
  const program = spawn(process.execPath, [await written(t, text.replace(image, `${server.url}/healthz`))], { env, stdio: ["ignore", "pipe", "inherit"] });
  const [output] = await Promise.all([program.stdout.setEncoding("utf8").toArray(), once(program, "exit").then((exit) => assert.deepEqual(exit, [0, null]))]);
  assert.match(output.join(""), /^completed \{ bytes: [1-9]\d* \}\n$/);
  for (let job = 0; job < 4; job++) assert.equal((await events.next()).value?.job.queue, "images");
});
