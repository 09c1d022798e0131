// The client and the worker against the real server: `CORTADO_BIN=target/debug/cortado node --test`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Client, Discard, Retry, Snooze, Worker } from "../src/index.js";
import { binary, RealServer } from "../testing/real-server.js";
import { Queue } from "../testing/queue.js";
import { aborted, heldHandler, Log } from "../testing/workers.js";

const skip = binary === undefined && "set CORTADO_BIN to the server's binary";
const TRANSPORTS = ["websocket", "http"];

/** The position of the log now, so that a subscription misses nothing that happens while it is made. */
async function cursorOf(server) {
  const headers = server.token === undefined ? {} : { authorization: `Bearer ${server.token}` };
  return (await (await fetch(`${server.url}/api/v1/jobs?limit=1`, { headers })).json()).cursor;
}

/** A worker whose kinds the server knows. */
async function started(t, server, handlers, options = {}) {
  const client = new Client(server.url, { token: server.token });
  const events = client.subscribe({ after: await cursorOf(server), type: "worker.connected" });
  const worker = new Worker(server.url, { signals: false, logger: new Log(), reconnect: { baseMs: 10, capMs: 100 }, ...options });
  for (const [kind, handler] of Object.entries(handlers)) worker.handle(kind, handler);
  const connected = events.next();
  const run = worker.run();
  run.catch(() => {});
  t.after(async () => {
    await worker.stop({ graceMs: 0 });
    await events.return();
    client.close();
  });
  await Promise.race([connected, run]);
  return { client, worker, run };
}

describe("the client", { skip, concurrency: 2 }, () => {
  it("submits, waits for and reads jobs", async (t) => {
    const server = await RealServer.start(t);
    const client = new Client(server.url);
    t.after(() => client.close());
    const row = await client.submit("echo", { a: [1, "ü"] }, { tags: ["x"], priority: 3, idempotencyKey: "k" });
    assert.deepEqual([row.kind, row.priority, row.tags, row.existing], ["echo", 3, ["x"], undefined]);
    const again = await client.submit("echo", { a: [1, "ü"] }, { tags: ["x"], priority: 3, idempotencyKey: "k" });
    assert.deepEqual([again.id, again.existing], [row.id, true]);
    const job = await client.wait(row.id);
    assert.deepEqual([job.state, job.payload], ["completed", { a: [1, "ü"] }]);
    assert.equal((await client.get(row.id)).id, row.id);
    assert.equal((await client.submit("echo", 1, { waitMs: 20_000 })).state, "completed");
    const many = await client.submitMany([{ kind: "echo", payload: 1 }, { kind: "echo", payload: 2, delayMs: 3_600_000 }]);
    assert.deepEqual([many.length, many[1].state], [2, "scheduled"]);
    assert.equal((await client.cancel(many[1].id)).state, "cancelled");
    await assert.rejects(client.cancel(many[1].id), { code: "not_allowed", status: 409 });
  });

  it("throws what the server refuses", async (t) => {
    const server = await RealServer.start(t);
    const client = new Client(server.url);
    t.after(() => client.close());
    await assert.rejects(client.submit("echo", 1, { priority: 100_000 }), (error) => error.code === "invalid_fields" && error.errors[0].field === "priority");
    await assert.rejects(client.submitMany([{ kind: "echo" }, { kind: "nobody-knows" }]), { status: 422 });
    await assert.rejects(client.get("019ab001-7c3e-7d10-8a55-0242ac120002"), { code: "no_such_job", status: 404 });
  });

  it("follows the events over a restart, each of them once", async (t) => {
    const server = await RealServer.start(t);
    const client = new Client(server.url);
    t.after(() => client.close());
    const events = client.subscribe({ after: await cursorOf(server), type: "job.completed", reconnect: { baseMs: 10, capMs: 100 } });
    const first = events.next();
    const ids = [(await client.submit("echo", 1)).id];
    assert.equal((await first).value.job.id, ids[0]);
    const next = events.next();
    await server.kill();
    await server.again();
    ids.push((await client.submit("echo", 2)).id);
    assert.equal((await next).value.job.id, ids[1]);
    const { cursor } = events;
    await events.return();
    ids.push((await client.submit("echo", 3)).id);
    const resumed = client.subscribe({ after: cursor, type: "job.completed" });
    assert.equal((await resumed.next()).value.job.id, ids[2]);
    await resumed.return();
  });
});

for (const transport of TRANSPORTS) {
  describe(`a worker over ${transport}`, { skip, concurrency: 2 }, () => {
    it("runs jobs and reports each outcome, lines and progress", async (t) => {
      const server = await RealServer.start(t);
      const ends = {
        done: (context) => {
          context.log("half\nway");
          context.progress(1, 2, "half");
          return { ok: true };
        },
        discard: () => { throw new Discard("never"); },
        retry: (context) => {
          if (context.attempt === 1) throw new Retry("once more");
          return context.attempt;
        },
      };
      const { client } = await started(t, server, { node: async (payload, context) => ends[payload](context) }, { transport });
      const backoff = { baseMs: 10, capMs: 10 };
      const [done, discarded, retried] = await client.submitMany(Object.keys(ends).map((payload) => ({ kind: "node", payload, backoff })));
      const job = await client.wait(done.id);
      assert.deepEqual([job.state, job.result, job.progress.done, job.progress.message], ["completed", { ok: true }, 1, "half"]);
      const log = await (await fetch(`${server.url}/api/v1/jobs/${done.id}/log`)).json();
      assert.deepEqual(log.lines.map(({ text }) => text), ["half", "way"]);
      assert.equal((await client.wait(discarded.id)).state, "discarded");
      const again = await client.wait(retried.id);
      assert.deepEqual([again.state, again.result], ["completed", 2]);
      assert.match((await client.get(discarded.id)).error.message, /never/);
    });

    it("snoozes without a charge", async (t) => {
      const server = await RealServer.start(t);
      let calls = 0;
      const snooze = () => {
        calls++;
        if (calls === 1) throw new Snooze(10);
        return calls;
      };
      const { client } = await started(t, server, { snooze }, { transport });
      const job = await client.wait((await client.submit("snooze", null, { maxAttempts: 1 })).id);
      assert.deepEqual([job.state, job.result], ["completed", 2]);
    });

    it("is told that a job is cancelled", async (t) => {
      const server = await RealServer.start(t);
      const { handler, begun } = heldHandler();
      const { client } = await started(t, server, { held: handler }, { transport, leaseMs: 1_000 });
      const { id } = await client.submit("held", null);
      const { context, reject } = await begun.next();
      await client.cancel(id);
      const reason = await aborted(context.signal);
      assert.equal(reason.why, "cancelled");
      reject(reason);
      assert.equal((await client.wait(id)).state, "cancelled");
    });

    it("gives back what is not done when it stops, and the attempt is not charged", async (t) => {
      const server = await RealServer.start(t);
      const { handler, begun } = heldHandler();
      const first = await started(t, server, { held: handler }, { transport });
      const { id } = await first.client.submit("held", null, { maxAttempts: 1 });
      await begun.next();
      await first.worker.stop({ graceMs: 0 });
      const { client } = await started(t, server, { held: async () => "second" }, { transport });
      const job = await client.wait(id);
      assert.deepEqual([job.state, job.result], ["completed", "second"]);
    });

    it("goes on with its jobs when the server is stopped or killed", async (t) => {
      const server = await RealServer.start(t);
      const { handler, begun } = heldHandler();
      const { client } = await started(t, server, { held: handler }, { transport });
      const { id } = await client.submit("held", null, { maxAttempts: 1 });
      const { resolve, context } = await begun.next();
      await server.stop();
      await server.again();
      await server.kill();
      await server.again();
      resolve("survived");
      const job = await client.wait(id);
      assert.deepEqual([job.state, job.result, context.signal.aborted], ["completed", "survived", false]);
    });

    it("goes on when its token is accepted again", async (t) => {
      const token = "the-token-of-workers";
      const server = await RealServer.start(t, { token });
      const log = new Log();
      const refusals = () => log.lines.filter((line) => line.includes("no longer accepts the token")).length;
      const reconnect = { baseMs: 10, capMs: 100, refusedBaseMs: 100, refusedCapMs: 400 };
      const { client } = await started(t, server, { echoed: (payload) => payload }, { transport, token, logger: log, reconnect });
      assert.equal((await client.submit("echoed", 1, { waitMs: 20_000 })).result, 1);
      const refused = new Queue("refusal");
      const { error } = log;
      log.error = (line) => void (error(line), refused.push(line));
      await server.kill();
      server.token = "another-token-of-workers";
      await server.again();
      await refused.next();
      await server.kill();
      server.token = token;
      await server.again();
      assert.equal((await client.submit("echoed", 2, { waitMs: 20_000 })).result, 2);
      assert.equal(refusals(), 1, log.lines.join("\n"));
    });

    it("runs thousands of jobs, each of them once", async (t) => {
      const server = await RealServer.start(t);
      const seen = new Map();
      const count = (payload) => void seen.set(payload, (seen.get(payload) ?? 0) + 1);
      const { client } = await started(t, server, { count }, { transport, concurrency: 256 });
      const events = client.subscribe({ after: await cursorOf(server), type: "job.completed" });
      const jobs = Array.from({ length: 500 }, (_, payload) => ({ kind: "count", payload }));
      for (let batch = 0; batch < 6; batch++) await client.submitMany(jobs.map((job) => ({ ...job, payload: batch * 500 + job.payload })));
      for (let completed = 0; completed < 3_000; completed++) await events.next();
      await events.return();
      assert.equal(seen.size, 3_000);
      assert.ok([...seen.values()].every((times) => times === 1));
    });
  });
}

describe("a worker that is killed", { skip }, () => {
  it("loses its jobs to another one after its lease", async (t) => {
    const server = await RealServer.start(t);
    const program = fileURLToPath(new URL("../testing/worker-program.js", import.meta.url));
    const client = new Client(server.url);
    t.after(() => client.close());
    const events = client.subscribe({ after: await cursorOf(server) });
    const child = spawn(process.execPath, [program, server.url, "1000"], { stdio: "ignore" });
    t.after(() => child.kill("SIGKILL"));
    await untilType(events, "worker.connected");
    const { id } = await client.submit("stuck", null);
    await untilType(events, "job.logged");
    child.kill("SIGKILL");
    await once(child, "exit");
    await started(t, server, { stuck: () => "rescued" });
    const job = await client.wait(id);
    await events.return();
    assert.deepEqual([job.state, job.result], ["completed", "rescued"]);
  });
});

async function untilType(events, type) {
  for (;;) {
    const { value } = await events.next();
    if (value.type === type) return value;
  }
}
