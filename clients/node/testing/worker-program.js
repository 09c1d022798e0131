// A program whose handler never ends and ignores its signal, for the tests of signals.

import { Worker } from "../src/index.js";

// A test runner that takes every file for a test runs it without an address.
if (process.argv[2]) {
  const worker = new Worker(process.argv[2], { graceMs: 1, leaseMs: Number(process.argv[3] ?? 30_000) });
  worker.handle("stuck", (_, context) => {
    context.log("stuck");
    setInterval(() => {}, 60_000);
    return new Promise(() => {});
  });
  await worker.run();
}
