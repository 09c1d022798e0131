// The client for producers, against a fake server.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client, WaitTimeoutError } from "../src/index.js";
import { FakeServer } from "../testing/fake-server.js";

async function started(t, options) {
  const server = await FakeServer.start(t);
  const client = new Client(server.url, options);
  t.after(() => client.close());
  return { server, client };
}

describe("submit", () => {
  it("sends every option under the name of the API", async (t) => {
    const { server, client } = await started(t, { token: "secret" });
    const runAt = new Date("2026-11-23T08:00:00Z");
    const backoff = { baseMs: 100, capMs: 200 };
    const options = { queue: "mail", priority: -3, delayMs: 5, runAt, maxAttempts: 7, backoff, timeoutMs: 9, idempotencyKey: "k", tags: ["a"] };
    const job = client.submit("send", { to: "x" }, options);
    const request = await server.requests.next();
    assert.deepEqual([request.method, request.path, request.headers.authorization], ["POST", "/api/v1/jobs", "Bearer secret"]);
    assert.deepEqual(request.body, {
      kind: "send", payload: { to: "x" }, queue: "mail", priority: -3, delay_ms: 5, run_at: "2026-11-23T08:00:00.000Z", max_attempts: 7,
      backoff: { base_ms: 100, cap_ms: 200 }, timeout_ms: 9, idempotency_key: "k", tags: ["a"],
    });
    request.respond(202, { id: "1", state: "available" });
    assert.deepEqual(await job, { id: "1", state: "available" });
  });

  it("without a key gets one, so that it is the same job when it is repeated", async (t) => {
    const { server, client } = await started(t);
    const job = client.submit("send");
    const first = await server.requests.next();
    assert.deepEqual(Object.keys(first.body), ["kind", "payload", "idempotency_key"]);
    assert.equal(first.body.payload, null);
    first.response.destroy();
    const second = await server.requests.next();
    second.respond(503, { code: "store_unavailable", detail: "no" }, { "retry-after": "0" });
    const third = await server.requests.next();
    assert.deepEqual([second.body, third.body], [first.body, first.body]);
    third.respond(200, { id: "1", existing: true });
    assert.equal((await job).existing, true);
  });

  it("waits for the end if it is asked to", async (t) => {
    const { server, client } = await started(t);
    const job = client.submit("send", null, { waitMs: 1_500 });
    const request = await server.requests.next();
    assert.equal(request.path, "/api/v1/jobs?wait=1500ms");
    request.respond(200, { id: "1", state: "completed", result: 5 });
    assert.equal((await job).result, 5);
  });

  it("refuses an option that does not exist", async () => {
    const client = new Client("http://127.0.0.1:9");
    await assert.rejects(client.submit("send", null, { delay: 5 }), /unknown option of a submission: delay/);
  });

  it("throws the problem of the server, with each invalid field", async (t) => {
    const { server, client } = await started(t);
    const job = client.submit("send", null);
    const errors = [{ field: "priority", message: "must be an integer" }];
    (await server.requests.next()).respond(422, { code: "invalid_fields", detail: "priority: must be an integer", status: 422, errors });
    await assert.rejects(job, { name: "CortadoError", code: "invalid_fields", status: 422, detail: "priority: must be an integer", errors });
  });

  it("of many jobs sends one array", async (t) => {
    const { server, client } = await started(t);
    const jobs = client.submitMany([{ kind: "a", payload: 1 }, { kind: "b", priority: 1, idempotencyKey: "k" }]);
    const request = await server.requests.next();
    const [first, second] = request.body;
    assert.deepEqual([first.kind, first.payload, typeof first.idempotency_key], ["a", 1, "string"]);
    assert.deepEqual(second, { kind: "b", payload: null, priority: 1, idempotency_key: "k" });
    request.respond(202, { jobs: [{ id: "1" }, { id: "2" }] });
    assert.deepEqual(await jobs, [{ id: "1" }, { id: "2" }]);
    assert.deepEqual(await client.submitMany([]), []);
  });

  it("ends when its signal is aborted", async (t) => {
    const { server, client } = await started(t);
    const abort = new AbortController();
    const job = client.submit("send", null, { signal: abort.signal });
    await server.requests.next();
    abort.abort();
    await assert.rejects(job, { name: "AbortError" });
  });
});

describe("wait", () => {
  it("asks again until the job is final, and not at once when the server answers early because it is stopping", async (t) => {
    const { server, client } = await started(t);
    const job = client.wait("1");
    const first = await server.requests.next();
    assert.equal(first.path, "/api/v1/jobs/1?wait=30000ms");
    const answeredAt = performance.now();
    first.respond(202, { id: "1", state: "running" });
    const second = await server.requests.next();
    assert.ok(performance.now() - answeredAt > 200);
    second.respond(200, { id: "1", state: "completed", result: [1] });
    assert.deepEqual((await job).result, [1]);
  });

  it("throws when the job does not end in time", async (t) => {
    const { server, client } = await started(t);
    const job = client.wait("1", { timeoutMs: 0 });
    (await server.requests.next()).respond(202, { id: "1", state: "running" });
    await assert.rejects(job, (error) => error instanceof WaitTimeoutError && error.job.state === "running");
  });
});

describe("a request", () => {
  it("that is not safe to repeat is repeated only when the server has not carried it out", async (t) => {
    const { server, client } = await started(t);
    const cancelled = client.cancel("1");
    const first = await server.requests.next();
    assert.deepEqual([first.method, first.path], ["POST", "/api/v1/jobs/1/cancel"]);
    first.respond(429, { code: "too_many_connections", detail: "no" }, { "retry-after": "0" });
    (await server.requests.next()).respond(200, { id: "1", state: "cancelled" });
    assert.equal((await cancelled).state, "cancelled");

    for (const answer of [(request) => request.response.destroy(), (request) => request.respond(503, { code: "timed_out", detail: "no" })]) {
      const failed = client.cancel("1");
      answer(await server.requests.next());
      await assert.rejects(failed, { name: "CortadoError" });
      assert.equal(server.requests.length, 0);
    }
  });

  it("gives up after its retries, and at once when it would have to wait for long", async (t) => {
    const { server, client } = await started(t, { retries: 1 });
    const job = client.get("1");
    for (let tries = 0; tries < 2; tries++) (await server.requests.next()).respond(502, undefined);
    await assert.rejects(job, { code: "http_502", status: 502 });
    const late = client.get("1");
    (await server.requests.next()).respond(429, { code: "too_many_failed_logins", detail: "no" }, { "retry-after": "300" });
    await assert.rejects(late, { code: "too_many_failed_logins", retryAfterMs: 300_000 });
  });

  it("fails when no response comes in time or nobody listens", async (t) => {
    const { server, client } = await started(t, { retries: 0, timeoutMs: 20 });
    await assert.rejects(client.get("1"), { code: "unreachable", detail: /no response within 20 ms/ });
    server.close();
    await assert.rejects(client.get("1"), { code: "unreachable", status: 0 });
  });

  it("keeps the base path of the server, and its address has no credentials", async (t) => {
    const { server } = await started(t);
    const client = new Client(`${server.url}/tools/cortado/`);
    t.after(() => client.close());
    const job = client.get("a/b");
    const request = await server.requests.next();
    assert.equal(request.path, "/tools/cortado/api/v1/jobs/a%2Fb");
    request.respond(200, { id: "a/b" });
    await job;
    assert.throws(() => new Client("http://user:password@127.0.0.1"), TypeError);
  });
});
