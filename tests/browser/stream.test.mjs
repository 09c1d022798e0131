// The event stream of a browser tab, without a browser: tests control fake sockets, a fake clock and a fake page.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

let sockets;
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

const listen = (name, work) => (listeners[name] ??= []).push(work);
const happens = (name, event = {}) => listeners[name].forEach((work) => work(event));

globalThis.document = { hidden: false, addEventListener: listen };
globalThis.addEventListener = listen;
globalThis.location = { href: "http://desk.example/jobs", protocol: "http:" };
globalThis.WebSocket = FakeSocket;
mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
const { Stream } = await import("../../static/stream.js");

beforeEach(() => {
  sockets = [];
  listeners = {};
  states = [];
  events = [];
  gaps = [];
  document.hidden = false;
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});

function open(params) {
  return new Stream({
    cursor: "ab:5",
    params,
    onEvents: (batch) => events.push(...batch.map((event) => event.seq)),
    onGap: (gap) => gaps.push(gap),
    onState: (state) => states.push(state.name),
  });
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

test("retries go on for ever, never more than 30 s apart", (t) => {
  t.mock.method(Math, "random", () => 0.999);
  open();
  for (let round = 0; round < 30; round++) {
    const before = sockets.length;
    last().ends();
    pass(30_000);
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
  last().ends();
  happens("online");
  happens("online");
  assert.equal(sockets.length, 2);
  pass(1000);
  assert.equal(sockets.length, 2);
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
