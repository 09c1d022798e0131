// Live updates of the home page: charts and rows change without a reload, updates can be paused, and the page shows the
// state of its connection: node --test home.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;

before(async () => {
  server = await Server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Submits `count` jobs at once. */
const burst = (count, job) => server.post("/api/v1/jobs", Array.from({ length: count }, () => job));

test("charts, sparklines and rows move by push, as the server would draw them", () =>
  withPage(browser, {}, async (page) => {
    const job = await server.submit({ kind: "echo", payload: 1, queue: "pushed" });
    await server.until(job.id, "completed");
    await page.goto(server.origin);
    await live(page);
    const fetched = [];
    page.on("request", (request) => request.url() === `${server.origin}/` && fetched.push(request.url()));
    await page.evaluate(() => {
      window.shifts = [];
      const described = ({ node, previousRect, currentRect }) => `${node?.nodeName}#${node?.id} from y ${previousRect.y} to ${currentRect.y}`;
      new PerformanceObserver((list) => {
        for (const { hadRecentInput, value, sources } of list.getEntries()) if (!hadRecentInput) window.shifts.push({ value, moved: sources.map(described) });
      }).observe({ type: "layout-shift" });
    });
    const line = () => page.locator("#chart-throughput path[data-line=completed]").getAttribute("d");
    const before = await line();
    const spark = await page.locator('tr[data-queue="pushed"] .spark path[data-width]').getAttribute("d");
    await burst(120, { kind: "echo", payload: 1, queue: "pushed" });
    await until(page, (before) => document.querySelector("#chart-throughput path[data-line=completed]").getAttribute("d") !== before && document.querySelector("#chart-throughput .top").textContent !== "1/s", before);
    await until(page, (before) => document.querySelector('tr[data-queue="pushed"] .spark path').getAttribute("d") !== before, spark);
    // The charts, the queues and the failures may each be fetched once, as when a slow machine misses a second.
    assert.ok(fetched.length <= 3, `the page was fetched ${fetched.length} times`);
    const shifts = await page.evaluate(() => window.shifts);
    assert.ok(shifts.reduce((sum, { value }) => sum + value, 0) < 0.05, JSON.stringify(shifts));
  }));

test("updates can be held back by a key: they are counted, and come when they are let in", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await live(page);
    await page.keyboard.press("p");
    await page.locator("#connection[data-state=paused]").waitFor();
    const job = await server.submit({ kind: "echo", payload: 1 });
    await server.until(job.id, "completed");
    await page.locator("#connection-text", { hasText: /^paused, \d+ new$/ }).waitFor();
    assert.equal(await page.locator(`tr[data-job="${job.id}"]`).count(), 0);
    await page.keyboard.press("p");
    await live(page);
    await page.locator(`tr[data-job="${job.id}"] .badge.s-completed`).waitFor();
  }));

test("too many events for a reader become a sample, and the feed is whole again afterwards", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await live(page);
    await burst(5_000, { kind: "echo", payload: 1, queue: "rush" });
    await page.locator("#recent-note", { hasText: /Sample as of \d?\d:\d\d:\d\d/ }).waitFor();
    await page.locator("#recent-note", { hasText: /^$/ }).waitFor({ state: "attached" });
    const job = await server.submit({ kind: "echo", payload: 1 });
    await page.locator(`tr[data-job="${job.id}"] .badge.s-completed`).waitFor();
    await live(page);
  }));

for (const path of ["/", "/jobs"]) {
  test(`rows do not contradict the counters while more jobs run than anybody can follow: ${path}`, () =>
    withPage(browser, {}, async (page) => {
      const jobs = JSON.stringify(Array.from({ length: 500 }, (_, n) => ({ kind: "echo", payload: n, queue: "load" })));
      let isOver = false;
      const load = (async () => {
        while (!isOver) {
          await fetch(`${server.origin}/api/v1/jobs`, { method: "POST", headers: { "content-type": "application/json" }, body: jobs });
          while ((await server.stats()).states.available > 1_000); // the server keeps up
        }
      })();
      try {
        await page.goto(server.origin + path);
        await live(page);
        await page.locator(path === "/" ? "#recent-note" : "#news", { hasText: path === "/" ? "Sample as of" : "New jobs · refresh" }).waitFor();
        // The counters are those of now, and no row has a state that they say no job is in.
        await until(page, () => {
          const counted = (state) => Number(document.querySelector(`[data-count="${state}"]`).textContent.replace(/\D/g, ""));
          const states = [...document.querySelectorAll("tbody tr[data-job]")].map((row) => row.dataset.state);
          return states.length >= 12 && states.every((state) => counted(state) > 0);
        });
      } finally {
        isOver = true;
        await load;
      }
    }));
}
