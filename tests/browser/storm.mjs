// The pages and a plain subscriber in a real browser while the server is killed and stopped: node --test storm.mjs
// CORTADO_STORM_ROUNDS=50 ends it fifty times; CORTADO_STORM_SEED repeats the random choices.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";
import { LoadGenerator, Scribe, assertIsTheLog, eventually, headOf, seededRandom, seqOf, subscribe } from "./load-generator.mjs";

/** A page that has lost its server several times waits for many seconds before it reconnects. */
const PATIENCE_MS = 60_000;
const rounds = Number(process.env.CORTADO_STORM_ROUNDS ?? 8);
const seed = Number(process.env.CORTADO_STORM_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** The number of events that a trimmed log keeps. */
const KEPT = 300;
const TRIMMED = `
[store]
archive_from = 20
carry_above = "16KiB"
[retention]
events = { age = "1 day", count = ${KEPT} }
`;

let browser;

before(async () => {
  console.log(`CORTADO_STORM_SEED=${seed}`); // shown when a test fails
  browser = await launch();
});

after(() => browser?.close());

/** Submits a long job that writes to its log and is often interrupted, and jobs that become due in the meantime. */
async function begin(config) {
  const server = await Server.start({ grace: "1s", config });
  const scribe = await Scribe.start(server);
  const long = await server.submit({ kind: "sleep", payload: { ms: 4000, progress: true }, queue: "long", max_attempts: 1000 });
  const later = Array.from({ length: 25 }, (_, n) => ({ kind: n % 3 ? "echo" : "fail", payload: { times: 9 }, max_attempts: 1, delay_ms: 200 + n * 400 }));
  await server.post("/api/v1/jobs", later);
  return { server, scribe, long };
}

/** Runs `work` with the home page, the job list, the page of a job and a page that only subscribes, all open. */
const withPages = ({ server, scribe, long }, work) =>
  withPage(browser, {}, (home) =>
    withPage(browser, {}, (list) =>
      withPage(browser, {}, (job) =>
        withPage(browser, {}, async (plain) => {
          const pages = { home, list, job };
          for (const page of [home, list, job, plain]) page.setDefaultTimeout(PATIENCE_MS);
          await home.goto(server.origin);
          await list.goto(`${server.origin}/jobs`);
          await job.goto(`${server.origin}/jobs/${long.id}`);
          for (const page of Object.values(pages)) await live(page);
          await plain.goto(`${server.origin}/none`);
          await subscribe(plain, scribe.first);
          await work(pages, plain);
        }),
      ),
    ),
  );

const json = async (server, path) => (await fetch(server.origin + path)).json();

async function endAndBegin(server, round, random) {
  if (round % 2) await server.stop();
  else await server.kill();
  await sleep(random(400)); // the server is down
  await server.again();
}

/** Waits until all jobs have ended and every page has received that. Returns the cursor of the end of the log. */
async function settle(server, scribe, load, plain) {
  await load.end();
  await eventually("a quiet server", async () => {
    const { states } = await server.stats();
    return ["scheduled", "available", "running", "retryable"].every((state) => !states[state]);
  });
  const head = seqOf(await headOf(server));
  await scribe.reaches(head);
  await until(plain, (head) => Number(globalThis.subscriber.stream.cursor.split(":")[1]) >= head, head);
  return head;
}

/** Asserts that the pages show what the API returns. A page that does not get there in time fails the test. */
async function assertAgree(server, scribe, { home, list, job }, long) {
  const { states, queues } = await server.stats();
  const { jobs, next } = await json(server, "/api/v1/jobs?limit=500");
  const all = Object.fromEntries(jobs.map((job) => [job.id, [job.state, String(job.attempt)]]));
  for (let more = next; more; ) {
    const page = await json(server, `/api/v1/jobs?limit=500&after=${more}`);
    for (const job of page.jobs) all[job.id] = [job.state, String(job.attempt)];
    more = page.next;
  }
  for (const page of [home, list]) {
    await live(page);
    await until(page, (states) => {
      const shown = (name) => [...document.querySelectorAll(`[data-count="${name}"]`)].map((place) => Number(place.textContent.replace(/\D/g, "")));
      const right = (name) => shown(name).length > 0 && shown(name).every((n) => n === (states[name] ?? 0));
      return right("completed") && right("discarded") && right("retryable") && right("running");
    }, states);
    await until(page, (all) => {
      const rows = [...document.querySelectorAll("tbody tr[data-job]")];
      const field = (row, name) => row.querySelector(`[data-f=${name}]`).textContent;
      return rows.length > 0 && rows.every((row) => field(row, "state") === all[row.dataset.job][0] && field(row, "attempt") === all[row.dataset.job][1]);
    }, all);
  }
  await until(home, (names) => names.every((name) => document.querySelector(`tr[data-queue="${name}"] [data-n=running]`)?.textContent === "0"), queues.map(({ name }) => name));
  // The list has all jobs but the new ones that its button counts; on a busy server the button stops counting.
  await until(list, (ids) => {
    const here = [...document.querySelectorAll("tbody tr[data-job]")].map((row) => row.dataset.job);
    const button = document.getElementById("news");
    const newer = button.hidden ? 0 : Number(document.getElementById("news-count").textContent.replace(/\D/g, ""));
    return (!button.hidden && newer === 0) || here.join() === ids.slice(newer, newer + here.length).join();
  }, Object.keys(all));
  if (await list.locator("#news").isVisible()) await list.click("#news");
  await until(list, (ids) => {
    const here = [...document.querySelectorAll("tbody tr[data-job]")].map((row) => row.dataset.job);
    return document.getElementById("news").hidden && here.length > 0 && here.join() === ids.slice(0, here.length).join();
  }, Object.keys(all));

  const { attempt, state } = await json(server, `/api/v1/jobs/${long.id}`);
  const { lines } = await json(server, `/api/v1/jobs/${long.id}/log`);
  await live(job);
  await until(job, (state) => document.querySelector("#head .badge").textContent === state, state);
  await until(job, (attempt) => Number([...document.querySelectorAll("#attempts .attempt-n")].at(-1)?.textContent) === attempt, attempt);
  await until(job, (count) => document.querySelectorAll("#log li").length >= count, lines.length);
  const shown = await job.locator("#log li .text").allTextContents();
  assert.deepEqual(shown, lines.map((line) => line.text));
}

test("pages and a plain subscriber miss nothing while the server is killed and stopped", async () => {
  const random = seededRandom(seed);
  const { server, scribe, long } = await begin();
  try {
    await withPages({ server, scribe, long }, async (pages, plain) => {
      for (const page of [...Object.values(pages), plain]) await page.evaluate(() => (globalThis.stillHere = true));
      const load = new LoadGenerator(server, scribe, random);
      for (let round = 0; round < rounds; round++) {
        await scribe.reaches(scribe.seq + 30 + random(300));
        await endAndBegin(server, round, random);
        // Sometimes the server ends again before the pages have reconnected.
        if (random(3)) await until(plain, () => globalThis.subscriber.states.at(-1) === "live");
      }
      const head = await settle(server, scribe, load, plain);
      const { received, states } = await plain.evaluate(() => ({ received: globalThis.subscriber.received, states: globalThis.subscriber.states }));
      assert.deepEqual(assertIsTheLog(received, scribe.first, scribe.events), []);
      await assertAgree(server, scribe, pages, long);
      for (const page of Object.values(pages)) assert.ok(await page.evaluate(() => globalThis.stillHere), "a page was reloaded");
      const connections = states.filter((state) => state === "live").length;
      assert.ok(rounds < 8 || connections > 3, `there was too little disruption to test anything: ${states}`);
      console.log(`${rounds} ends of the server, ${head} events, ${connections} connections of the plain subscriber`);
    });
    // Compare with the log as any client reads it.
    let cursor = scribe.first;
    for (const read = []; ; ) {
      const page = await json(server, `/api/v1/events?limit=1000&after=${cursor}`);
      if (!page.events.length) {
        assert.deepEqual(read, scribe.events);
        break;
      }
      read.push(...page.events);
      cursor = page.cursor;
    }
    await scribe.end();
  } finally {
    await server.remove();
  }
});

test("pages that were away for longer than the log reaches back start over, and a subscriber is told", async () => {
  const random = seededRandom(seed);
  const { server, scribe, long } = await begin(TRIMMED);
  try {
    await withPages({ server, scribe, long }, async (pages, plain) => {
      const everybody = [...Object.values(pages), plain];
      const load = new LoadGenerator(server, scribe, random);
      let checked = 0;
      for (let round = 0; round < Math.ceil(rounds / 2); round++) {
        // A browser does this to a page in its back-forward cache.
        for (const page of everybody) await page.evaluate(() => dispatchEvent(new Event("pagehide")));
        for (const page of Object.values(pages)) await page.evaluate(() => (globalThis.stillHere = true));
        const left = await headOf(server); // no page received more
        await scribe.reaches(seqOf(left) + KEPT);
        await endAndBegin(server, round, random);
        await eventually("a trimmed log", async () => (await json(server, `/api/v1/events?after=${left}`)).gap);
        for (const page of everybody) await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
        for (const page of Object.values(pages)) await until(page, () => !globalThis.stillHere && document.getElementById("connection")?.dataset.state === "live");
        await until(plain, (checked) => globalThis.subscriber.received.filter((one) => one.gap).length > checked, checked);
        const gaps = await plain.evaluate(() => globalThis.subscriber.received.filter((one) => one.gap));
        const head = await headOf(server);
        for (const { gap } of gaps.slice(checked)) {
          assert.ok(seqOf(gap.to) + KEPT <= seqOf(head), `nobody had to trim up to there: ${gap.to} at ${head}`);
        }
        checked = gaps.length;
      }
      const head = await settle(server, scribe, load, plain);
      const received = await plain.evaluate(() => globalThis.subscriber.received);
      const gaps = assertIsTheLog(received, scribe.first, scribe.events);
      await assertAgree(server, scribe, pages, long);
      console.log(`${head} events of which ${received.length - gaps.length} were received, ${gaps.length} gaps`);
    });
    await scribe.end();
  } finally {
    await server.remove();
  }
});

test("a page that must start over while the server is away waits for it", async () => {
  const server = await Server.start();
  try {
    for (const path of ["/", "/jobs", "/queues"]) {
      await withPage(browser, {}, async (page) => {
        let say;
        await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => {
          socket.connectToServer().onClose(() => {}); // the page does not notice yet
          say = (message) => socket.send(JSON.stringify(message));
        });
        await page.goto(server.origin + path);
        await live(page);
        await page.evaluate(() => (globalThis.stillHere = true));
        const cursor = await page.evaluate(() => document.body.dataset.cursor);
        const ended = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/readyz"));
        await server.kill();
        say({ type: "gap", from: cursor, to: cursor });
        await ended;
        assert.ok(await page.evaluate(() => globalThis.stillHere), "the page is still there");
        await server.again();
        await until(page, () => !globalThis.stillHere && document.getElementById("connection")?.dataset.state === "live");
      });
    }
  } finally {
    await server.remove();
  }
});
