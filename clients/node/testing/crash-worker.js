// The worker that the crash test of the server kills at random moments: ADDRESS NAME FILE. It appends to the file which
// attempts it has begun, and which ends the server has confirmed.

import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Outbox } from "../src/outbox.js";
import { Worker } from "../src/index.js";

const [url, name, file] = process.argv.slice(2);
const write = (...words) => appendFileSync(file, `${words.join(" ")}\n`);

/** The jobs of settles that are not confirmed, by lease. */
const jobs = new Map();

function recordConfirmations() {
  const { settle, confirm } = Outbox.prototype;
  Outbox.prototype.settle = function (attempt, text) {
    jobs.set(attempt.lease, attempt.job.id);
    return settle.call(this, attempt, text);
  };
  Outbox.prototype.confirm = function (answers = []) {
    for (const { lease, status } of answers) {
      const job = jobs.get(lease);
      if (jobs.delete(lease) && status === "settled") write("confirmed", job);
    }
    return confirm.call(this, answers);
  };
}

// A test runner that takes every file for a test runs it without an address.
if (url) {
  recordConfirmations();
  const reconnect = { baseMs: 20, capMs: 100 };
  const worker = new Worker(url, { name, concurrency: 4, leaseMs: 2_000, graceMs: 100, reconnect });
  let count = 0;
  worker.handle("work", async ({ ms, fails }, { job, attempt }) => {
    const mark = `${name}-${++count}`;
    write("began", job.id, attempt, mark);
    await sleep(ms);
    if (attempt <= fails) throw new Error("it fails on purpose");
    return mark;
  });
  await worker.run();
}
