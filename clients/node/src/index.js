// The public names of the package; `index.d.ts` has their types.

export { Client } from "./client.js";
export { CortadoError, Discard, JobAborted, Retry, Snooze, WaitTimeoutError } from "./errors.js";
export { Worker } from "./worker.js";
