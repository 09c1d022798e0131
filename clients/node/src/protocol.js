// The messages of a worker (docs/workers.md). Settles, notes and lines are kept as JSON text from the moment they exist,
// so that nothing is encoded twice when a message is sent again. One invalid member would make the server refuse a whole
// message, so what comes from handlers is made valid here: halves of surrogate pairs, and numbers.

import { createRequire } from "node:module";

/** The subprotocol of workers on a WebSocket. */
export const SUBPROTOCOL = "cortado.worker.v1+json";

const { version } = createRequire(import.meta.url)("../package.json");

/** The client's name and version, as the page of workers shows them. */
export const CLIENT = { client: "cortado-node", version };

/** The most entries of each list of an update. */
export const MAX_ENTRIES = 1000;

/** The most jobs that one claim may ask for. */
export const MAX_CLAIM = 1000;

const YEAR_MS = 365 * 24 * 3600 * 1000;
/** The server cuts messages about progress at 1 KiB; what is far behind that is not sent. */
const MAX_MESSAGE_CHARS = 2_000;

/** The paths of a worker. Its name has only characters that need no escape. @param {string} name */
export function workerPaths(name) {
  if (!/^[A-Za-z0-9._:@-]{1,100}$/.test(name)) {
    throw new TypeError(`the name of a worker has 1 to 100 of the characters A-Z a-z 0-9 . _ : @ -, but is ${JSON.stringify(name)}`);
  }
  const worker = `/api/v1/workers/${name}`;
  return { worker, socket: `${worker}/ws`, claim: `${worker}/claim`, leases: "/api/v1/leases" };
}

/**
 * The message `ready`. `free` sets the credit; `about` and `held` belong to the first one of a connection.
 * @param {{free: number, queues?: string[], kinds: string[], leaseMs?: number, about?: object, held?: string[]}} ready
 */
export function readyMessage({ free, queues, kinds, leaseMs, about, held }) {
  return JSON.stringify({ type: "ready", free, queues, kinds, lease_ms: leaseMs, about, held });
}

/**
 * The body of a claim over HTTP.
 * @param {{queues?: string[], kinds: string[], max?: number, leaseMs?: number, waitMs?: number, about?: object}} claim
 */
export function claimBody({ queues, kinds, max, leaseMs, waitMs, about }) {
  return JSON.stringify({ queues, kinds, max, lease_ms: leaseMs, wait_ms: waitMs, about });
}

/** The message `update`. @param {number} id @param {string} members the members of `updateMembers` */
export function updateMessage(id, members) {
  return members === "" ? `{"type":"update","id":${id}}` : `{"type":"update","id":${id},${members}}`;
}

/**
 * The members of an update, without braces. `free` adds to the credit.
 * @param {{extend?: string[], leaseMs?: number, notes?: string[], settles?: string[], free?: number}} update
 */
export function updateMembers({ extend = [], leaseMs, notes = [], settles = [], free = 0 }) {
  const members = [];
  if (extend.length > 0) members.push(`"extend":${JSON.stringify(extend)}`);
  if (extend.length > 0 && leaseMs !== undefined) members.push(`"lease_ms":${leaseMs}`);
  if (notes.length > 0) members.push(`"note":[${notes.join(",")}]`);
  if (settles.length > 0) members.push(`"settle":[${settles.join(",")}]`);
  if (free > 0) members.push(`"free":${free}`);
  return members.join(",");
}

export const PING_MESSAGE = '{"type":"ping"}';
export const BYE_MESSAGE = '{"type":"bye"}';

/** The text of a line of the log. @param {{text: string, stream?: string, at?: string}} line */
export function lineText({ text, stream, at }) {
  return JSON.stringify({ text: text.toWellFormed(), stream, at });
}

/**
 * An entry of `note`.
 * @param {string} lease
 * @param {{lines: string[], progress?: {done: number, total?: number, message?: string}}} notes texts of lines
 */
export function noteText(lease, { lines, progress }) {
  const members = [`"lease":${JSON.stringify(lease)}`];
  if (lines.length > 0) members.push(`"lines":[${lines.join(",")}]`);
  if (progress !== undefined) members.push(`"progress":${JSON.stringify(progress)}`);
  return `{${members.join(",")}}`;
}

/** Entries of `settle`, one function for each outcome. */
export const settleText = {
  /** Throws if the result cannot be written as JSON. */
  done(lease, result) {
    const text = JSON.stringify(result);
    const quoted = JSON.stringify(lease);
    return text === undefined ? `{"lease":${quoted},"outcome":"done"}` : `{"lease":${quoted},"outcome":"done","result":${text}}`;
  },
  retry(lease, error, afterMs) {
    return JSON.stringify({ lease, outcome: "retry", error: error.toWellFormed(), after_ms: wholeMs(afterMs) });
  },
  snooze: (lease, delayMs) => JSON.stringify({ lease, outcome: "snooze", delay_ms: wholeMs(delayMs) }),
  discard: (lease, error) => JSON.stringify({ lease, outcome: "discard", error: error.toWellFormed() }),
  cancelled: (lease) => JSON.stringify({ lease, outcome: "cancelled" }),
  returned: (lease) => JSON.stringify({ lease, outcome: "returned" }),
};

/** Whole milliseconds of a delay; an invalid number counts as none, and more than a year as a year. */
function wholeMs(ms) {
  if (ms === undefined) return undefined;
  return Math.min(wholeNumber(Math.ceil(ms)), YEAR_MS);
}

function wholeNumber(value) {
  return value > 0 ? Math.min(Math.floor(value), Number.MAX_SAFE_INTEGER) : 0;
}

/** The member `progress` of a note. @param {number} done @param {number} [total] @param {string} [message] */
export function progressMember(done, total, message) {
  return {
    done: wholeNumber(done),
    total: total === undefined || total === null ? undefined : wholeNumber(total),
    message: message === undefined || message === null ? undefined : String(message).slice(0, MAX_MESSAGE_CHARS).toWellFormed(),
  };
}
