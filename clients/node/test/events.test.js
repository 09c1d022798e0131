// Subscriptions to the event stream, against a fake server.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client } from "../src/index.js";
import { FakeServer } from "../testing/fake-server.js";

const hello = 'retry: 5\nevent: hello\nid: e:1\ndata: {"type":"hello","cursor":"e:1","heartbeat_ms":10000}\n\n';
const event = (seq) => `id: e:${seq}\ndata: {"seq":${seq},"type":"job.completed","job":{"id":"j"}}\n\n`;

async function started(t, options) {
  const server = await FakeServer.start(t);
  const client = new Client(server.url);
  t.after(() => client.close());
  return { server, client, events: client.subscribe({ reconnect: { baseMs: 1, capMs: 5 }, ...options }) };
}

/** Answers a request with the beginning of a stream. */
function stream({ response }, ...parts) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const part of parts) response.write(part);
}

describe("a subscription", () => {
  it("iterates over events and gaps with their cursors, however they are cut", async (t) => {
    const { server, events } = await started(t, { after: "e:0", queue: ["a", "b"], type: "job.*" });
    const first = events.next();
    const request = await server.requests.next();
    assert.equal(request.path, "/api/v1/events?queue=a%2Cb&type=job.*");
    assert.equal(request.headers["last-event-id"], "e:0");
    assert.equal(request.headers.accept, "text/event-stream");
    const gap = 'event: gap\nid: e:5\ndata: {"type":"gap","from":"e:0","to":"e:5"}\n\n';
    const bytes = Buffer.from(hello + gap + ": a comment\n\n" + event(6).replace('"j"', '"ü"') + event(7));
    stream(request);
    for (let at = 0; at < bytes.length; at++) request.response.write(bytes.subarray(at, at + 1));
    assert.deepEqual((await first).value, { type: "gap", from: "e:0", to: "e:5" });
    assert.equal(events.cursor, "e:5");
    const second = await events.next();
    assert.deepEqual([second.value.seq, second.value.job.id, events.cursor], [6, "ü", "e:6"]);
    assert.equal((await events.next()).value.seq, 7);
  });

  it("resumes at its cursor after the connection breaks, the server stops, or it is refused for a while", async (t) => {
    const { server, events } = await started(t);
    const first = events.next();
    const request = await server.requests.next();
    assert.equal(request.headers["last-event-id"], undefined);
    stream(request, hello, event(2));
    assert.equal((await first).value.seq, 2);
    const second = events.next();
    request.response.destroy();
    const again = await server.requests.next();
    assert.equal(again.headers["last-event-id"], "e:2");
    again.respond(503, { code: "sockets_full", detail: "full" }, { "retry-after": "0" });
    const marked = await server.requests.next();
    const mark = 'event: mark\nid: e:9\ndata: {"type":"mark","cursor":"e:9"}\n\n';
    stream(marked, hello.replaceAll("e:1", "e:2"), mark, 'event: bye\ndata: {"type":"bye","why":"stopping","retry_ms":5}\n\n');
    marked.response.end();
    const last = await server.requests.next();
    assert.equal(last.headers["last-event-id"], "e:9");
    stream(last, hello.replaceAll("e:1", "e:9"), event(10));
    assert.equal((await second).value.seq, 10);
  });

  it("that has seen nothing yet resumes where it began", async (t) => {
    const { server, events } = await started(t);
    const first = events.next();
    const request = await server.requests.next();
    stream(request, hello);
    request.response.end();
    const again = await server.requests.next();
    assert.equal(again.headers["last-event-id"], "e:1");
    stream(again, event(2));
    assert.equal((await first).value.seq, 2);
  });

  it("notices that the server is silent", async (t) => {
    const { server, events } = await started(t);
    const first = events.next();
    stream(await server.requests.next(), hello.replace("10000", "10"));
    const again = await server.requests.next();
    stream(again, event(2));
    assert.equal((await first).value.seq, 2);
  });

  it("throws when it is refused", async (t) => {
    const { server, events } = await started(t);
    const first = events.next();
    (await server.requests.next()).respond(403, { code: "forbidden", detail: "no" });
    await assert.rejects(first, { code: "forbidden" });
  });

  it("ends its connection when the loop is left", async (t) => {
    const { server, events } = await started(t);
    const loop = (async () => {
      for await (const { seq } of events) if (seq === 2) return "left";
    })();
    const request = await server.requests.next();
    const closed = new Promise((resolve) => request.request.socket.once("close", resolve));
    stream(request, hello, event(2));
    assert.equal(await loop, "left");
    await closed;
    assert.deepEqual(await events.next(), { done: true, value: undefined });
  });

  it("ends while it waits, by return or by its signal", async (t) => {
    const abort = new AbortController();
    const { server, client, events } = await started(t, { signal: abort.signal });
    const aborted = events.next();
    stream(await server.requests.next(), hello);
    abort.abort();
    await assert.rejects(aborted, { name: "AbortError" });
    const other = client.subscribe();
    const waiting = other.next();
    stream(await server.requests.next(), hello);
    await other.return();
    assert.deepEqual(await waiting, { done: true, value: undefined });
  });

  it("refuses a filter that does not exist", async () => {
    assert.throws(() => new Client("http://127.0.0.1:9").subscribe({ queues: "a" }), /unknown option of a subscription: queues/);
  });
});
