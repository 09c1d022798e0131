// The load of the storm test: a generator that keeps submitting jobs, a scribe that records the event log, and random
// choices that can be repeated.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE_MS = 60_000;
/** The most unfinished jobs at any time. */
const LIVE = 40;
const ENDS = new Set(["completed", "discarded", "cancelled"]);

/** Returns the cursor of the end of the log. */
export const headOf = async (server) => (await (await fetch(`${server.origin}/api/v1/events`)).json()).cursor;

export const seqOf = (cursor) => Number(cursor.split(":")[1]);

/** Returns a generator of whole numbers below `end`, which repeats for the same seed (mulberry32). */
export function seededRandom(seed) {
  let state = seed | 0;
  return (end) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 4294967296 * end);
  };
}

/** Polls `look` until it returns something. */
export async function eventually(what, look) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(20)) {
    const seen = await look();
    if (seen) return seen;
  }
  throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
}

/** Records the log by long poll from its first cursor on. It is never away for long and must never see a gap. */
export class Scribe {
  events = [];
  /** The ids of unfinished jobs. */
  live = new Set();
  #over = false;

  /** Starts at the current end of the log. */
  static async start(server) {
    const scribe = new Scribe();
    scribe.first = await headOf(server);
    scribe.work = scribe.#write(server);
    scribe.work.catch(() => {}); // `end` reports it
    return scribe;
  }

  get seq() {
    return this.events.at(-1)?.seq ?? seqOf(this.first);
  }

  async #write(server) {
    for (let cursor = this.first; !this.#over && !server.isRemoved; ) {
      let answer;
      try {
        answer = await (await fetch(`${server.origin}/api/v1/events?wait=1s&limit=1000&after=${cursor}`)).json();
      } catch {
        await sleep(10); // the server is down
        continue;
      }
      assert.equal(answer.gap, undefined, "the scribe was too slow");
      for (const event of answer.events) {
        assert.equal(event.seq, this.seq + 1, "the log has a hole");
        this.events.push(event);
        if (event.job) this.live[ENDS.has(event.job.state) ? "delete" : "add"](event.job.id);
      }
      cursor = answer.cursor;
    }
  }

  /** Waits until the log has reached `seq`. */
  reaches(seq) {
    return eventually(`event ${seq} in the log`, () => this.seq >= seq);
  }

  /** Stops, and throws the error of a failure in the meantime. */
  async end() {
    this.#over = true;
    await this.work;
  }
}

/** Submits jobs until it is stopped. It ignores a server that is down, and waits for the scribe. */
export class LoadGenerator {
  #over = false;

  constructor(server, scribe, random) {
    this.work = this.#submit(server, scribe, random);
    this.work.catch(() => {}); // `end` reports it
  }

  async #submit(server, scribe, random) {
    while (!this.#over && !server.isRemoved) {
      if (scribe.live.size >= LIVE) {
        await sleep(10);
        continue;
      }
      const jobs = Array.from({ length: 1 + random(8) }, () => anyJob(random));
      let answer;
      try {
        answer = await (await server.post("/api/v1/jobs", jobs)).json();
      } catch {
        await sleep(10);
        continue;
      }
      await scribe.reaches(Math.max(...answer.jobs.map((job) => job.seq)));
    }
  }

  async end() {
    this.#over = true;
    await this.work;
  }
}

function anyJob(random) {
  const job = { queue: ["mail", "web", "other"][random(3)], max_attempts: 5, backoff: { base_ms: 10, cap_ms: 50 } };
  switch (random(5)) {
    case 0:
      return { ...job, kind: "sleep", payload: { ms: 1 + random(200), progress: random(2) === 0 } };
    case 1:
      return { ...job, kind: "fail", payload: { times: 1 + random(2) } };
    case 2:
      return { ...job, kind: "fail", payload: { times: 9 }, max_attempts: 2 };
    default:
      return { ...job, kind: "echo", payload: random(1e6), delay_ms: random(2) * random(300) };
  }
}

/** Subscribes in an open page with `static/stream.js` and keeps everything that it receives. */
export const subscribe = (page, cursor) =>
  page.evaluate(async (cursor) => {
    const app = document.querySelector('script[src$="/app.js"]').src;
    const { Stream } = await import(app.replace("app.js", "stream.js"));
    const [received, states] = [[], []];
    const stream = new Stream({
      path: new URL("api/v1/ws", document.baseURI),
      cursor,
      onEvents: (events) => received.push(...events),
      onGap: (gap) => received.push({ gap }),
      onState: ({ name }) => states.push(name),
    });
    globalThis.subscriber = { stream, received, states };
  }, cursor);

/** Asserts that `subscribe` received the log after `first`, except for reported gaps, and returns those. */
export function assertIsTheLog(received, first, log) {
  const gaps = [];
  let at = seqOf(first);
  for (const one of received) {
    if (one.gap) {
      assert.equal(seqOf(one.gap.from), at, "the gap does not start at the cursor");
      assert.ok(seqOf(one.gap.to) > at, "the gap is empty");
      at = seqOf(one.gap.to);
      gaps.push(one.gap);
    } else {
      assert.equal(one.seq, at + 1, "an event was lost or received twice");
      assert.deepEqual(one, log[one.seq - log[0].seq]);
      at = one.seq;
    }
  }
  assert.equal(at, log.at(-1).seq, "the end is missing");
  return gaps;
}
