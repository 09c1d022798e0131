// The page of a job: its attempts on one time axis, its log by attempt, the comparison with the last success, and the
// payload that folds, copies and searches: node --test job-views.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axeViolations, launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [360, 768, 1024, 1440, 2560];

let browser;
let server;
let success;
let failed;
let echo;

before(async () => {
  server = await Server.start();
  browser = await launch();
  success = await server.submit({ kind: "fail", payload: { times: 0 }, queue: "good" });
  await server.until(success.id, "completed");
  failed = await server.submit({ kind: "fail", payload: { times: 9 }, queue: "bad", max_attempts: 3, backoff: { base_ms: 300, cap_ms: 300 } });
  await server.until(failed.id, "discarded");
  echo = await server.submit({ kind: "echo", payload: { order: { id: 42, items: [{ sku: "a-1" }, { sku: "b \"2\"", big: 1 }] }, ok: true } });
  await server.until(echo.id, "completed");
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const open = (page, job) => page.goto(`${server.origin}/jobs/${job.id}`);
const line = (page, path) => page.locator(`.json [data-path='${path}']`);

const assertSound = async (page) => assert.deepEqual(await axeViolations(page), []);

for (const [script, javaScriptEnabled] of [["with JavaScript", true], ["without JavaScript", false]]) {
  describe(script, () => {
    const options = { javaScriptEnabled };

    test("attempts follow each other on one axis at every width", () =>
      withPage(browser, options, async (page) => {
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          await open(page, failed);
          assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} px`);
          const falls = await page.locator(".fall").evaluateAll((all) => all.map((fall) => ({ left: fall.getBoundingClientRect().left, width: fall.getBoundingClientRect().width, rects: [...fall.children].map((rect) => [rect.classList[0], Number(rect.getAttribute("x")), Number(rect.getAttribute("width"))]) })));
          assert.equal(falls.length, 3);
          assert.ok(falls.every(({ left, width: wide }) => left === falls[0].left && wide === falls[0].width && wide > 100), "the axes differ");
          const runs = falls.map(({ rects }) => rects.at(-1));
          assert.deepEqual(runs.map(([name]) => name), ["p-failed", "p-failed", "p-failed"]);
          assert.ok(runs[0][1] < runs[1][1] && runs[1][1] < runs[2][1], "the attempts are not in order");
          assert.ok(runs[2][1] + runs[2][2] >= 9_990, "the last attempt does not end with the axis");
          assert.ok(falls[1].rects.some(([name, , long]) => name === "p-backoff" && long > 2_000), "no backoff");
        }
      }));

    test("a failed job is compared with the attempt before and with the last success", () =>
      withPage(browser, options, async (page) => {
        await open(page, failed);
        await page.locator("#attempt-2", { hasText: "The same error as in attempt 2, with other values" }).waitFor();
        await page.locator("#compare tr", { hasText: "payload.times" }).getByText("0", { exact: true }).waitFor();
        await page.locator("#compare tr", { hasText: "queue" }).getByText("good", { exact: true }).waitFor();
        await page.locator("#compare p a").click();
        await page.waitForURL(`${server.origin}/jobs/${success.id}`);
        assert.equal(await page.locator("#compare").count(), 0);
      }));

    test("the timeline has one entry with its time for each event", () =>
      withPage(browser, options, async (page) => {
        await open(page, success);
        const entries = await page.locator(".timeline li").allTextContents();
        assert.deepEqual(entries.map((entry) => entry.trim().replace(/^[\d: ]+([AP]M)?/, "").trim()), ["Submitted to queue good", "Attempt 1 started on local", "Attempt 1 succeeded"]);
        assert.ok((await page.locator(".timeline li").first().boundingBox()).height < 40);
      }));

    test("objects fold, and a value leads to the jobs that have it", () =>
      withPage(browser, options, async (page) => {
        await open(page, echo);
        await line(page, "payload.order.items").click();
        assert.equal(await line(page, "payload.order.items.0").isVisible(), false);
        assert.equal(await line(page, "payload.ok").isVisible(), true);
        await line(page, "payload.order.items").click();
        await line(page, "payload.order.items.1.sku").locator("a").click();
        await page.waitForURL(/q=payload/);
        assert.equal(await page.locator(`tr[data-job="${echo.id}"]`).count(), 1);
        assert.equal(await page.locator("#list tbody tr").count(), 1);
        await page.locator(".filter-chip", { hasText: "payload.order.items.1.sku" }).waitFor();
      }));
  });
}

test("a value or a path is copied with the mouse and with the keyboard", () =>
  withPage(browser, { permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
    await open(page, echo);
    await live(page);
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    const press = async (name) => {
      await page.locator(".json-tools").getByRole("button", { name, exact: true }).click(); // not while it says "Copied"
      await page.locator(".json-tools", { hasText: "Copied" }).waitFor();
      return copied();
    };
    await line(page, "payload.order.items.1.sku").hover();
    assert.equal(await press("Copy"), 'b "2"');
    await line(page, "payload.order.id").hover();
    assert.equal(await press("Path"), "payload.order.id");
    await line(page, "payload.order.items.1").hover();
    assert.equal(await press("Copy"), '{\n  "sku": "b \\"2\\"",\n  "big": 1\n}');
    await line(page, "result.order").click();
    assert.equal(await line(page, "result.order.id").isVisible(), false);
    assert.deepEqual(JSON.parse(await press("Copy")), { id: 42, items: [{ sku: "a-1" }, { sku: 'b "2"', big: 1 }] });
    // The arrow keys go from line to line; the buttons follow the focus.
    await page.locator(".json").first().focus();
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "Tab"]) await page.keyboard.press(key);
    await page.locator(".json-tools button:focus").getByText("Copy", { exact: true }).waitFor();
    await page.keyboard.press("Enter");
    await page.locator(".json-tools", { hasText: "Copied" }).waitFor();
    assert.equal(await copied(), "42");
  }));

test("the log begins a part with each attempt, live as on the page that the server renders", () =>
  withPage(browser, {}, async (page) => {
    const job = await server.submit({ kind: "sleep", payload: { ms: 600, progress: true } });
    await server.until(job.id, "completed");
    await open(page, job);
    await live(page);
    await page.locator("#log li").first().waitFor();
    assert.equal(await page.locator(".log-attempt").count(), 0);
    await server.post(`/api/v1/jobs/${job.id}/retry`);
    const shown = () => page.locator("#log li").evaluateAll((all) => all.map((one) => (one.className === "log-attempt" ? one.textContent.slice(0, 9) : "line")));
    const lines = (await shown()).length;
    const expected = ["Attempt 1", ...Array(lines).fill("line"), "Attempt 2", ...Array(lines).fill("line")];
    await page.locator("#log li").nth(expected.length - 1).waitFor();
    assert.deepEqual(await shown(), expected);
    await server.until(job.id, "completed");
    await page.reload();
    assert.deepEqual(await shown(), expected);
  }));

test("the waterfall grows while the job goes on", () =>
  withPage(browser, {}, async (page) => {
    const job = await server.submit({ kind: "fail", payload: { times: 2 }, max_attempts: 3, backoff: { base_ms: 60_000, cap_ms: 60_000 } });
    await server.until(job.id, "retryable");
    await open(page, job);
    await live(page);
    const mark = await page.locator(".axis .marks span").last().textContent();
    const run = () => page.locator(".fall .p-failed").evaluate((rect) => Number(rect.getAttribute("width")));
    const wide = await run();
    await until(page, (text) => document.querySelector(".axis .marks span:last-child").textContent !== text, mark);
    assert.ok((await run()) < wide, "the run is as wide as before");
    await server.post(`/api/v1/jobs/${job.id}/cancel`);
    await page.locator("#head .badge.s-cancelled").waitFor();
    await page.locator(".axis:not([data-since])").waitFor({ state: "attached" });
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`attempts, comparison and payload are open to everybody: ${colorScheme}`, () =>
    withPage(browser, { colorScheme, reducedMotion: "reduce" }, async (page) => {
      for (const width of [360, 1440]) {
        await page.setViewportSize({ width, height: 900 });
        for (const job of [failed, echo]) {
          await open(page, job);
          await live(page);
          await line(page, "payload").hover();
          await assertSound(page);
        }
      }
    }));
}
