// The pages in Debian's Chromium against the real server: node --test run.mjs
// CORTADO_BIN names another binary, CHROMIUM another browser. Tests wait for conditions and never just sleep.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, live, withPage } from "./page.mjs";
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

const badge = (page, state) => page.locator(`#head .badge.s-${state}`);
const row = (page, id) => page.locator(`tr[data-job="${id}"]`);
const idOf = (page) => new URL(page.url()).pathname.split("/").at(-1);

/** Marks the window; a reload would remove the mark. */
const mark = (page) => page.evaluate(() => (window.stillHere = true));
const assertNotReloaded = async (page) => assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");

async function submitByForm(page, kind, payload) {
  await page.goto(`${server.origin}/jobs/new?kind=${kind}&view=json`);
  await page.locator("#payload").fill(payload);
  await page.locator("#submit").click();
  await page.waitForURL(/\/jobs\/[0-9a-f-]{36}/);
  return idOf(page);
}

describe("with JavaScript", () => {
  test("a job submitted by form goes green on its page without a reload", () =>
    withPage(browser, {}, async (page) => {
      await submitByForm(page, "sleep", '{"ms": 1500}');
      await mark(page);
      await badge(page, "completed").waitFor();
      await page.locator("#timeline").getByText("Attempt 1 succeeded").waitFor();
      await page.locator("#attempts .badge.s-completed").waitFor();
      await assertNotReloaded(page);
    }));

  test("a row of a list goes green without a reload, and newer jobs are only announced while the pointer is on a row", () =>
    withPage(browser, {}, async (page) => {
      const job = await server.submit({ kind: "sleep", payload: { ms: 2500 } });
      await page.goto(`${server.origin}/jobs`);
      await live(page);
      await mark(page);
      const rows = await page.locator("tr[data-job]").count();
      await row(page, job.id).locator(".badge.s-completed").waitFor();
      await row(page, job.id).hover();
      const newer = await server.submit({ kind: "echo", payload: 1 });
      await page.locator("#news", { hasText: "1 new job · show" }).waitFor();
      assert.equal(await page.locator("tr[data-job]").count(), rows);
      await assertNotReloaded(page);
      await page.locator("#news").click();
      await row(page, newer.id).waitFor();
    }));

  test("home shows a new job at once, its end, and the counts with it", () =>
    withPage(browser, {}, async (page) => {
      await page.goto(server.origin);
      await live(page);
      await mark(page);
      const queue = `home-${Date.now()}`;
      const job = await server.submit({ kind: "sleep", payload: { ms: 500 }, queue });
      await row(page, job.id).locator(".badge.s-completed").waitFor();
      await page.locator(`tr[data-queue="${queue}"]`).waitFor();
      const { states } = await server.stats();
      const shown = page.locator("[data-count=completed]");
      await shown.filter({ hasText: new RegExp(`^${states.completed}$`) }).waitFor();
      await assertNotReloaded(page);
    }));

  test("a failing job tells its attempts while they happen", () =>
    withPage(browser, {}, async (page) => {
      const job = await server.submit({ kind: "fail", payload: { times: 2 }, backoff: { base_ms: 300, cap_ms: 300 }, delay_ms: 1000 });
      await page.goto(`${server.origin}/jobs/${job.id}`);
      await mark(page);
      await page.locator("#attempts .failure").nth(1).waitFor();
      await badge(page, "completed").waitFor();
      await page.locator("#attempts .attempt").nth(2).waitFor();
      await assertNotReloaded(page);
    }));

  test("a double click makes one job", () =>
    withPage(browser, {}, async (page) => {
      const count = async () => Object.values((await server.stats()).states).reduce((a, b) => a + b, 0);
      const before = await count();
      await page.goto(`${server.origin}/jobs/new?kind=echo`);
      await page.locator("#submit").dblclick();
      // The second click may cancel the navigation of the first, so the test waits for no single navigation.
      await badge(page, "completed").waitFor();
      assert.equal(await count(), before + 1);
    }));

  test("the chosen theme stays", () =>
    withPage(browser, { colorScheme: "light" }, async (page) => {
      await page.goto(server.origin);
      const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const light = await background();
      await page.locator("#theme").click();
      await page.locator("#theme").click();
      await page.goto(`${server.origin}/jobs`);
      assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
      assert.notEqual(await background(), light);
    }));

  test("pausing a queue shows on another open page", () =>
    withPage(browser, {}, async (page) => {
      const queue = `pause-${Date.now()}`;
      await server.submit({ kind: "echo", payload: 1, queue });
      await page.goto(server.origin);
      await live(page);
      await mark(page);
      await server.post(`/api/v1/queues/${queue}/pause`);
      await page.locator(`#resume-${queue}`).waitFor();
      await assertNotReloaded(page);
      await page.locator(`#resume-${queue}`).click();
      await page.locator(`#pause-${queue}`).waitFor();
    }));

  test("a page whose server restarts says so, recovers, and misses nothing", () =>
    withPage(browser, {}, async (page) => {
      const job = await server.submit({ kind: "sleep", payload: { ms: 1 }, delay_ms: 4000 });
      await page.goto(`${server.origin}/jobs/${job.id}`);
      await live(page);
      await mark(page);
      await server.stop();
      await page.locator("#connection:not([data-state=live])").waitFor();
      await server.again();
      await live(page);
      await badge(page, "completed").waitFor();
      await assertNotReloaded(page);
      await page.goto(server.origin);
      await live(page);
      const later = await server.submit({ kind: "echo", payload: 1 });
      await row(page, later.id).locator(".badge.s-completed").waitFor();
    }));

  test("a stopping server is announced while its last job ends, and nothing of it is lost", () =>
    withPage(browser, {}, async (page) => {
      const job = await server.submit({ kind: "sleep", payload: { ms: 3000 } });
      await page.goto(`${server.origin}/jobs/${job.id}`);
      await live(page);
      await badge(page, "running").waitFor();
      await mark(page);
      const stopped = server.stop();
      await page.locator("#connection[data-state=draining]").waitFor();
      await badge(page, "completed").waitFor();
      await stopped;
      await page.locator("#connection[data-state=reconnecting]").waitFor();
      await server.again();
      await live(page);
      await page.locator("#timeline").getByText("Attempt 1 succeeded").waitFor();
      await assertNotReloaded(page);
    }));

  test("a page left and come back to with the browser's button is live again", () =>
    withPage(browser, {}, async (page) => {
      await page.goto(server.origin);
      await live(page);
      await page.goto(`${server.origin}/jobs`);
      await page.goBack();
      await live(page);
      const job = await server.submit({ kind: "echo", payload: 1 });
      await row(page, job.id).locator(".badge.s-completed").waitFor();
    }));
});

describe("without JavaScript", () => {
  const off = { javaScriptEnabled: false };

  test("a job is submitted by form and found completed after a reload", () =>
    withPage(browser, off, async (page) => {
      const id = await submitByForm(page, "echo", '{"big": 12345678901234567890}');
      await server.until(id, "completed");
      await page.reload();
      await badge(page, "completed").waitFor();
      await page.locator("#result").getByText("12345678901234567890").waitFor();
      await page.goto(`${server.origin}/jobs`);
      await row(page, id).locator(".badge.s-completed").waitFor();
    }));

  test("what was typed stays when a field is wrong", () =>
    withPage(browser, off, async (page) => {
      await page.goto(`${server.origin}/jobs/new?kind=sleep&view=json`);
      await page.locator("#payload").fill('{"ms": }');
      await page.locator(".options summary").click();
      await page.locator("#tags").fill("kept, too");
      await page.locator("#submit").click();
      await page.locator("#payload-error").getByText("not valid JSON").waitFor();
      assert.equal(await page.locator("#payload").inputValue(), '{"ms": }');
      assert.equal(await page.locator("#tags").inputValue(), "kept, too");
      assert.equal(await page.locator("#kind").inputValue(), "sleep");
    }));

  test("a waiting job is cancelled, retried and deleted by buttons", () =>
    withPage(browser, off, async (page) => {
      const job = await server.submit({ kind: "echo", payload: 1, delay_ms: 3_600_000 });
      await page.goto(`${server.origin}/jobs/${job.id}`);
      await page.locator("#cancel").click();
      await badge(page, "cancelled").waitFor();
      await page.locator("#retry").click();
      await page.locator("#head .badge").waitFor();
      await server.until(job.id, "completed");
      await page.reload();
      await page.locator("#ask-delete summary").click();
      await page.locator("#delete").click();
      await page.waitForURL(`${server.origin}/jobs`);
      assert.equal(await row(page, job.id).count(), 0);
    }));

  test("every page fits a phone of 360 px", () =>
    withPage(browser, { ...off, viewport: { width: 360, height: 740 } }, async (page) => {
      const job = await server.submit({ kind: "echo", payload: "x".repeat(300), tags: ["a-rather-long-tag-for-a-phone"] });
      await server.until(job.id, "completed");
      for (const path of ["/", "/jobs", "/jobs?state=discarded", `/jobs/${job.id}`, "/jobs/new", "/system", "/none"]) {
        await page.goto(server.origin + path);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= 360, `${path} is ${width} px wide`);
      }
    }));
});
