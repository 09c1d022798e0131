// Pages behind proxies that let no WebSocket, or no stream at all, through: node --test transports.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BlockingProxy } from "./blocking-proxy.mjs";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const STREAM = "live (server-sent events)";
const POLLING = "live (polling)";

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

const row = (page, id) => page.locator(`tr[data-job="${id}"]`);
const mark = (page) => page.evaluate(() => (window.stillHere = true));
const assertNotReloaded = async (page) => assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
const says = (page, text) => until(page, (text) => document.getElementById("connection-text").textContent === text, text);

/** Waits until the counter of completed jobs is that of the server. */
async function countsAreRight(page) {
  const { states } = await server.stats();
  await until(page, (completed) => Number(document.querySelector("[data-count=completed]").textContent.replace(/\D/g, "")) === completed, states.completed);
}

const BLOCKED = [
  ["refuses WebSockets with 403", { sockets: "refused", status: 403 }, STREAM],
  ["refuses WebSockets with 400", { sockets: "refused", status: 400 }, STREAM],
  ["swallows the handshake of WebSockets", { sockets: "swallowed" }, STREAM],
  ["refuses WebSockets and keeps streams back", { sockets: "refused", buffersStreams: true }, POLLING],
  ["swallows WebSockets and keeps streams back", { sockets: "swallowed", buffersStreams: true }, POLLING],
];

for (const [name, faults, text] of BLOCKED) {
  test(`behind a proxy that ${name}, every page is live and says how`, async () => {
    const proxy = await BlockingProxy.start(server, faults);
    try {
      await withPage(browser, {}, async (page) => {
        await page.goto(proxy.origin);
        await says(page, text);
        await mark(page);
        const queue = `q-${Date.now()}`;
        const shown = await server.submit({ kind: "sleep", payload: { ms: 300 }, queue });
        await row(page, shown.id).locator(".badge.s-completed").waitFor();
        await page.locator(`tr[data-queue="${queue}"]`).waitFor();
        await countsAreRight(page);
        await until(page, () => document.querySelector('#chart-throughput [data-now="completed"]').textContent !== "0/s");
        await assertNotReloaded(page);

        await server.post(`/api/v1/queues/${queue}/pause`);
        const waiting = await server.submit({ kind: "echo", payload: 1, queue });
        await page.goto(`${proxy.origin}/jobs`);
        await says(page, text);
        await mark(page);
        await row(page, waiting.id).locator(".badge.s-available").waitFor();
        await server.post(`/api/v1/queues/${queue}/resume`);
        await row(page, waiting.id).locator(".badge.s-completed").waitFor();
        const newer = await server.submit({ kind: "echo", payload: 1 });
        await row(page, newer.id).waitFor();
        await countsAreRight(page);
        await assertNotReloaded(page);

        const followed = await server.submit({ kind: "sleep", payload: { ms: 2000, progress: true } });
        await page.goto(`${proxy.origin}/jobs/${followed.id}`);
        await says(page, text);
        await mark(page);
        await page.locator("#head .badge.s-completed").waitFor();
        const { lines } = await (await fetch(`${server.origin}/api/v1/jobs/${followed.id}/log`)).json();
        await until(page, (count) => document.querySelectorAll("#log li").length >= count, lines.length);
        assert.deepEqual(await page.locator("#log li .text").allTextContents(), lines.map((line) => line.text));
        await assertNotReloaded(page);
      });
    } finally {
      await proxy.stop();
    }
  });
}

for (const [name, faults, text] of [BLOCKED[0], BLOCKED[3]]) {
  test(`behind a proxy that ${name}, pages survive a restart of the server`, async () => {
    const proxy = await BlockingProxy.start(server, faults);
    try {
      await withPage(browser, {}, async (page) => {
        const job = await server.submit({ kind: "sleep", payload: { ms: 1 }, delay_ms: 3000 });
        await page.goto(`${proxy.origin}/jobs`);
        await says(page, text);
        await mark(page);
        await server.stop();
        await page.locator("#connection[data-state=reconnecting]").waitFor();
        await server.again();
        await says(page, text);
        await row(page, job.id).locator(".badge.s-completed").waitFor();
        await countsAreRight(page);
        await assertNotReloaded(page);
      });
    } finally {
      await proxy.stop();
    }
  });
}

test("a page returns to a WebSocket once the proxy lets it through, and misses nothing", async () => {
  const proxy = await BlockingProxy.start(server, { sockets: "refused" });
  try {
    await withPage(browser, { viewport: { width: 360, height: 740 } }, async (page) => {
      page.setDefaultTimeout(40_000);
      await page.goto(`${proxy.origin}/`);
      await says(page, STREAM);
      for (const width of [320, 360, 768, 1024, 1440, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        const { whole, right } = await page.evaluate(() => ({ whole: document.documentElement.scrollWidth, right: document.getElementById("connection").getBoundingClientRect().right }));
        assert.ok(whole <= width && right <= width, `${width}: ${whole} px, the state ends at ${right}`);
      }
      await mark(page);
      proxy.sockets = "passed";
      await says(page, "live");
      const job = await server.submit({ kind: "echo", payload: 1 });
      await row(page, job.id).locator(".badge.s-completed").waitFor();
      await assertNotReloaded(page);
    });
  } finally {
    await proxy.stop();
  }
});

test("a hidden page holds no connection over HTTP, and catches up when it is seen again", async () => {
  const proxy = await BlockingProxy.start(server, { sockets: "refused" });
  try {
    await withPage(browser, {}, async (page) => {
      await page.goto(`${proxy.origin}/`);
      await says(page, STREAM);
      await mark(page);
      const hide = (hidden) =>
        page.evaluate((hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }, hidden);
      await hide(true);
      await page.locator("#connection[data-state=paused]").waitFor();
      const metric = async () => Number(/subscribers\{transport="event_stream"\} (\d+)/.exec(await (await fetch(`${server.origin}/metrics`)).text())?.[1]);
      for (const end = Date.now() + 20_000; (await metric()) !== 0; ) assert.ok(Date.now() < end, `${await metric()} streams are open`);
      const job = await server.submit({ kind: "echo", payload: 1 });
      await server.until(job.id, "completed");
      await hide(false);
      await row(page, job.id).locator(".badge.s-completed").waitFor();
      await assertNotReloaded(page);
    });
  } finally {
    await proxy.stop();
  }
});
