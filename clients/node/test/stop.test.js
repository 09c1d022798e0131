// How a worker stops: by a call, by a command of the server, and by a signal.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { FakeServer } from "../testing/fake-server.js";
import { aborted, heldHandler, startWorker } from "../testing/workers.js";

async function signOff(connection) {
  await connection.next("bye");
  connection.send({ type: "bye", why: "signed_off" });
  connection.close(1000);
}

describe("a worker that stops", () => {
  it("takes no more jobs, waits for its handlers, and signs off", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    const { worker, run } = startWorker(t, server, { held: handler });
    const connection = await server.greet();
    const [running] = connection.sendJobs("held", null);
    const { resolve } = await begun.next();
    const stopped = worker.stop();
    assert.equal(worker.state, "stopping");
    assert.deepEqual(await connection.next("ready"), { type: "ready", free: 0, queues: ["default"], kinds: ["held"], lease_ms: 30_000 });
    const [late] = connection.sendJobs("held", null);
    const returned = await connection.next("update");
    assert.deepEqual(returned.settle, [{ lease: late, outcome: "returned" }]);
    connection.confirm(returned);
    resolve(1);
    const done = await connection.next("update");
    assert.deepEqual(done, { type: "update", id: 2, settle: [{ lease: running, outcome: "done", result: 1 }] });
    connection.confirm(done);
    await signOff(connection);
    await Promise.all([stopped, run]);
    assert.equal(worker.state, "stopped");
  });

  it("gives back what is not done after the grace, and tells the handlers", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    const { worker, run } = startWorker(t, server, { held: handler }, { graceMs: 1 });
    const connection = await server.greet();
    const [lease] = connection.sendJobs("held", null);
    const { context, resolve } = await begun.next();
    const stopped = worker.stop();
    assert.equal((await aborted(context.signal)).why, "stopping");
    await connection.next("ready");
    const update = await connection.next("update");
    assert.deepEqual(update.settle, [{ lease, outcome: "returned" }]);
    resolve("too late");
    connection.confirm(update);
    await signOff(connection);
    await Promise.all([stopped, run]);
  });

  it("delivers its last settles over a new connection", async (t) => {
    const server = await FakeServer.start(t);
    const { worker, run } = startWorker(t, server, { echo: (payload) => payload });
    const first = await server.greet();
    first.sendJobs("echo", 1);
    await first.next("update");
    const stopped = worker.stop();
    await first.next("ready");
    first.drop();
    const second = await server.greet();
    assert.equal(second.ready.free, 0);
    second.confirm(await second.next("update"));
    await signOff(second);
    await Promise.all([stopped, run]);
  });

  it("ends at once when it has nothing to deliver and no connection", async (t) => {
    const server = await FakeServer.start(t);
    const { worker, run } = startWorker(t, server, { echo: (payload) => payload }, { reconnect: { baseMs: 60_000, capMs: 60_000 } });
    const connection = await server.greet();
    connection.drop();
    await connection.closed;
    await Promise.all([worker.stop(), run]);
  });

  it("ends a connection on which the server has not greeted", async (t) => {
    const server = await FakeServer.start(t);
    const { worker, run } = startWorker(t, server, { echo: (payload) => payload });
    const connection = await server.connections.next();
    await connection.next("ready");
    const stopped = worker.stop();
    await connection.controls.next("close frame");
    connection.close(1000);
    await Promise.all([stopped, run]);
  });

  it("obeys the command of the server, and quiet changes nothing for it", async (t) => {
    const server = await FakeServer.start(t);
    const { worker, run } = startWorker(t, server, { echo: (payload) => payload });
    const connection = await server.greet({ command: "quiet" });
    connection.send({ type: "command", command: "resume" });
    connection.sendJobs("echo", 1);
    connection.confirm(await connection.next("update"));
    assert.equal(worker.state, "running");
    connection.send({ type: "command", command: "stop" });
    await connection.next("ready");
    await signOff(connection);
    await run;
  });

  it("may be told to stop in the greeting", async (t) => {
    const server = await FakeServer.start(t);
    const { run } = startWorker(t, server, { echo: (payload) => payload });
    const connection = await server.greet({ command: "stop" });
    await connection.next("ready");
    await connection.next();
    connection.close(1000);
    await run;
  });
});

describe("a process with a worker", () => {
  const program = fileURLToPath(new URL("../testing/worker-program.js", import.meta.url));

  for (const signal of ["SIGTERM", "SIGINT"]) {
    it(`gives back its jobs and ends after ${signal}`, async (t) => {
      const server = await FakeServer.start(t);
      const child = spawn(process.execPath, [program, server.url], { stdio: ["ignore", "inherit", "ignore"] });
      const exit = new Promise((resolve) => child.once("exit", (code, by) => resolve({ code, by })));
      t.after(() => child.kill("SIGKILL"));
      const connection = await server.greet();
      const [lease] = connection.sendJobs("stuck", null);
      assert.equal((await connection.next("update")).note[0].lines[0].text, "stuck");
      child.kill(signal);
      assert.equal((await connection.next("ready")).free, 0);
      const update = await connection.next("update");
      assert.deepEqual(update.settle, [{ lease, outcome: "returned" }]);
      connection.confirm(update);
      await signOff(connection);
      assert.deepEqual(await exit, { code: 0, by: null });
    });
  }
});
