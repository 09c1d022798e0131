// A worker over WebSocket, against a fake server.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { CortadoError, Discard, JobAborted, Retry, Snooze, Worker } from "../src/index.js";
import { FakeServer } from "../testing/fake-server.js";
import { aborted, heldHandler, startWorker } from "../testing/workers.js";

describe("jobs", () => {
  it("run as they arrive, and one update settles them and gives their credit back", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { double: async (payload) => payload * 2, now: (payload) => payload }, { concurrency: 20, queues: ["a", "b"], token: "secret" });
    const connection = await server.greet();
    assert.equal(connection.path, "/api/v1/workers/test/ws");
    assert.equal(connection.headers.authorization, "Bearer secret");
    assert.equal(connection.headers["sec-websocket-protocol"], "cortado.worker.v1+json");
    const { about, ...ready } = connection.ready;
    assert.deepEqual(ready, { type: "ready", free: 20, queues: ["a", "b"], kinds: ["double", "now"], lease_ms: 30_000, held: [] });
    assert.deepEqual([about.pid, about.client, about.version, about.concurrency], [process.pid, "cortado-node", "0.1.0", 20]);
    assert.match(about.instance, /^[0-9a-f]{16}$/);
    const leases = connection.sendJobs("double", 1, 2, 3);
    const update = await connection.next("update");
    const settles = leases.map((lease, at) => ({ lease, outcome: "done", result: (at + 1) * 2 }));
    assert.deepEqual(update, { type: "update", id: 1, settle: settles, free: 3 });
  });

  it("get a context with the job, the number of the attempt and a signal", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    (await server.greet()).sendJobs("held", { a: 1 });
    const { payload, context } = await begun.next();
    assert.deepEqual(payload, { a: 1 });
    assert.equal(context.job.kind, "held");
    assert.equal(context.attempt, 1);
    assert.equal(context.signal.aborted, false);
    assert.equal(context.cancelled, false);
  });

  it("are settled with each outcome", async (t) => {
    const server = await FakeServer.start(t);
    const ends = {
      nothing: () => undefined,
      retry: () => { throw new Retry("429", { afterMs: 60_000 }); },
      snooze: async () => { throw new Snooze(5_000.5); },
      discard: () => { throw new Discard("not a PNG"); },
      text: () => { throw "no Error"; },
      half: () => { throw new Retry("half of \ud83d"); },
    };
    startWorker(t, server, { end: (payload) => ends[payload]() });
    const connection = await server.greet();
    const leases = connection.sendJobs("end", ...Object.keys(ends));
    const outcomes = [
      { outcome: "done" },
      { outcome: "retry", error: "429", after_ms: 60_000 },
      { outcome: "discard", error: "not a PNG" },
      { outcome: "retry", error: "no Error" },
      { outcome: "retry", error: "half of \ufffd" },
      { outcome: "snooze", delay_ms: 5_001 },
    ];
    const order = [0, 1, 3, 4, 5, 2]; // what ends at once is settled before what ends later
    const { settle } = await connection.next("update");
    assert.deepEqual(settle, outcomes.map((outcome, at) => ({ lease: leases[order[at]], ...outcome })));
  });

  it("fail with the stack of the error and its causes", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { fail: () => { throw new Error("no answer", { cause: new Error("refused") }); } });
    const connection = await server.greet();
    connection.sendJobs("fail", null);
    const { outcome, error } = (await connection.next("update")).settle[0];
    assert.equal(outcome, "retry");
    assert.match(error, /^Error: no answer\n {4}at .*worker\.test\.js/);
    assert.match(error, /\ncaused by: Error: refused\n/);
  });

  it("fail when their result is not JSON", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { big: () => 1n });
    const connection = await server.greet();
    connection.sendJobs("big", null);
    const { outcome, error } = (await connection.next("update")).settle[0];
    assert.equal(outcome, "retry");
    assert.match(error, /the result cannot be written as JSON/);
  });

  it("are settled with numbers and texts that the server accepts", async (t) => {
    const server = await FakeServer.start(t);
    const delays = { never: Infinity, nothing: Number.NaN, past: -5, year: 1e15 };
    startWorker(t, server, {
      wait: (payload) => { throw new Snooze(delays[payload]); },
      note: (_, context) => {
        context.log(`${"x".repeat(20_000)}\ud83d`);
        context.log("");
        context.progress(-1.5, 2.5, `${"y".repeat(20_000)}`);
      },
    });
    const connection = await server.greet();
    connection.sendJobs("wait", ...Object.keys(delays));
    const year = 365 * 86_400_000;
    assert.deepEqual((await connection.next("update")).settle.map(({ delay_ms }) => delay_ms), [year, 0, 0, year]);
    connection.sendJobs("note", null);
    const [{ lines, progress }] = (await connection.next("update")).note;
    assert.deepEqual(lines.map(({ text }) => text.length), [9_000, 0]);
    assert.deepEqual([progress.done, progress.total, progress.message.length], [0, 2, 2_000]);
  });

  it("run once when their message arrives twice", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    const { worker } = startWorker(t, server, { held: handler, echo: (payload) => payload });
    const connection = await server.greet();
    const job = { lease: "twice", job: { id: "1", kind: "held", payload: 1, attempt: 1 } };
    connection.send({ type: "jobs", leases: [job] }, { type: "jobs", leases: [job] });
    connection.sendJobs("echo", 1);
    await connection.next("update");
    assert.equal(worker.busy, 1);
    assert.equal(begun.length, 1);
  });
});

describe("notes", () => {
  it("are sent while the handler runs", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const connection = await server.greet();
    const [lease] = connection.sendJobs("held", null);
    const { context } = await begun.next();
    context.log("one\ntwo");
    context.log("three", { stream: "stderr" });
    context.progress(1, 2, "half");
    const { note, settle } = await connection.next("update");
    assert.equal(settle, undefined);
    assert.equal(note[0].lease, lease);
    assert.deepEqual(note[0].lines.map(({ text, stream }) => [text, stream]), [["one", undefined], ["two", undefined], ["three", "stderr"]]);
    assert.ok(note[0].lines.every(({ at }) => !Number.isNaN(Date.parse(at))));
    assert.deepEqual(note[0].progress, { done: 1, total: 2, message: "half" });
    assert.throws(() => context.log("x", { stream: "stdin" }), TypeError);
  });

  it("of the last moment go with the settle", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { noted: (_, context) => context.log("the last line") });
    const connection = await server.greet();
    connection.sendJobs("noted", null);
    const { note, settle } = await connection.next("update");
    assert.equal(note[0].lines[0].text, "the last line");
    assert.equal(settle.length, 1);
  });

  it("are sent again after a broken connection, and old lines are dropped when there are too many", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const first = await server.greet();
    first.sendJobs("held", null);
    const { context } = await begun.next();
    for (let line = 1; line <= 600; line++) context.log(`line ${line}`);
    assert.equal((await first.next("update")).note[0].lines.length, 600);
    for (let line = 601; line <= 1_200; line++) context.log(`line ${line}`);
    first.drop();
    const second = await server.greet();
    const [{ lines }] = (await second.next("update")).note;
    assert.equal(lines.length, 1_000); // the most that a note may have
    assert.match(lines[0].text, /^\(201 lines were dropped/);
    assert.deepEqual([lines[1].text, lines.at(-1).text], ["line 202", "line 1200"]);
  });
});

describe("a running job", () => {
  it("learns by its signal that it is cancelled, and is settled as cancelled", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const connection = await server.greet();
    const [lease] = connection.sendJobs("held", null);
    const { context, reject } = await begun.next();
    connection.send({ type: "cancel", lease });
    const reason = await aborted(context.signal);
    assert.ok(reason instanceof JobAborted);
    assert.deepEqual([reason.name, reason.why, context.cancelled], ["AbortError", "cancelled", true]);
    reject(reason);
    assert.deepEqual((await connection.next("update")).settle, [{ lease, outcome: "cancelled" }]);
  });

  it("may complete although it is cancelled", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const connection = await server.greet();
    const [lease] = connection.sendJobs("held", null);
    const { context, resolve } = await begun.next();
    connection.send({ type: "cancel", lease });
    await aborted(context.signal);
    resolve("too late");
    assert.deepEqual((await connection.next("update")).settle, [{ lease, outcome: "done", result: "too late" }]);
  });

  it("that has lost its lease is told, and reports nothing but its free slot", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const connection = await server.greet();
    const [lease] = connection.sendJobs("held", null);
    const { context, resolve } = await begun.next();
    connection.send({ type: "lost", lease });
    assert.equal((await aborted(context.signal)).why, "lost");
    context.log("nobody reads this");
    resolve("nor this");
    assert.deepEqual(await connection.next("update"), { type: "update", id: 1, free: 1 });
  });

  it("is extended by heartbeats, whose answers say that it is cancelled or lost", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const connection = await server.greet({ lease_ms: 60 });
    const [first, second] = connection.sendJobs("held", 1, 2);
    const contexts = [(await begun.next()).context, (await begun.next()).context];
    const update = await connection.next("update");
    assert.deepEqual(update, { type: "update", id: 1, extend: [first, second], lease_ms: 60 });
    connection.send({ type: "updated", id: 1, extend: [{ lease: first, status: "cancel" }, { lease: second, status: "lost" }], settle: [] });
    assert.equal((await aborted(contexts[0].signal)).why, "cancelled");
    assert.equal((await aborted(contexts[1].signal)).why, "lost");
    let extended = update.extend;
    while (extended.length > 1) extended = (await connection.next("update")).extend;
    assert.deepEqual(extended, [first]);
  });
});

describe("a lost connection", () => {
  it("is made again with the leases that are held, and settles are repeated until they are confirmed", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler, echo: (payload) => payload }, { concurrency: 5 });
    const first = await server.greet();
    const [held] = first.sendJobs("held", null);
    const { resolve } = await begun.next();
    const [confirmed] = first.sendJobs("echo", 1);
    first.confirm(await first.next("update"));
    const [unconfirmed] = first.sendJobs("echo", 2);
    await first.next("update");
    first.drop();
    const second = await server.greet();
    assert.deepEqual(second.ready.about, first.ready.about);
    assert.deepEqual(second.ready.held, [held, unconfirmed]);
    assert.ok(!second.ready.held.includes(confirmed));
    assert.equal(second.ready.free, 4);
    const again = await second.next("update");
    assert.deepEqual(again.settle, [{ lease: unconfirmed, outcome: "done", result: 2 }]);
    assert.equal(again.free, undefined);
    second.confirm(again);
    resolve("done");
    const last = await second.next("update");
    assert.deepEqual([last.settle, last.free], [[{ lease: held, outcome: "done", result: "done" }], 1]);
  });

  it("may have cost a lease, as the greeting says", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    startWorker(t, server, { held: handler });
    const first = await server.greet();
    const [lease] = first.sendJobs("held", null);
    const { context } = await begun.next();
    first.drop();
    await server.greet({ held: [{ lease, status: "lost" }] });
    assert.equal((await aborted(context.signal)).why, "lost");
  });

  it("is made again after the server has stopped or cannot be understood", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { echo: (payload) => payload });
    const first = await server.greet();
    first.send({ type: "bye", why: "stopping", retry_ms: 5 });
    first.close(1001);
    const second = await server.greet();
    second.socket.write(Buffer.from([0xc1, 0])); // a reserved bit
    const third = await server.greet();
    third.send("no object", 5);
    third.socket.write(Buffer.from([0x81, 1, 0x7b])); // "{"
    await server.greet();
  });

  it("is noticed when the server is silent", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload });
    const first = await server.greet({ heartbeat_ms: 20 });
    await first.closed;
    await server.greet();
    assert.ok(log.lines.some((line) => line.includes("the server has been silent")));
  });

  it("is made again when the server answers no updates, although it is not silent", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload });
    const first = await server.greet({ heartbeat_ms: 30_000, lease_ms: 60 });
    const [lease] = first.sendJobs("echo", 1);
    await first.next("update");
    const now = performance.now.bind(performance);
    t.mock.method(performance, "now", () => now() + 40_000);
    await first.closed;
    assert.deepEqual((await server.greet()).ready.held, [lease]);
    assert.ok(log.lines.some((line) => line.includes("the server does not answer updates")));
  });

  it("is made again when a later handshake is refused", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload });
    const first = await server.greet();
    server.refusals.push({ status: 401, body: { code: "unauthorized", detail: "no" } }, { status: 502, body: "oops" });
    first.drop();
    await server.greet();
    assert.ok(log.lines.some((line) => line.includes("unauthorized: no")));
    assert.ok(log.lines.some((line) => line.includes("http_502")));
  });
});

describe("run", () => {
  it("throws when the first connection is refused", async (t) => {
    const server = await FakeServer.start(t);
    server.refusals.push({ status: 403, body: { code: "forbidden", detail: "the role worker is needed" } });
    const { run, worker } = startWorker(t, server, { echo: (payload) => payload });
    await assert.rejects(run, (error) => error instanceof CortadoError && error.code === "forbidden" && error.status === 403);
    assert.equal(worker.state, "stopped");
  });

  it("throws when the first message is refused", async (t) => {
    const server = await FakeServer.start(t);
    const { run } = startWorker(t, server, { "bad kind": () => 1 });
    const connection = await server.connections.next();
    await connection.next("ready");
    connection.send({ type: "error", code: "invalid_fields", field: "kinds[0]", message: "is not a kind" });
    await assert.rejects(run, { code: "invalid_fields", detail: "kinds[0]: is not a kind" });
  });

  it("tries again when the server cannot be reached or is full", async (t) => {
    const server = await FakeServer.start(t);
    server.refusals.push({ status: 503, body: { code: "sockets_full", detail: "full" } });
    startWorker(t, server, { echo: (payload) => payload });
    await server.greet();
  });

  it("throws when another worker takes the name, and its handlers are told", async (t) => {
    const server = await FakeServer.start(t);
    const { handler, begun } = heldHandler();
    const { run } = startWorker(t, server, { held: handler });
    const connection = await server.greet();
    connection.sendJobs("held", null);
    const { context } = await begun.next();
    connection.close(4409, "replaced");
    await assert.rejects(run, { code: "replaced" });
    assert.equal((await aborted(context.signal)).why, "lost");
  });

  it("needs a handler, and each kind has one", async () => {
    const worker = new Worker("http://127.0.0.1:9");
    assert.throws(() => worker.handle("a"), TypeError);
    worker.handle("a", () => 1);
    assert.throws(() => worker.handle("a", () => 2), /has a handler already/);
    await assert.rejects(new Worker("http://127.0.0.1:9").run(), /needs a handler/);
    assert.throws(() => new Worker("ftp://x"), TypeError);
    assert.throws(() => new Worker("http://x", { transport: "pigeon" }), TypeError);
  });
});

describe("a refused settle", () => {
  it("is replaced by a failure that says why, once", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload });
    const connection = await server.greet();
    const [lease] = connection.sendJobs("echo", 1);
    const { id } = await connection.next("update");
    const invalid = { lease, status: "invalid", detail: "the result is nested too deeply" };
    connection.send({ type: "updated", id, settle: [invalid] });
    const replaced = await connection.next("update");
    const error = "the server refused the outcome of this attempt: the result is nested too deeply";
    assert.deepEqual(replaced.settle, [{ lease, outcome: "retry", error }]);
    connection.send({ type: "updated", id: replaced.id, settle: [invalid] });
    const [next] = connection.sendJobs("echo", 2);
    assert.deepEqual((await connection.next("update")).settle, [{ lease: next, outcome: "done", result: 2 }]);
    assert.equal(log.lines.filter((line) => line.includes("refused the outcome")).length, 2);
  });

  it("is replaced when its message was too big for the server", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { long: (length) => "x".repeat(length) });
    const first = await server.greet();
    first.sendJobs("long", 5, 300_000, 400_000);
    const next = async (connection) => (await connection.next("update")).settle.map(({ outcome, result, error }) => [outcome, result?.length ?? error]);
    // Each long one has a message for itself.
    assert.deepEqual(await next(first), [["done", 5]]);
    assert.deepEqual(await next(first), [["done", 300_000]]);
    assert.deepEqual(await next(first), [["done", 400_000]]);
    first.close(1009);
    const second = await server.greet();
    assert.deepEqual(await next(second), [["done", 5]]);
    assert.deepEqual(await next(second), [["done", 300_000]]);
    const error = "the server refused the outcome of this attempt: it is longer than the server accepts";
    assert.deepEqual(await next(second), [["retry", error]]);
  });

  it("that came too late is dropped", async (t) => {
    const server = await FakeServer.start(t);
    const { worker, run, log } = startWorker(t, server, { echo: (payload) => payload });
    const connection = await server.greet();
    connection.sendJobs("echo", 1);
    connection.confirm(await connection.next("update"), { settle: "stale" });
    const stopped = worker.stop();
    await connection.next("ready");
    await connection.next("bye");
    connection.send({ type: "bye", why: "signed_off" });
    connection.close(1000);
    await Promise.all([stopped, run]);
    assert.ok(log.lines.some((line) => line.includes("came too late: its lease is stale")));
  });
});
