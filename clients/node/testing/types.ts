// A program that uses every public name, and mistakes that the compiler must notice. It is compiled, and never run.

import { Client, type Context, CortadoError, Discard, type Handler, JobAborted, Retry, Snooze, WaitTimeoutError, Worker } from "cortado";

const client = new Client("http://127.0.0.1:8080", { token: "secret", timeoutMs: 1, retries: 0, tls: { ca: "" } });

export async function produce(): Promise<number> {
  const row = await client.submit("resize", { width: 640 }, { queue: "images", delayMs: 5, backoff: { baseMs: 10, capMs: 20 } });
  // @ts-expect-error a submission that does not wait has no result
  const none: number = row.result;
  const rows = await client.submitMany([{ kind: "resize", payload: {}, tags: ["a"] }]);
  // @ts-expect-error the option is called delayMs
  await client.submit("resize", {}, { delay: 5 });
  const waited = await client.submit<number>("resize", {}, { waitMs: 1_000 });
  const job = await client.wait<{ bytes: number }>(row.id, { timeoutMs: 5, signal: AbortSignal.timeout(5) });
  await client.cancel(rows[0].id);
  // @ts-expect-error there is no such state
  if (job.state === "done") return none;
  return (waited.result ?? 0) + (job.result?.bytes ?? 0);
}

export async function follow(): Promise<string | undefined> {
  const events = client.subscribe({ after: null, type: ["job.completed", "job.*"], by: "user:anna" });
  for await (const event of events) {
    if (event.type === "gap") console.log(event.from, event.to);
    else console.log(event.seq, event.job?.state);
  }
  return events.cursor;
}

const resize: Handler<{ url: string }, { bytes: number }> = async ({ url }, context) => {
  await fetch(url, { signal: context.signal });
  return { bytes: 1 };
};

export async function work(): Promise<void> {
  const worker = new Worker(new URL("http://127.0.0.1:8080"), { name: "w", queues: ["a"], concurrency: 5, transport: "http", logger: console });
  worker.handle("resize", resize).handle("plain", (payload: string, context: Context<string>) => {
    context.log(payload, { stream: "stderr" });
    context.progress(1, 2, "half");
    // @ts-expect-error a signal cannot be replaced
    context.signal = new AbortController().signal;
    if (context.cancelled) throw new Discard("no");
    if (context.attempt > 1) throw new Snooze(5);
    throw new Retry(context.job.payload, { afterMs: 5, cause: new Error() });
  });
  // @ts-expect-error there is no such transport
  new Worker("http://127.0.0.1:8080", { transport: "pigeon" });
  await Promise.all([worker.run(), worker.stop({ graceMs: 0 })]);
}

export function describe(error: unknown): string {
  if (error instanceof CortadoError) return `${error.code} ${error.status} ${error.detail} ${error.errors[0]?.field}`;
  if (error instanceof WaitTimeoutError) return error.job.state;
  return error instanceof JobAborted ? error.why : "unknown";
}
