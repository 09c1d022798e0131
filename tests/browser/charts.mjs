// Charts are true to the data: the time without data is an empty grey area, and no line at zero; and they can be read: axes,
// scales, ranges, marks, a crosshair on all of them, and the jobs of a range: node --test charts.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BlockingProxy } from "./blocking-proxy.mjs";
import { PATIENCE_MS, launch, live, networkIsBack, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [320, 360, 768, 1024, 1440, 2560];

let browser;
let server;
let proxy;

before(async () => {
  server = await Server.start();
  proxy = await BlockingProxy.start(server);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await server?.remove();
});

/** Returns what a chart shows: its text, its grey areas, and where its first line begins and ends. */
const look = (page, id = "throughput") =>
  page.evaluate((id) => {
    const figure = document.getElementById(`chart-${id}`);
    const line = figure.querySelector("path[data-line=completed]").getAttribute("d");
    const xs = [...line.matchAll(/[ML]([\d.]+) /g)].map(([, x]) => Number(x));
    return { words: figure.querySelector("svg").getAttribute("aria-label"), areas: figure.querySelector(".no-data").getAttribute("d"), begin: xs[0], end: xs.at(-1) };
  }, id);
const age = (page) => page.locator("#charts-title").textContent();
const has = (page, words) => until(page, (words) => new RegExp(words).test(document.querySelector("#chart-throughput svg").getAttribute("aria-label")), words);
const completed = (page) => page.evaluate(() => document.querySelector('[data-count="completed"]').textContent.replace(/\D/g, ""));

for (const javaScriptEnabled of [true, false]) {
  test(`the time before the first start is empty, ${javaScriptEnabled ? "with" : "without"} JavaScript, at any width`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const job = await server.submit({ kind: "echo", payload: 1, queue: "charted" });
      await server.until(job.id, "completed");
      for (const path of ["/", "/queues/charted", "/?range=6h"]) {
        await page.goto(server.origin + path);
        if (javaScriptEnabled) await live(page);
        // A page without JavaScript cannot be asked by a script in it.
        const figure = page.locator("#chart-throughput");
        const words = await figure.locator("svg").first().getAttribute("aria-label");
        const areas = await figure.locator(".no-data").getAttribute("d");
        const line = await figure.locator("path[data-line=completed]").getAttribute("d");
        assert.match(words, / No data before \d/, path);
        assert.match(areas, /^M0\.0 0H[\d.]+V180H0\.0z$/, path);
        const begin = Number(/^M([\d.]+) /.exec(line)[1]);
        // The chart may have moved on by a column between the two reads.
        assert.ok(begin >= Number(/H([\d.]+)V/.exec(areas)[1]) - 3.1 && begin > 150, `${path}: ${areas} and ${line}`);
      }
      await page.goto(server.origin);
      assert.match(await page.locator('tr[data-queue="charted"] .spark path').first().getAttribute("d"), /^M\d\d[\d.]* 24/);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const box = await page.locator("#chart-throughput svg").first().boundingBox();
        assert.ok(box.width > 100 && box.x >= 0 && box.x + box.width <= width, `${width}: ${JSON.stringify(box)}`);
      }
    }));
}

test("longer numbers in the legend of a chart do not move the page", () =>
  withPage(browser, { javaScriptEnabled: true }, async (page) => {
    for (const path of ["/", "/queues/charted"]) {
      await page.goto(server.origin + path);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const [short, long, isWithin] = await page.evaluate(() => {
          const heights = (texts) => {
            for (const number of document.querySelectorAll("figure.chart [data-now]")) number.textContent = texts[number.dataset.now[0]];
            return [...document.querySelectorAll("figure.chart")].map((figure) => figure.getBoundingClientRect().height);
          };
          const compared = [heights({ c: "0/s", f: "0/s", p: "–" }), heights({ c: "99 999/s", f: "99 999/s", p: "23 h 59 m" })];
          const isWithin = [...document.querySelectorAll("figure.chart .legend > span")].every((item) => item.scrollWidth <= item.clientWidth);
          return [...compared, isWithin];
        });
        assert.deepEqual(long, short, `${path} at ${width} px`);
        assert.ok(isWithin, `${path} at ${width} px: a number is wider than its column`);
      }
    }
  }));

test("a page without a connection shows a gap and says how old it is, and fills the gap afterwards", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(proxy.origin);
    await live(page);
    assert.equal((await look(page)).end, 300);
    proxy.down();
    await has(page, " No data since \\d");
    const { words, areas, end } = await look(page);
    assert.ok(end < 300, `the line ends at ${end}`);
    assert.match(areas, /H300\.0V180H[\d.]+z$/);
    assert.doesNotMatch(words, /NaN|undefined/);
    assert.match(await age(page), /Last 5 minutes as of \d?\d:\d\d:\d\d/);
    await until(page, () => /H100\.0V24/.test(document.querySelector('tr[data-queue="charted"] .spark .no-data').getAttribute("d")));
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} px`);
    }
    // The server goes on without the page.
    const jobs = Array.from({ length: 40 }, () => ({ kind: "echo", payload: 1, queue: "charted" }));
    const answer = await (await server.post("/api/v1/jobs", jobs)).json();
    for (const { id } of answer.jobs) await server.until(id, "completed");
    proxy.up();
    await networkIsBack(page);
    await live(page);
    await until(page, () => !/No data (since|from)/.test(document.querySelector("#chart-throughput svg").getAttribute("aria-label")));
    await until(page, () => Number(document.querySelector("#chart-throughput .top").textContent.split("/")[0]) >= 10);
    assert.equal((await age(page)).trim(), "Last 5 minutes");
    assert.equal((await look(page)).end, 300);
    const { states } = await server.stats();
    await until(page, (completed) => document.querySelector('[data-count="completed"]').textContent.replace(/\D/g, "") === completed, String(states.completed));
    assert.equal(await completed(page), String(states.completed));
  }));

test("updates that the reader pauses leave a gap too, which is filled when they resume", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await live(page);
    await page.keyboard.press("p");
    await has(page, " No data since \\d");
    assert.match(await age(page), /as of/);
    await page.keyboard.press("p");
    await until(page, () => !/No data (since|from)/.test(document.querySelector("#chart-throughput svg").getAttribute("aria-label")));
    assert.equal((await age(page)).trim(), "Last 5 minutes");
  }));

test("the time in which the server was down stays empty after its restart", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await live(page);
    await page.evaluate(() => (window.stillHere = true));
    await server.stop();
    await has(page, " No data since \\d");
    // The gap is several columns wide.
    await until(page, () => Number(/.*M([\d.]+) 0H300/.exec(document.querySelector("#chart-throughput .no-data").getAttribute("d"))?.[1]) < 292);
    await server.again();
    await networkIsBack(page);
    await live(page);
    await has(page, " No data from \\d.* to \\d");
    // The columns after the restart are drawn as they come.
    let { areas, end } = await look(page);
    for (const deadline = Date.now() + 20_000; end !== 300 && Date.now() < deadline; ) ({ areas, end } = await look(page));
    assert.equal((areas.match(/M/g) ?? []).length, 2, areas);
    assert.equal(end, 300);
    assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
    // The columns of the server end two seconds ago, and so may end before the restart.
    await page.reload();
    await has(page, " No data from \\d.* to \\d");
  }));

/** The numbers at the ends of the ranges of a page, and the words of its charts. */
const RANGES = { "5m": "5 minutes", "1h": "60 minutes", "6h": "6 hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days" };

/** Runs and pauses something in a queue, so that its charts have lines and marks. */
async function busyQueue(name) {
  await server.post(`/api/v1/queues/${name}/resume`, {}).catch(() => {});
  const jobs = Array.from({ length: 20 }, (_, n) => ({ kind: n % 10 ? "sleep" : "fail", payload: n % 10 ? { ms: n } : { times: 9 }, queue: name, max_attempts: 1 }));
  const { jobs: made } = await (await server.post("/api/v1/jobs", jobs)).json();
  for (const [n, { id }] of made.entries()) await server.until(id, n % 10 ? "completed" : "discarded");
  await server.post(`/api/v1/queues/${name}/pause`, {});
}

for (const javaScriptEnabled of [true, false]) {
  test(`every range and scale is drawn ${javaScriptEnabled ? "with" : "without"} JavaScript, at any width`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await busyQueue("ranges");
      for (const path of ["/", "/queues/ranges"]) {
        for (const [range, words] of Object.entries(RANGES)) {
          await page.goto(`${server.origin}${path}?range=${range}&scale=log`);
          if (javaScriptEnabled) await live(page);
          assert.equal((await age(page)).trim(), `Last ${words}`);
          const figure = page.locator("#chart-runs");
          assert.match(await figure.locator("svg").first().getAttribute("aria-label"), new RegExp(`in the last ${words} was \\d`), range);
          // Every range knows the jobs that have just run.
          assert.doesNotMatch(await figure.locator("path[data-line=p99]").getAttribute("d"), /^$/, `${path} ${range}`);
          assert.match(await figure.locator("path[data-area=p99]").getAttribute("d"), /z$/);
          const ticks = await page.locator("#chart-runs .ticks text").allTextContents();
          assert.ok(ticks.length >= 4 && ticks.length <= 8, `${range}: ${ticks}`);
          assert.equal(new Set(ticks).size, ticks.length, `${range}: ${ticks}`);
          for (const tick of ticks) assert.match(tick, /^(\d?\d:\d\d( [AP]M)?|\d\d-\d\d)$/);
          assert.equal(await page.locator(`.choices [aria-current]`).allTextContents().then((all) => all.join()), `${range},log`);
        }
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          // The section may be drawn anew at any moment; a drawing that was just replaced has no height.
          let height = 0;
          for (let n = 0; n < 50 && !height; n += 1) height = await page.locator("#chart-runs svg").first().evaluate((drawing) => drawing.getBoundingClientRect().height);
          assert.ok(height >= 180, `${width} px: ${height} px high`);
          // A drawing with a script is drawn again a moment after the size has changed.
          const times = page.locator("#chart-runs .ticks text:visible");
          const overlap = () => times.evaluateAll((all) => all.map((text) => text.getBoundingClientRect()).some(({ left }, n, boxes) => n > 0 && left <= boxes[n - 1].right));
          for (const end = Date.now() + (javaScriptEnabled ? PATIENCE_MS : 0); await overlap(); ) assert.ok(Date.now() < end, `${width} px: times overlap`);
          if (javaScriptEnabled) assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} px`);
        }
        await page.setViewportSize({ width: 1280, height: 900 });
      }
      // What was paused is marked, and listed below the charts.
      assert.ok((await page.locator("#chart-runs g.mark-pause").count()) > 0);
      await page.locator("#chart-marks summary").click();
      assert.match(await page.locator("#chart-marks li.mark-pause").first().textContent(), /Queue ranges paused/);
      // Without a script, the form leads to the jobs of the range.
      await page.locator(".of-range button").click();
      await page.waitForURL(/\/jobs\?queue=ranges&of=ended&since=[^&]+Z&until=[^&]+Z$/);
      assert.equal(await page.locator("table.rows tbody tr").count(), 20 * (javaScriptEnabled ? 1 : 2));
    }));
}

test("the crosshair reads the same moment on all charts, and a drag leads to the jobs of that time", () =>
  withPage(browser, {}, async (page) => {
    await busyQueue("picked");
    await page.goto(`${server.origin}/queues/picked?range=1h`);
    await live(page);
    const layers = page.locator(".pointer");
    await layers.nth(2).waitFor();
    const box = await layers.first().boundingBox();
    const at = (share) => [box.x + box.width * share, box.y + 60];
    await page.mouse.move(...at(0.5));
    const moments = await page.locator(".moment").allTextContents();
    assert.match(moments[0], /^\d?\d:\d\d/);
    assert.deepEqual(moments, [moments[0], moments[0], moments[0]]);
    const lines = await page.locator("line.cross").evaluateAll((all) => all.map((line) => line.getAttribute("x1")));
    assert.equal(lines.length, 3);
    assert.equal(new Set(lines).size, 1, String(lines));
    assert.equal(await page.locator('#chart-throughput [data-now="completed"]').textContent(), "–", "the server was not up half an hour ago");
    await page.mouse.move(...at(0.9));
    await page.mouse.down();
    await page.mouse.move(...at(0.99), { steps: 4 });
    assert.equal(await page.locator("rect.picked").count(), 3);
    await page.mouse.up();
    await page.mouse.move(5, 5);
    assert.deepEqual(await page.locator(".moment").allTextContents(), ["", "", ""]);
    const link = page.locator("#range-jobs");
    assert.match(await link.textContent(), /^Jobs that ended from \d?\d:\d\d/);
    assert.equal(await page.locator("rect.picked").count(), 3, "what was picked stays");
    // It stays, too, when the server draws the charts anew, which waits while the reader is using them.
    await page.locator("#charts").evaluate((section) => (section.querySelector("figure").isOld = true));
    const isOld = () => page.locator("#charts").evaluate((section) => Boolean(section.querySelector("figure").isOld));
    await layers.first().focus();
    await server.post("/api/v1/queues/picked/resume", {});
    await page.locator("#pause").waitFor();
    assert.equal(await isOld(), true, "the charts were replaced while they were used");
    await page.evaluate(() => document.activeElement.blur());
    await until(page, () => !document.querySelector("#charts figure").isOld && document.querySelectorAll("rect.picked").length === 3);
    assert.match(await link.textContent(), /^Jobs that ended from \d?\d:\d\d/);
    await page.keyboard.press("Escape");
    assert.equal(await link.count() + (await page.locator("rect.picked").count()), 0);
    // The same with the keyboard.
    await layers.nth(1).focus();
    await page.keyboard.press("ArrowLeft");
    assert.match(await layers.nth(1).getAttribute("aria-valuetext"), /^\d?\d:\d\d.*: p50 .*, p95 .*, p99 /);
    for (const key of ["End", "Shift+PageDown", "Shift+ArrowRight", "Shift+Home"]) await page.keyboard.press(key);
    await link.waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/jobs\?queue=picked&of=submitted&since=/);
    await until(page, () => document.querySelectorAll("table.rows tbody tr").length === 20);
  }));

test("the history of hours and days survives a restart and a kill", () =>
  withPage(browser, { javaScriptEnabled: false }, async (page) => {
    const sum = async (range) => {
      await page.goto(`${server.origin}/queues/ranges?range=${range}`);
      const numbers = await page.locator("#chart-throughput path[data-line=completed]").getAttribute("data-numbers");
      return numbers.split(",").reduce((sum, number) => sum + Number(number), 0);
    };
    const before = await sum("30d");
    assert.equal(before, 36);
    await server.stop();
    await server.again();
    for (const range of ["1h", "6h", "24h", "7d", "30d"]) assert.equal(await sum(range), before, range);
    await server.kill();
    await server.again();
    for (const range of ["1h", "30d"]) assert.equal(await sum(range), before, `${range} after a kill`);
    assert.ok((await page.locator("#chart-runs g.mark-pause").count()) > 0);
    assert.ok((await page.locator("#chart-runs g.mark-start").count()) > 1);
  }));
