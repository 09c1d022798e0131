// The page of a kind, the list of kinds, the heat map of waiting times and the figures of the System page:
// node --test kinds.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeViolations, launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [320, 360, 768, 1024, 1440, 2560];

let browser;
let server;

before(async () => {
  server = await Server.start();
  for (let n = 0; n < 12; n += 1) await server.submit({ kind: "sleep", payload: { ms: 1 + n * n }, queue: n % 2 ? "mail" : "video" });
  const jobs = [await server.submit({ kind: "sleep", payload: { ms: 400 } }), await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1, queue: "mail" })];
  await server.until(jobs[0].id, "completed");
  await server.until(jobs[1].id, "discarded");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** A page without JavaScript cannot be asked by a script in it, so its parts are measured. What is in the heat map scrolls. */
const fits = async (page, what) => {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const part of await page.locator("main > *, main svg.drawing, .heat-panel, main table:not(.heat), main li, main td:not(.heat *), main thead time:not(.heat *)").all()) {
      const box = await part.boundingBox();
      assert.ok(!box || (box.x >= 0 && box.x + box.width <= width + 0.5), `${what} at ${width} px: ${JSON.stringify(box)}`);
    }
  }
};

/** The page as it is after a while: the server counts jobs slightly after they have ended. */
async function shown(page, path, text) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    await page.goto(server.origin + path);
    if (await page.getByText(text, { exact: true }).count()) return;
    assert.ok(Date.now() < deadline, `${path} does not show ${text}`);
  }
}

const figure = (page, name) => page.locator(".figures div").filter({ has: page.locator("dt").getByText(name, { exact: true }) }).locator("dd").textContent();

for (const javaScriptEnabled of [true, false]) {
  const way = javaScriptEnabled ? "with" : "without";

  test(`the page of a kind shows its figures, run times, failures and jobs, and fits, ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await shown(page, "/kinds/sleep?range=1h", "13 attempts");
      if (javaScriptEnabled) await live(page);
      assert.equal(await figure(page, "Completed"), "13");
      assert.equal(await figure(page, "Failure rate"), "0%");
      assert.match(await figure(page, "Run time p99"), / ms$/);
      assert.equal(await page.locator("figure.chart").count(), 3);
      const drawing = page.getByRole("img", { name: /^Run times: p50 .* Most attempts, / });
      assert.ok((await drawing.locator(".bar").count()) >= 3);
      assert.equal(await drawing.locator(".line").count(), 3);
      await page.getByText("As a table").click();
      const rows = await page.locator("#durations-table tbody tr").count();
      assert.ok(rows >= (await drawing.locator(".bar").count()), `${rows} rows`);
      assert.deepEqual(await page.locator("#where dd").first().locator("a").allTextContents(), ["default", "mail", "video"]);
      assert.equal(await page.locator("#newest tbody tr").count(), 10);
      await fits(page, "the page of a kind");
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.getByRole("link", { name: "All jobs of this kind" }).click();
      await page.waitForURL(`${server.origin}/jobs?kind=sleep`);
    }));

  test(`kinds are found from the list, from jobs, failures and Find, ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/queues`);
      await page.getByRole("link", { name: "Kinds of jobs" }).click();
      await page.waitForURL(`${server.origin}/kinds`);
      await fits(page, "the list of kinds");
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.locator("#kinds").getByRole("link", { name: "fail", exact: true }).click();
      await page.waitForURL(`${server.origin}/kinds/fail`);
      await page.locator("#failing .f-what a").click();
      await page.locator(".crumbs").getByRole("link", { name: "fail", exact: true }).click();
      await page.waitForURL(`${server.origin}/kinds/fail`);
      await page.locator("#newest .job-link").click();
      await page.locator(".crumbs").getByRole("link", { name: "fail", exact: true }).click();
      await page.waitForURL(`${server.origin}/kinds/fail`);
      await page.goto(`${server.origin}/find?q=fail`);
      await page.locator("#found a").filter({ hasText: "Kind fail" }).click();
      await page.waitForURL(`${server.origin}/kinds/fail`);
    }));

  test(`the heat map has a row for each queue, fits and leads to jobs, ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/queues`);
      await page.getByRole("link", { name: "Waiting times" }).click();
      await page.getByRole("navigation", { name: "Range" }).getByRole("link", { name: "24h" }).click();
      await page.waitForURL(`${server.origin}/queues?view=waits&range=24h`);
      const rows = page.locator("#waits tbody tr");
      assert.deepEqual(await rows.locator("th").allTextContents(), ["default", "mail", "video"]);
      assert.deepEqual(await page.locator("#waits tbody tr").first().locator("td").count(), 24);
      await fits(page, "the heat map");
      const cell = page.locator("#waits tbody tr").nth(1).getByRole("link", { name: /^p95 .* UTC$/ }).last();
      for (const range of ["1h", "6h", "7d", "24h"]) {
        await page.goto(`${server.origin}/queues?view=waits&range=${range}`);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          let box = await cell.boundingBox();
          while (!box) box = await cell.boundingBox(); // the page has just drawn the map anew
          assert.ok(box.width >= 24 && box.height >= 24, `${range} at ${width}: ${JSON.stringify(box)}`);
          assert.ok(box.x >= 0 && box.x + box.width <= width, `the newest cell is in sight, ${range} at ${width}: ${JSON.stringify(box)}`);
        }
      }
      await cell.click();
      await page.waitForURL(/\/jobs\?queue=mail&since=/);
      assert.equal(await page.locator("tr[data-job]").count(), 7);
    }));

  test(`the System page draws its figures over time ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await shown(page, "/system", "Last 30 minutes");
      const names = await page.locator("#samples .sample-name").allTextContents();
      assert.deepEqual(names.slice(0, 3), ["Enqueued jobs", "Completed jobs", "Events"]);
      for (const name of ["Memory", "Disk usage", "Subscribers"]) assert.ok(names.includes(name), name);
      assert.match(await page.locator("#samples svg .line").first().getAttribute("d"), /^M[\d.]+ [\d.]+h0/);
      await fits(page, "the System page");
    }));
}

test("the page of a kind goes on by itself", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/kinds/echo`);
    await live(page);
    const { id } = await server.submit({ kind: "echo", payload: 1 });
    await server.until(id, "completed");
    await page.locator("#newest tr[data-state=completed]").waitFor();
    await until(page, () => document.querySelector("[data-count=completed]").textContent === "1");
    await page.locator("#durations .histogram").getByText("1 attempt", { exact: true }).waitFor();
    // Only the server draws the charts of a kind, and messages about all jobs do not change them.
    await until(page, () => /The peak in the last 5 minutes was (?!0\/s)/.test(document.querySelector("#chart-throughput svg").getAttribute("aria-label")));
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`the pages can be read by everybody in ${colorScheme}`, () =>
    withPage(browser, { colorScheme }, async (page) => {
      const wrong = [];
      for (const path of ["/kinds", "/kinds/sleep?range=1h", "/kinds/fail?range=1h", "/queues?view=waits", "/queues?view=waits&range=7d", "/system"]) {
        await page.goto(server.origin + path);
        await live(page);
        wrong.push(...(await axeViolations(page, path)));
      }
      assert.deepEqual(wrong, []);
    }));
}

/** The brightness of colours as Chromium computes them, in the order of the shades. */
const lightness = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll(".heat-legend [class*=shade-]")].map((shade) => {
      const canvas = document.createElement("canvas").getContext("2d");
      canvas.fillStyle = getComputedStyle(shade).backgroundColor;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    }),
  );

test("the shades of the heat map differ in brightness, so that no colour has to be told apart", () =>
  withPage(browser, {}, async (page) => {
    for (const [colorScheme, sign] of [["light", -1], ["dark", 1]]) {
      await page.emulateMedia({ colorScheme });
      await page.goto(`${server.origin}/queues?view=waits`);
      const shades = await lightness(page);
      assert.equal(shades.length, 7);
      const steps = shades.slice(1).map((shade, n) => (shade - shades[n]) * sign);
      assert.ok(steps.every((step) => step > 8), `${colorScheme}: ${shades.map(Math.round)}`);
    }
  }));
