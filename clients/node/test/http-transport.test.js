// A worker over plain requests, against a fake server.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FakeServer, leaseOf } from "../testing/fake-server.js";
import { aborted, heldHandler, startWorker } from "../testing/workers.js";

const CLAIM = "/api/v1/workers/test/claim";

/** Sorts the requests of a worker, because claims and updates are independent of each other. */
class Requests {
  #server;
  #kept = [];

  constructor(server) {
    this.#server = server;
  }

  async next(path) {
    const at = this.#kept.findIndex((request) => request.path === path);
    if (at >= 0) return this.#kept.splice(at, 1)[0];
    for (;;) {
      const request = await this.#server.requests.next(path);
      if (request.path === path) return request;
      this.#kept.push(request);
    }
  }

  claim() {
    return this.next(CLAIM);
  }

  update() {
    return this.next("/api/v1/leases");
  }
}

function confirm({ body, respond }, { extend = "kept", settle = "settled" } = {}) {
  const answers = (leases = [], status) => leases.map((lease) => ({ lease, status }));
  respond(200, { extend: answers(body.extend, extend), settle: answers(body.settle?.map(({ lease }) => lease), settle) });
}

async function started(t, handlers, options) {
  const server = await FakeServer.start(t);
  const running = startWorker(t, server, handlers, { transport: "http", ...options });
  return { server, requests: new Requests(server), ...running };
}

describe("a worker over HTTP", () => {
  it("claims what it has slots for, and settles while it claims again", async (t) => {
    const { requests } = await started(t, { echo: async (payload) => payload }, { concurrency: 3, token: "secret" });
    const claim = await requests.claim();
    assert.equal(claim.headers.authorization, "Bearer secret");
    const { about, ...body } = claim.body;
    assert.deepEqual(body, { queues: ["default"], kinds: ["echo"], max: 3, lease_ms: 30_000, wait_ms: 20_000 });
    assert.equal(about.client, "cortado-node");
    assert.match(about.instance, /^[0-9a-f]{16}$/);
    const leases = [leaseOf("echo", 1), leaseOf("echo", 2)];
    claim.respond(200, { leases });
    const update = await requests.update();
    assert.deepEqual(update.body, { settle: leases.map(({ lease, job }) => ({ lease, outcome: "done", result: job.payload })) });
    const { body: second } = await requests.claim();
    assert.equal(second.max <= 3, true);
    assert.deepEqual(second.about, about);
    confirm(update);
  });

  it("claims nothing while all slots are busy", async (t) => {
    const { handler, begun } = heldHandler();
    const { requests, server } = await started(t, { held: handler }, { concurrency: 1 });
    (await requests.claim()).respond(200, { leases: [leaseOf("held", 1)] });
    const { resolve } = await begun.next();
    assert.equal(server.requests.length, 0);
    resolve(1);
    confirm(await requests.update());
    assert.equal((await requests.claim()).body.max, 1);
  });

  it("repeats an update until it is answered, with what has become ready since", async (t) => {
    const { handler, begun } = heldHandler();
    const { requests } = await started(t, { held: handler });
    const leases = [leaseOf("held", 1), leaseOf("held", 2)];
    (await requests.claim()).respond(200, { leases });
    const [first, second] = [await begun.next(), await begun.next()];
    first.context.log("a line");
    first.resolve("a");
    const update = await requests.update();
    assert.equal(update.body.note[0].lines[0].text, "a line");
    second.resolve("b");
    update.respond(503, { code: "store_unavailable", detail: "the disk is full" });
    const broken = await requests.update();
    assert.deepEqual(broken.body.settle.map(({ result }) => result), ["a", "b"]);
    assert.equal(broken.body.note[0].lines[0].text, "a line");
    broken.response.destroy();
    const last = await requests.update();
    assert.deepEqual(last.body.settle.map(({ result }) => result), ["a", "b"]);
    confirm(last);
  });

  it("learns from the answers to heartbeats that a job is cancelled or lost", async (t) => {
    const { handler, begun } = heldHandler();
    const { requests } = await started(t, { held: handler }, { leaseMs: 90 });
    const leases = [leaseOf("held", 1), leaseOf("held", 2)];
    (await requests.claim()).respond(200, { leases });
    const contexts = [(await begun.next()).context, (await begun.next()).context];
    const update = await requests.update();
    assert.deepEqual(update.body, { extend: leases.map(({ lease }) => lease), lease_ms: 90 });
    update.respond(200, { extend: [{ lease: leases[0].lease, status: "cancel" }, { lease: leases[1].lease, status: "lost" }], settle: [] });
    assert.equal((await aborted(contexts[0].signal)).why, "cancelled");
    assert.equal((await aborted(contexts[1].signal)).why, "lost");
  });

  it("replaces a settle that the server refuses", async (t) => {
    const { requests } = await started(t, { echo: (payload) => payload });
    const lease = leaseOf("echo", "long");
    (await requests.claim()).respond(200, { leases: [lease] });
    (await requests.update()).respond(413, { code: "body_too_large", detail: "the body has more than 2 MiB" });
    const update = await requests.update();
    const error = "the server refused the outcome of this attempt: the body has more than 2 MiB";
    assert.deepEqual(update.body.settle, [{ lease: lease.lease, outcome: "retry", error }]);
    confirm(update);
  });

  it("claims again when the server stops, is overloaded, or breaks the connection", async (t) => {
    const { requests } = await started(t, { echo: (payload) => payload });
    (await requests.claim()).respond(503, { code: "stopping", detail: "the server is stopping" }, { "retry-after": "0" });
    (await requests.claim()).response.destroy();
    (await requests.claim()).respond(200, { leases: [] });
    await requests.claim();
  });

  it("asks less often while it is quieted", async (t) => {
    const { requests } = await started(t, { echo: (payload) => payload });
    const claim = await requests.claim();
    const answeredAt = performance.now();
    claim.respond(200, { leases: [], command: "quiet" });
    (await requests.claim()).respond(200, { leases: [leaseOf("echo", 1)] });
    assert.ok(performance.now() - answeredAt > 900);
    confirm(await requests.update());
  });

  it("throws when its first claim is refused", async (t) => {
    const { requests, run } = await started(t, { echo: (payload) => payload });
    (await requests.claim()).respond(403, { code: "forbidden", detail: "the role worker is needed" });
    await assert.rejects(run, { code: "forbidden" });
  });

  it("stops: it ends its claim, gives back what is not done, and signs off", async (t) => {
    const { handler, begun } = heldHandler();
    const { requests, run, worker } = await started(t, { held: handler });
    const lease = leaseOf("held", 1);
    (await requests.claim()).respond(200, { leases: [lease] });
    const { context } = await begun.next();
    const claim = await requests.claim();
    const claimEnded = new Promise((resolve) => claim.request.socket.once("close", resolve));
    const stopped = worker.stop({ graceMs: 0 });
    await claimEnded;
    assert.equal((await aborted(context.signal)).why, "stopping");
    const update = await requests.update();
    assert.deepEqual(update.body.settle, [{ lease: lease.lease, outcome: "returned" }]);
    confirm(update);
    const farewell = await requests.next("/api/v1/workers/test");
    assert.equal(farewell.method, "DELETE");
    farewell.respond(200, { returned: 0 });
    await Promise.all([stopped, run]);
  });

  it("obeys the command to stop, although nobody knows it when it signs off", async (t) => {
    const { requests, run } = await started(t, { echo: (payload) => payload });
    (await requests.claim()).respond(200, { leases: [], command: "stop" });
    (await requests.next("/api/v1/workers/test")).respond(404, { code: "worker_not_found", detail: "there is none" });
    await run;
  });
});
