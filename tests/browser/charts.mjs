// Charts are true to the data: the time without data is an empty grey area, and no line at zero: node --test charts.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BlockingProxy } from "./blocking-proxy.mjs";
import { launch, live, networkIsBack, until, withPage } from "./page.mjs";
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
    const line = figure.querySelector("path[data-line]").getAttribute("d");
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
      for (const path of ["/", "/queues/charted", "/?span=hours"]) {
        await page.goto(server.origin + path);
        if (javaScriptEnabled) await live(page);
        // A page without JavaScript cannot be asked by a script in it.
        const figure = page.locator("#chart-throughput");
        const words = await figure.locator("svg").getAttribute("aria-label");
        const areas = await figure.locator(".no-data").getAttribute("d");
        const line = await figure.locator("path[data-line=completed]").getAttribute("d");
        assert.match(words, / No data before \d/, path);
        assert.match(areas, /^M0\.0 0H[\d.]+V84H0\.0z$/, path);
        const begin = Number(/^M([\d.]+) /.exec(line)[1]);
        assert.ok(begin >= Number(/H([\d.]+)V/.exec(areas)[1]) && begin > 150, `${path}: ${areas} and ${line}`);
      }
      await page.goto(server.origin);
      assert.match(await page.locator('tr[data-queue="charted"] .spark path').first().getAttribute("d"), /^M\d\d[\d.]* 24/);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const box = await page.locator("#chart-throughput svg").boundingBox();
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
    assert.match(areas, /H300\.0V84H[\d.]+z$/);
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
    const { areas, end } = await look(page);
    assert.equal((areas.match(/M/g) ?? []).length, 2, areas);
    assert.equal(end, 300);
    assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
    // The columns of the server end two seconds ago, and so may end before the restart.
    await page.reload();
    await has(page, " No data from \\d.* to \\d");
  }));
