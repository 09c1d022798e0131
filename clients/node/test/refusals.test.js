// What a worker does when the server refuses its token or its messages, against a fake server.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { CortadoError } from "../src/index.js";
import { RetryDelays } from "../src/refusals.js";
import { FakeServer, leaseOf } from "../testing/fake-server.js";
import { Queue } from "../testing/queue.js";
import { Log, startWorker } from "../testing/workers.js";

const REVOKED = { status: 401, body: { code: "unauthorized", detail: "no" } };
const FORBIDDEN = { status: 403, body: { code: "forbidden", detail: "no" } };
const AWAY = { status: 502, body: "oops" };
/** Long delays for a refused token, as by default. */
const PATIENT = { reconnect: { baseMs: 1, capMs: 5 } };

function refusals(log) {
  return log.lines.filter((line) => line.includes("no longer accepts the token"));
}

function delayMs(line) {
  return Number(/trying again in (\d+) ms/.exec(line)[1]);
}

describe("a token that is refused", () => {
  it("is tried again ever more rarely, and an outage meanwhile is not", () => {
    const log = new Log();
    const delays = new RetryDelays({ baseMs: 250, capMs: 30_000, refusedBaseMs: 10_000, refusedCapMs: 300_000 }, log);
    for (const times of [1, 2]) {
      for (let attempt = 0; attempt < 10; attempt++) {
        const whole = Math.min(300_000, 10_000 * 2 ** attempt);
        const refused = delays.after(new CortadoError({ code: "unauthorized", status: 401, detail: "no" }));
        assert.ok(refused >= whole / 2 && refused <= whole, `${attempt}: ${refused}`);
        assert.ok(delays.after(CortadoError.unreachable("gone")) <= Math.min(30_000, 250 * 2 ** attempt));
      }
      assert.equal(refusals(log).length, times);
      delays.succeeded();
    }
  });

  it("does not end a worker over WebSocket, and is logged once until it is accepted again", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload });
    for (const times of [1, 2]) {
      const connection = await server.greet();
      assert.equal(refusals(log).length, times - 1);
      server.refusals.push(REVOKED, AWAY, FORBIDDEN, REVOKED);
      connection.close(1008, "revoked");
    }
    await server.greet();
    assert.equal(refusals(log).length, 2);
    assert.equal(log.lines.filter((line) => line.includes("http_502")).length, 2);
  });

  it("is tried again after a long time, and a stop does not wait for it", async (t) => {
    const server = await FakeServer.start(t);
    const { worker, run, log } = startWorker(t, server, { echo: (payload) => payload }, PATIENT);
    const connection = await server.greet();
    server.refusals.push(REVOKED);
    const said = new Queue("error in the log");
    log.error = (line) => said.push(line);
    connection.close(1008, "revoked");
    assert.ok(delayMs(await said.next()) >= 5_000);
    await worker.stop();
    await run;
  });

  it("is logged once by the claims and once by the reports of a worker over HTTP, which go on", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload }, { transport: "http" });
    (await server.requests.next()).respond(200, { leases: [leaseOf("echo", 1)] });
    for (let request = 0; request < 6; request++) (await server.requests.next()).respond(401, REVOKED.body);
    const next = [await server.requests.next(), await server.requests.next()];
    assert.ok(next.some(({ path, body }) => path === "/api/v1/leases" && body.settle[0].outcome === "done"));
    assert.equal(refusals(log).length, 2);
  });

  it("slows down the claims and the reports of a worker over HTTP", async (t) => {
    const server = await FakeServer.start(t);
    const { log } = startWorker(t, server, { echo: (payload) => payload }, { transport: "http", ...PATIENT });
    const said = new Queue("error in the log");
    log.error = (line) => said.push(line);
    (await server.requests.next()).respond(200, { leases: [leaseOf("echo", 1)] });
    for (let request = 0; request < 2; request++) (await server.requests.next()).respond(401, REVOKED.body);
    for (let line = 0; line < 2; line++) assert.ok(delayMs(await said.next()) >= 5_000);
  });
});

describe("a refused message", () => {
  const error = { type: "error", code: "invalid_fields", field: "settle[0].result", message: "is too long" };

  it("that is named concerns no other one, and its credit is given again", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { echo: (payload) => payload });
    const connection = await server.greet();
    connection.sendJobs("echo", 1);
    const first = await connection.next("update");
    const [lease] = connection.sendJobs("echo", 2);
    const second = await connection.next("update");
    connection.send({ ...error, id: second.id }, { ...error, id: 4711 });
    const third = await connection.next("update");
    assert.deepEqual(third.settle.map((settle) => [settle.lease, settle.outcome]), [[lease, "retry"]]);
    assert.match(third.settle[0].error, /is too long/);
    assert.equal(third.free, 1);
    connection.confirm(third);
    connection.confirm(first);
    connection.drop();
    assert.deepEqual((await server.greet()).ready.held, []);
  });

  it("with several settles is sent one by one, so that only the wrong one fails", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { echo: (payload, context) => (context.log("a line"), payload) });
    const connection = await server.greet();
    const leases = connection.sendJobs("echo", 0, 1, 2);
    const { id, note } = await connection.next("update");
    assert.equal(note.length, 3);
    connection.send({ ...error, id });
    const outcomes = {};
    let free = 0;
    while (Object.keys(outcomes).length < 3) {
      const update = await connection.next("update");
      assert.equal(update.settle.length, 1);
      const [settle] = update.settle;
      if (settle.lease === leases[1] && settle.outcome === "done") {
        connection.send({ ...error, id: update.id });
        continue;
      }
      outcomes[settle.lease] = settle.outcome;
      free += update.free ?? 0;
      connection.confirm(update);
    }
    assert.deepEqual(outcomes, { [leases[0]]: "done", [leases[1]]: "retry", [leases[2]]: "done" });
    assert.equal(free, 3);
  });

  it("that a failing store could not take is sent again unchanged", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { echo: (payload) => payload });
    let connection = await server.greet();
    const [lease] = connection.sendJobs("echo", 1);
    for (const isNamed of [true, false]) {
      const { id, settle } = await connection.next("update");
      assert.deepEqual(settle, [{ lease, outcome: "done", result: 1 }]);
      connection.send({ type: "error", code: "store_unavailable", message: "the disk is full", ...(isNamed && { id }) });
      connection.close(1013);
      connection = await server.greet();
      assert.deepEqual(connection.ready.held, [lease]);
    }
    assert.deepEqual((await connection.next("update")).settle, [{ lease, outcome: "done", result: 1 }]);
  });

  it("over HTTP is sent settle by settle, too", async (t) => {
    const server = await FakeServer.start(t);
    startWorker(t, server, { echo: (payload) => payload }, { transport: "http" });
    const jobs = [0, 1, 2].map((payload) => leaseOf("echo", payload));
    const wrong = jobs[1].lease;
    const outcomes = {};
    let isFirst = true;
    while (Object.keys(outcomes).length < 3) {
      const { path, body, respond } = await server.requests.next();
      if (path.endsWith("/claim")) {
        if (isFirst) respond(200, { leases: jobs });
        isFirst = false;
        continue;
      }
      const settles = body.settle.map(({ lease, outcome }) => [lease, outcome]);
      if (settles.length > 1 || (settles[0][0] === wrong && settles[0][1] === "done")) {
        respond(422, { code: "invalid_fields", detail: "no" });
        continue;
      }
      Object.assign(outcomes, Object.fromEntries(settles));
      respond(200, { settle: settles.map(([lease]) => ({ lease, status: "settled" })) });
    }
    assert.deepEqual(Object.values(outcomes).sort(), ["done", "done", "retry"]);
    assert.equal(outcomes[wrong], "retry");
  });
});
