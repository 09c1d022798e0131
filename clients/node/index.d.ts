// Types of the package. Objects of the server keep the names of its API; options and times of this package are in
// camel case, and times end in `Ms` when they are milliseconds.

import type { ConnectionOptions } from "node:tls";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export type JobState = "scheduled" | "available" | "running" | "retryable" | "completed" | "discarded" | "cancelled";

/** How requests are sent. */
export interface ConnectionSettings {
  /** Sent as `Authorization: Bearer`. */
  token?: string;
  /** How long a response may take. Default: 30,000. */
  timeoutMs?: number;
  /** How often a request is repeated after a failure. Default: 4. */
  retries?: number;
  /** Options of TLS, such as `ca`. */
  tls?: ConnectionOptions;
}

export interface ClientOptions extends ConnectionSettings {}

export interface Cancellable {
  signal?: AbortSignal;
}

export interface SubmitFields {
  queue?: string;
  /** From -32768 to 32767; higher ones run first. */
  priority?: number;
  delayMs?: number;
  /** When it may start; a string is a time of RFC 3339. */
  runAt?: Date | string;
  maxAttempts?: number;
  backoff?: { baseMs: number; capMs: number };
  /** How long an attempt may take. */
  timeoutMs?: number;
  /** Default: a random one, so that the submission can be repeated safely. */
  idempotencyKey?: string;
  tags?: string[];
}

export interface SubmitOptions extends SubmitFields, Cancellable {
  /** Wait at most this long (at most a minute) for the job to be final. Default: not at all. */
  waitMs?: number;
}

export interface Submission<Payload = unknown> extends SubmitFields {
  kind: string;
  payload?: Payload;
}

export interface JobError {
  class: string;
  message: string;
  [member: string]: unknown;
}

export interface Progress {
  done: number;
  total?: number | null;
  message?: string | null;
}

/** A job as it is in a list and in the answer to a submission. */
export interface JobRow {
  id: string;
  kind: string;
  queue: string;
  state: JobState;
  priority: number;
  tags: string[];
  attempt: number;
  max_attempts: number;
  enqueued_at: string;
  run_at: string;
  finished_at: string | null;
  progress: Progress | null;
  error: JobError | null;
  cancel_asked: boolean;
  idempotency_key: string | null;
  seq: number;
  /** Present when the submission repeated an earlier one. */
  existing?: true;
  [member: string]: unknown;
}

/** A whole job. */
export interface Job<Payload = any, Result = any> extends JobRow {
  payload: Payload;
  /** Null until it has completed. */
  result: Result | null;
  timeout_ms: number | null;
  backoff: { base_ms: number; cap_ms: number };
  attempts: Record<string, unknown>[];
  timeline: Record<string, unknown>[];
  /** Why it is not running. */
  why?: { code: string; text: string; ahead?: number };
}

/** The status of a job after an action. */
export interface JobStatus {
  id: string;
  state: JobState;
  [member: string]: unknown;
}

export interface SubscribeOptions extends Cancellable {
  /** The cursor after which to begin. Default: now. */
  after?: string | null;
  queue?: string | string[];
  kind?: string | string[];
  job?: string | string[];
  tag?: string | string[];
  /** Types of events; globs such as `job.*` are allowed. */
  type?: string | string[];
  /** Who caused the event, such as `user:anna`. */
  by?: string | string[];
  /** Delays between attempts to connect. Default: from 250 to 30,000. */
  reconnect?: { baseMs?: number; capMs?: number };
}

/** An event of the log; its further members depend on its type. */
export interface CortadoEvent {
  seq: number;
  at: string;
  type: `${string}.${string}`;
  job?: { id: string; queue: string; kind: string; state: JobState; attempt: number; tags: string[] };
  [member: string]: unknown;
}

/** The log does not reach back to the cursor: read the lists again. The events after `to` follow. */
export interface Gap {
  type: "gap";
  from: string;
  to: string;
}

/** An iteration over events, which reconnects by itself. */
export interface Subscription extends AsyncIterableIterator<CortadoEvent | Gap> {
  /** The position after the last event that was returned: keep it, and pass it as `after` next time. */
  readonly cursor: string | undefined;
  return(): Promise<IteratorReturnResult<undefined>>;
}

/** A connection to one server. It does not keep the process alive. */
export declare class Client {
  constructor(url: string | URL, options?: ClientOptions);
  /** Submits a job; it is on disk when the promise resolves. With `waitMs` the whole job is returned. */
  submit<Result = any>(kind: string, payload: unknown, options: SubmitOptions & { waitMs: number }): Promise<Job<any, Result>>;
  submit(kind: string, payload?: unknown, options?: SubmitOptions): Promise<JobRow>;
  /** Submits many jobs, all or none, and returns them in order. */
  submitMany(jobs: Iterable<Submission>, options?: Cancellable): Promise<JobRow[]>;
  get<Payload = any, Result = any>(id: string, options?: Cancellable): Promise<Job<Payload, Result>>;
  /** Waits until a job is final; throws `WaitTimeoutError` after `timeoutMs` (default: never). */
  wait<Result = any>(id: string, options?: Cancellable & { timeoutMs?: number }): Promise<Job<any, Result>>;
  /** Cancels a waiting job at once, and a running one as soon as its handler stops. */
  cancel(id: string, options?: Cancellable): Promise<JobStatus>;
  /** Iterates over the events after a cursor, or from now on. */
  subscribe(options?: SubscribeOptions): Subscription;
  /** Closes the connections. */
  close(): void;
}

/** The job of an attempt. */
export interface LeasedJob<Payload = any> {
  id: string;
  kind: string;
  queue: string;
  payload: Payload;
  attempt: number;
  max_attempts: number;
  /** The job's own timeout; if it is null, `engine.timeout` of the server bounds the attempt. */
  timeout_ms: number | null;
  priority: number;
  tags: string[];
  enqueued_at: string;
  [member: string]: unknown;
}

/** What a handler sees of its attempt. */
export interface Context<Payload = any> {
  readonly job: LeasedJob<Payload>;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** Aborted when the job is cancelled, its lease is lost, or the worker stops; its reason is a `JobAborted`. */
  readonly signal: AbortSignal;
  /** Whether somebody has asked to cancel the job. */
  readonly cancelled: boolean;
  /** Adds lines to the log of the job. They are sent in the background, and may be repeated after a broken connection. */
  log(text: string, options?: { stream?: "log" | "stdout" | "stderr" }): void;
  /** Reports how far the job is. */
  progress(done: number, total?: number | null, message?: string | null): void;
}

/** Runs a job. What it returns is the result, as JSON; what it throws is a failure, and the job is tried again. */
export type Handler<Payload = any, Result = unknown> = (payload: Payload, context: Context<Payload>) => Result | PromiseLike<Result>;

/** Takes the log lines of a worker, as `console` does. */
export interface Logger {
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

export interface WorkerOptions extends ConnectionSettings {
  /** 1 to 100 of the characters `A-Z a-z 0-9 . _ : @ -`. A newer worker replaces one of the same name. Default: unique. */
  name?: string;
  /** Default: `["default"]`. */
  queues?: string[];
  /** How many handlers run at the same time: 1 to 10,000. Default: 10. */
  concurrency?: number;
  /** How long a lease lasts; the worker extends it while the job runs. From 1,000 to 3,600,000, default: 30,000. */
  leaseMs?: number;
  /** How long a stopping worker waits for its handlers before it gives their jobs back. Default: 25,000. */
  graceMs?: number;
  /** Default: `websocket`. Over `http`, cancellations arrive with the next heartbeat, every third of `leaseMs`. */
  transport?: "websocket" | "http";
  /** Stop on SIGTERM and SIGINT, and end the process even if a handler does not end. Default: true. */
  signals?: boolean;
  logger?: Logger;
  /**
   * Delays between attempts to reach the server. Default: from 250 to 30,000; while it no longer accepts the token, from
   * 10,000 to 300,000. Each is random between a half and the whole.
   */
  reconnect?: { baseMs?: number; capMs?: number; refusedBaseMs?: number; refusedCapMs?: number };
}

/** Takes jobs from a server and runs their handlers. */
export declare class Worker {
  constructor(url: string | URL, options?: WorkerOptions);
  readonly name: string;
  readonly state: "new" | "running" | "stopping" | "stopped";
  /** The number of handlers that are running. */
  readonly busy: number;
  /** Registers the handler of a kind. Register all handlers before `run`. */
  handle<Payload = any, Result = unknown>(kind: string, handler: Handler<Payload, Result>): this;
  /**
   * Runs jobs until the worker is stopped. Throws if the server refuses the first connection, or if another worker takes
   * its name; a server that cannot be reached is tried again for ever.
   */
  run(): Promise<void>;
  /** Takes no more jobs, waits for the running handlers, gives back what is not done, and signs off. */
  stop(options?: { graceMs?: number }): Promise<void>;
}

/** An error that the server answered with (RFC 9457), or a failure to reach it (`code` is `unreachable`). */
export declare class CortadoError extends Error {
  readonly name: "CortadoError";
  readonly code: string;
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  readonly detail: string;
  /** The invalid fields of the request. */
  readonly errors: { field: string; message: string }[];
  readonly retryAfterMs?: number;
}

/** The job was not final in time. */
export declare class WaitTimeoutError extends Error {
  readonly name: "WaitTimeoutError";
  /** The job as it was then. */
  readonly job: Job;
}

/** Thrown by a handler: the attempt failed, and the next one starts after the backoff, but not before `afterMs`. */
export declare class Retry extends Error {
  constructor(message: string, options?: { afterMs?: number; cause?: unknown });
  readonly afterMs?: number;
}

/** Thrown by a handler: call it again after `delayMs`. This is not a failure. */
export declare class Snooze extends Error {
  constructor(delayMs: number);
  readonly delayMs: number;
}

/** Thrown by a handler: no attempt can succeed. */
export declare class Discard extends Error {
  constructor(message: string, options?: { cause?: unknown });
}

/** The reason of `context.signal`. */
export declare class JobAborted extends Error {
  readonly name: "AbortError";
  readonly code: "ABORT_ERR";
  readonly why: "cancelled" | "lost" | "stopping";
}
