// The worker that `cortado-bench workers` measures: ADDRESS TRANSPORT.

import { Worker } from "../src/index.js";

// A test runner that takes every file for a test runs it without an address.
if (process.argv[2]) {
  const worker = new Worker(process.argv[2], { name: "bench", transport: process.argv[3], concurrency: 256 });
  worker.handle("noop", () => null);
  await worker.run();
}
