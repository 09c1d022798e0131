// Workers of tests.

import { Worker } from "../src/index.js";
import { Queue } from "./queue.js";

/** Keeps what the worker logs. */
export class Log {
  lines = [];
  info = (line) => void this.lines.push(line);
  warn = (line) => void this.lines.push(line);
  error = (line) => void this.lines.push(line);
}

/**
 * Starts a worker with handlers by kind; it is stopped at the end of the test.
 * @param {{after: (f: () => unknown) => void}} t
 */
export function startWorker(t, server, handlers, options = {}) {
  const log = new Log();
  const worker = new Worker(server.url, { name: "test", signals: false, logger: log, reconnect: { baseMs: 1, capMs: 5, refusedBaseMs: 1, refusedCapMs: 5 }, ...options });
  for (const [kind, handler] of Object.entries(handlers)) worker.handle(kind, handler);
  const run = worker.run();
  run.catch(() => {}); // the tests that expect a failure wait for it themselves
  t.after(() => {
    server.close();
    void worker.stop({ graceMs: 0 }); // it has nobody left to tell, and takes its time to notice
  });
  return { worker, run: bounded(run), log };
}

/** The end of a worker, for which a test does not wait for ever. */
function bounded(run) {
  const late = new Promise((_, reject) => {
    const timer = setTimeout(() => reject(new Error("the worker does not end")), 20_000).unref();
    run.then(() => clearTimeout(timer), () => clearTimeout(timer));
  });
  const end = Promise.race([run, late]);
  end.catch(() => {}); // as above
  return end;
}

/** A handler that tells the test that it has begun, and ends when the test says so. */
export function heldHandler() {
  const begun = new Queue("call of the handler");
  const handler = (payload, context) =>
    new Promise((resolve, reject) => {
      begun.push({ payload, context, resolve, reject });
    });
  return { handler, begun };
}

/** Waits until a signal is aborted, and returns its reason. @param {AbortSignal} signal */
export function aborted(signal) {
  const reasons = new Queue("abort of the signal");
  if (signal.aborted) reasons.push(signal.reason);
  else signal.addEventListener("abort", () => reasons.push(signal.reason), { once: true });
  return reasons.next();
}
