// The event stream of a browser tab, without a browser: tests control fake sockets, a fake clock and a fake page.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

let sockets;
let sources;
let polls;
let stored;
let listeners;
let states;
let events;
let gaps;

class FakeSocket {
  static OPEN = 1;
  constructor(url, protocols) {
    this.url = new URL(url);
    this.protocols = protocols;
    this.readyState = 0;
    sockets.push(this);
  }
  says(message) {
    this.readyState = 1;
    this.onmessage({ data: JSON.stringify(message) });
  }
  ends(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
  close(code) {
    this.readyState = 3;
    this.closedWith = code;
  }
}

class FakeSource {
  constructor(url) {
    Object.assign(this, { url: new URL(url), named: {}, closed: false });
    sources.push(this);
  }
  addEventListener(name, work) {
    this.named[name] = work;
  }
  says(name, message, lastEventId = "ab:5") {
    (name === "message" ? this.onmessage : this.named[name])({ data: JSON.stringify(message), lastEventId });
  }
  close() {
    this.closed = true;
  }
}

/** A request that waits for its answer; `answers` gives one, and `fails` is a network without a server. */
function fakeFetch(url, { signal }) {
  return new Promise((resolve, reject) => {
    const poll = { url: new URL(url), signal, fails: () => reject(new TypeError("failed to fetch")) };
    poll.answers = (body, status = 200, headers = {}) => resolve({ ok: status === 200, status, headers: new Map(Object.entries(headers)), json: async () => body });
    signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    polls.push(poll);
  });
}

const listen = (name, work) => (listeners[name] ??= []).push(work);
const happens = (name, event = {}) => listeners[name].forEach((work) => work(event));

globalThis.document = { hidden: false, addEventListener: listen };
globalThis.addEventListener = listen;
globalThis.location = { href: "http://desk.example/jobs", protocol: "http:" };
globalThis.WebSocket = FakeSocket;
globalThis.EventSource = FakeSource;
globalThis.fetch = fakeFetch;
globalThis.sessionStorage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, String(value)) };
mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
const { Stream } = await import("../../static/stream.js");

beforeEach(() => {
  sockets = [];
  sources = [];
  polls = [];
  stored = new Map();
  listeners = {};
  states = [];
  events = [];
  gaps = [];
  document.hidden = false;
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});

function open(params, options = {}) {
  return new Stream({
    cursor: "ab:5",
    params,
    onEvents: (batch) => events.push(...batch.map((event) => event.seq)),
    onGap: (gap) => gaps.push(gap),
    onState: ({ name, transport }) => states.push(transport ? `${name} (${transport})` : name),
    ...options,
  });
}

/** Lets promises settle, because their callbacks do not run within a step of the clock. */
const settle = async () => {
  for (let turn = 0; turn < 10; turn++) await null;
};

/** Fails every attempt over HTTP that is under way, as when there is no server. */
async function failHttp() {
  sources.at(-1)?.onerror();
  await settle();
  polls.at(-1)?.fails();
  await settle();
}

/** Advances the clock in small steps, because it gives timers set within a step the time of the step's end. */
function pass(ms) {
  for (let left = ms; left > 0; left -= 10) mock.timers.tick(Math.min(10, left));
}

const hello = { type: "hello", epoch: "ab", cursor: "ab:5", heartbeat_ms: 10_000, server: {} };
const last = () => sockets.at(-1);
const batch = (seqs, to) => ({ type: "events", events: seqs.map((seq) => ({ seq })), cursor: `ab:${to ?? seqs.at(-1)}` });

test("the socket starts at the cursor of the page, with its filter and protocol", () => {
  open([["type", "job.started"], ["type", "job.completed"]]);
  assert.equal(last().url.protocol, "ws:");
  assert.equal(last().url.searchParams.get("after"), "ab:5");
  assert.deepEqual(last().url.searchParams.getAll("type"), ["job.started", "job.completed"]);
  assert.deepEqual(last().protocols, ["cortado.v1+json"]);
  last().says(hello);
  assert.deepEqual(states, ["connecting", "live"]);
});

test("no event comes twice, also over a reconnect", () => {
  const stream = open();
  last().says(hello);
  last().says(batch([4, 5, 6, 7]));
  last().ends();
  pass(1000);
  assert.equal(last().url.searchParams.get("after"), "ab:7");
  last().says(batch([7, 8]));
  last().says({ type: "mark", cursor: "ab:20" });
  assert.deepEqual(events, [6, 7, 8]);
  assert.equal(stream.cursor, "ab:20");
});

test("the first retry comes within the time that the server names", (t) => {
  t.mock.method(Math, "random", () => 0.999);
  open();
  last().says(hello);
  last().says({ type: "bye", why: "stop", retry_ms: 200 });
  last().ends(1001);
  pass(190);
  assert.equal(sockets.length, 1);
  pass(10);
  assert.equal(sockets.length, 2);
});

test("retries go on for ever, never more than 30 s apart", async (t) => {
  t.mock.method(Math, "random", () => 0.999);
  open();
  for (let round = 0; round < 30; round++) {
    const before = sockets.length;
    last().ends();
    await failHttp();
    for (let waited = 0; waited < 30_000 && sockets.length === before; waited += 10) pass(10);
    assert.equal(sockets.length, before + 1, `round ${round}`);
  }
  assert.ok(!states.slice(1).includes("connecting"), "only the waits are reported");
});

test("nothing reconnects while hidden, and everything at once when seen again", () => {
  open();
  last().says(hello);
  document.hidden = true;
  last().ends();
  pass(120_000);
  assert.equal(sockets.length, 1);
  assert.equal(states.at(-1), "paused");
  document.hidden = false;
  happens("visibilitychange");
  assert.equal(sockets.length, 2);
});

test("the network's return connects at once, and only one socket", (t) => {
  t.mock.method(Math, "random", () => 0.999);
  open();
  last().says(hello);
  last().ends();
  happens("online");
  happens("online");
  assert.equal(sockets.length, 2);
  pass(1000);
  assert.equal(sockets.length, 2);
});

test("failures before the network's return do not delay the attempts after it", async (t) => {
  t.mock.method(Math, "random", () => 0.999);
  open();
  const fail = async () => {
    last().ends();
    await failHttp();
  };
  for (let round = 0; round < 8; round++) {
    await fail();
    for (const before = sockets.length; sockets.length === before; ) pass(10);
  }
  // The attempt that is under way began before the network was back.
  happens("online");
  const before = sockets.length;
  await fail();
  pass(1000);
  assert.equal(sockets.length, before + 1);
});

test("silence is told after one and a half heartbeats and ended after three", () => {
  open();
  last().says(hello);
  pass(15_000);
  assert.equal(states.at(-1), "live");
  pass(2_000);
  assert.equal(states.at(-1), "stale");
  last().says({ type: "mark", cursor: "ab:6" });
  assert.equal(states.at(-1), "live");
  const silent = last();
  pass(40_000);
  assert.equal(silent.readyState, 3);
  assert.ok(sockets.length >= 2);
  assert.equal(last().url.searchParams.get("after"), "ab:6");
});

test("a gap asks for a fresh snapshot and goes on behind it", () => {
  const stream = open();
  last().says(hello);
  last().says({ type: "gap", from: "ab:5", to: "cd:90" });
  assert.deepEqual(gaps, [{ from: "ab:5", to: "cd:90" }]);
  last().says({ type: "events", events: [{ seq: 91 }], cursor: "cd:91" });
  assert.deepEqual(events, [91]);
  assert.equal(stream.cursor, "cd:91");
});

test("a refusal is told and not repeated", () => {
  open();
  last().ends(1008, "too many sockets");
  pass(120_000);
  happens("online");
  assert.equal(sockets.length, 1);
  assert.equal(states.at(-1), "refused");
});

test("a stopping server is told until the socket ends", () => {
  open();
  last().says(hello);
  last().says({ type: "draining", grace_ms: 25_000 });
  last().says(batch([6]));
  assert.equal(states.at(-1), "draining");
  last().ends(1001);
  assert.equal(states.at(-1), "reconnecting");
});

test("a page that is left closes its socket, and opens one when it comes back from the cache", () => {
  open();
  last().says(hello);
  happens("pagehide");
  assert.equal(last().closedWith, 1000);
  pass(120_000);
  assert.equal(sockets.length, 1);
  happens("pageshow", { persisted: false });
  assert.equal(sockets.length, 1);
  happens("pageshow", { persisted: true });
  assert.equal(sockets.length, 2);
});

test("what is not understood is passed over", () => {
  open();
  last().says(hello);
  last().onmessage({ data: "not JSON" });
  last().says({ type: "of-tomorrow" });
  last().says(batch([6]));
  assert.deepEqual(events, [6]);
});

/** Opens a stream whose WebSocket is refused. */
function openBlocked(options) {
  const stream = open([["type", "job.*"]], options);
  last().ends();
  return stream;
}

test("a refused WebSocket is replaced at once by server-sent events, from the same cursor and with the same filter", () => {
  const stream = openBlocked();
  const [source] = sources;
  assert.deepEqual([source.url.pathname, source.url.searchParams.get("after"), source.url.searchParams.get("type")], ["/api/v1/events", "ab:5", "job.*"]);
  source.says("hello", hello);
  source.says("message", { seq: 5 }, "ab:5");
  source.says("message", { seq: 6 }, "ab:6");
  source.says("mark", { type: "mark", cursor: "ab:9" }, "ab:9");
  assert.deepEqual(events, [6]);
  assert.equal(stream.cursor, "ab:9");
  assert.deepEqual(states, ["connecting", "live (server-sent events)"]);
});

test("a handshake that nobody answers times out, over a WebSocket and over server-sent events", async () => {
  open();
  pass(6_000);
  assert.equal(last().readyState, 3);
  assert.equal(sources.length, 1);
  pass(6_000);
  assert.equal(sources[0].closed, true);
  assert.equal(polls[0].url.searchParams.get("wait"), null, "the first answer comes at once");
  polls[0].answers({ events: [{ seq: 6 }], cursor: "ab:8" });
  await settle();
  assert.deepEqual(events, [6]);
  assert.equal(states.at(-1), "live (polling)");
});

test("a poll waits for events, at most once a second, and goes on behind the last one", async () => {
  openBlocked();
  await failHttpSource();
  polls[0].answers({ events: [], cursor: "ab:7" });
  await settle();
  assert.equal(polls.length, 1);
  pass(1_000);
  await settle();
  assert.deepEqual([polls[1].url.searchParams.get("after"), polls[1].url.searchParams.get("wait"), polls[1].url.searchParams.get("stats")], ["ab:7", "10s", null]);
  polls[1].answers({ gap: { from: "ab:7", to: "cd:20" }, events: [], cursor: "cd:20" });
  await settle();
  assert.deepEqual(gaps, [{ from: "ab:7", to: "cd:20" }]);
  // A full answer is followed by the next poll at once.
  pass(1_000);
  await settle();
  polls[2].answers({ events: Array.from({ length: 1000 }, (_, n) => ({ seq: 21 + n })), cursor: "cd:1020" });
  await settle();
  pass(10);
  await settle();
  assert.equal(polls[3].url.searchParams.get("after"), "cd:1020");
});

/** Fails the server-sent events that were just tried. */
async function failHttpSource() {
  sources.at(-1).onerror();
  await settle();
}

test("counters come over every transport", async () => {
  const counted = [];
  const stream = openBlocked({ onStats: ({ cursor }) => counted.push(cursor) });
  assert.equal(sources[0].url.searchParams.get("stats"), "true");
  sources[0].says("hello", hello);
  sources[0].says("stats", { type: "stats", cursor: "ab:12" }, "ab:10");
  assert.equal(stream.cursor, "ab:10", "the position of the stream, not that of the counters");
  stored.set("cortado-transport", "2");
  open([], { onStats: ({ cursor }) => counted.push(cursor) });
  await settle();
  assert.equal(polls[0].url.searchParams.get("stats"), "true");
  polls[0].answers({ events: [], cursor: "ab:13", stats: { type: "stats", cursor: "ab:14" } });
  await settle();
  assert.deepEqual(counted, ["ab:12", "ab:14"]);
  pass(1_000);
  await settle();
  assert.equal(polls[1].url.searchParams.get("wait"), null, "counters do not wait for an event");
});

test("a WebSocket is tried again at a calm rate, and used once it gets through", () => {
  openBlocked();
  sources[0].says("hello", hello);
  assert.equal(sockets.length, 1);
  pass(15_000);
  assert.equal(sockets.length, 2);
  last().ends();
  assert.equal(sources[0].closed, false, "the connection in use stays");
  pass(14_000);
  sources[0].says("mark", { type: "mark", cursor: "ab:5" });
  pass(14_000);
  assert.equal(sockets.length, 2);
  sources[0].says("message", { seq: 6 }, "ab:6");
  pass(3_000);
  assert.equal(sockets.length, 3);
  assert.equal(last().url.searchParams.get("after"), "ab:6");
  last().says({ ...hello, cursor: "ab:6" });
  assert.equal(sources[0].closed, true);
  last().says(batch([6, 7]));
  assert.deepEqual(events, [6, 7]);
  assert.deepEqual([states[1], states.at(-1)], ["live (server-sent events)", "live"]);
  assert.equal(stored.get("cortado-transport"), "0");
});

test("a WebSocket that has worked before is tried several times before others, because a server may be restarting", (t) => {
  t.mock.method(Math, "random", () => 0.999);
  open();
  last().says(hello);
  last().ends(1001);
  for (let round = 0; round < 2; round++) {
    pass(8_000);
    last().ends();
    assert.equal(sources.length, 0);
  }
  pass(8_000);
  last().ends();
  assert.equal(sources.length, 1);
});

test("a WebSocket that opens and then stays silent twice is replaced", () => {
  open();
  for (let round = 0; round < 2; round++) {
    last().says(hello);
    assert.equal(sources.length, 0);
    pass(32_000);
  }
  assert.equal(sources.length, 1);
});

test("the next page begins with the transport that worked on the last one", () => {
  stored.set("cortado-transport", "1");
  open();
  assert.deepEqual([sockets.length, sources.length], [0, 1]);
});

test("a hidden page holds no connection over HTTP, and continues at its cursor when it is seen again", () => {
  openBlocked();
  sources[0].says("hello", hello);
  sources[0].says("message", { seq: 6 }, "ab:6");
  document.hidden = true;
  happens("visibilitychange");
  assert.equal(sources[0].closed, true);
  assert.match(states.at(-1), /^paused/);
  pass(120_000);
  assert.equal(sockets.length + sources.length, 2);
  document.hidden = false;
  happens("visibilitychange");
  assert.equal(sources[1].url.searchParams.get("after"), "ab:6");
});

test("a poll that the server refuses for now is repeated when it says", async (t) => {
  t.mock.method(Math, "random", () => 0);
  openBlocked();
  await failHttpSource();
  polls[0].answers({}, 429, { "retry-after": "10" });
  await settle();
  pass(9_000);
  assert.equal(sockets.length, 1);
  pass(1_500);
  assert.equal(sockets.length, 2);
});
