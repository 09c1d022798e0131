// The protocol vectors, which the server and all clients share: the worker's messages are produced from their meaning, and
// the server's are sent to a worker.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { BYE_MESSAGE, PING_MESSAGE, claimBody, lineText, noteText, progressMember, readyMessage, settleText, updateMembers, updateMessage, workerPaths } from "../src/protocol.js";
import { FakeServer, GREETING, leaseOf } from "../testing/fake-server.js";
import { startWorker } from "../testing/workers.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}.json`, import.meta.url)));
const messages = read("worker-messages");
const exchanges = read("worker-exchanges");

/** Produces a message of the worker with what the worker itself uses. */
const produce = {
  ready: ({ free, queues, kinds, lease_ms, about, held }) => readyMessage({ free, queues, kinds, leaseMs: lease_ms, about, held }),
  update: ({ id, ...update }) => updateMessage(id, membersOf(update)),
  ping: () => PING_MESSAGE,
  bye: () => BYE_MESSAGE,
};

function membersOf({ extend, lease_ms, note = [], settle = [], free }) {
  const notes = note.map(({ lease, lines = [], progress }) => {
    const { done, total, message } = progress ?? {};
    return noteText(lease, { lines: lines.map(lineText), progress: progress && progressMember(done, total, message) });
  });
  return updateMembers({ extend, leaseMs: lease_ms, notes, settles: settle.map(settleOf), free });
}

function settleOf({ lease, outcome, ...members }) {
  const { result, error, after_ms, delay_ms } = members;
  const values = { done: [result], retry: [error, after_ms], snooze: [delay_ms], discard: [error] }[outcome] ?? [];
  return settleText[outcome](lease, ...values);
}

describe("the worker produces", () => {
  for (const { name, message } of messages.filter(({ from }) => from === "worker")) {
    it(name, () => assert.deepEqual(JSON.parse(produce[message.type](message)), message));
  }
  for (const { name, request } of exchanges.filter(isOfWorkers)) {
    it(name, () => assert.deepEqual(requestLike(request), request));
  }
});

/** Callbacks are sent by the targets of `http` jobs, not by workers. */
function isOfWorkers({ request }) {
  return !request.path.startsWith("/api/v1/leases/");
}

function requestLike({ method, path, body }) {
  const paths = workerPaths(decodeURIComponent(path.split("/")[4] ?? "any"));
  if (path.endsWith("/claim")) {
    const { queues, kinds, max, lease_ms, wait_ms, about } = body;
    const text = claimBody({ queues, kinds, max, leaseMs: lease_ms, waitMs: wait_ms, about });
    return { method, path: paths.claim, body: JSON.parse(text) };
  }
  if (method === "DELETE") return { method, path: paths.worker };
  return { method, path: paths.leases, body: JSON.parse(`{${membersOf(body)}}`) };
}

describe("the worker understands", () => {
  for (const { name, message } of messages.filter(({ from }) => from === "server")) {
    it(`${name}, and ignores unknown members`, async (t) => {
      const server = await FakeServer.start(t);
      startWorker(t, server, { echo: (payload) => payload, resize: () => 1 });
      const first = await server.connections.next();
      await first.next("ready");
      const sent = { ...message, unknown: [{ member: 1 }] };
      first.send(...(message.type === "hello" ? [sent] : [GREETING, sent]));
      if (message.command === "stop" || message.why === "signed_off") return;
      // It still works, on the same connection or, when the server has said goodbye, on the next.
      if (message.type === "bye") first.close(1001);
      const now = message.type === "bye" ? await server.greet() : first;
      const lease = leaseOf("echo", "still here");
      now.send({ type: "jobs", leases: [lease] });
      const settles = [];
      while (!settles.some((settle) => settle.lease === lease.lease)) {
        const next = await now.next();
        if (next.type === "update") settles.push(...next.settle);
      }
      assert.deepEqual(settles.at(-1), { lease: lease.lease, outcome: "done", result: "still here" });
    });
  }
});
