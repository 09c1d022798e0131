// The job list as a table: columns, order of a page, clickable rows, bulk actions: node --test lists.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axeViolations, launch, live, until, watchShifts, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [360, 768, 1024, 1440, 2560];
const WAITS = { delay_ms: 3_600_000 };

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

const rows = (page) => page.locator("#list tbody tr");
const row = (page, id) => page.locator(`tr[data-job="${id}"]`);
const ids = (page) => rows(page).evaluateAll((all) => all.map((one) => one.dataset.job));
const isVisible = (page, selector) => page.locator(selector).first().isVisible();

/** Submits waiting jobs to the queues of these names in turn and returns their ids, newest first. */
async function waiting(tag, count, queues = [tag]) {
  const jobs = Array.from({ length: count }, (_, n) => ({ kind: "echo", queue: queues[n % queues.length], tags: [tag], payload: { n }, ...WAITS }));
  const answer = await (await server.post("/api/v1/jobs", jobs)).json();
  return answer.jobs.map((job) => job.id).reverse();
}

const assertSound = async (page) => assert.deepEqual(await axeViolations(page), []);

for (const [script, javaScriptEnabled] of [["with JavaScript", true], ["without JavaScript", false]]) {
  describe(script, () => {
    const options = { javaScriptEnabled };

    test("a heading sorts the rows of a page, and the next page goes on where this one ends", () =>
      withPage(browser, options, async (page) => {
        const tag = `order-${javaScriptEnabled}`;
        const all = await waiting(tag, 60, ["c", "a", "b"]);
        await page.goto(`${server.origin}/jobs?tag=${tag}`);
        await page.locator("th.c-queue a").click();
        await page.waitForURL(/sort=queue/);
        const queues = () => page.locator("[data-f=queue]:visible").allTextContents();
        const first = await ids(page);
        assert.deepEqual(await queues(), (await queues()).toSorted());
        assert.deepEqual(first.toSorted(), all.slice(0, 50).toSorted());
        assert.equal(await page.locator("th.c-queue").getAttribute("aria-sort"), "ascending");
        await page.locator("#sorted", { hasText: "Only the rows of this page are sorted, by queue, from A to Z" }).waitFor();
        await page.locator("#pager [rel=next]").click();
        await page.waitForURL(/after=/);
        assert.deepEqual((await ids(page)).toSorted(), all.slice(50).toSorted());
        assert.deepEqual(await queues(), (await queues()).toSorted());
        await page.locator("th.c-queue a").click();
        await page.waitForURL(/sort=-queue/);
        assert.deepEqual(await queues(), (await queues()).toSorted().reverse());
        await page.locator("#sorted a").click();
        await page.waitForURL((url) => !url.search.includes("sort"));
        assert.deepEqual(await ids(page), all.slice(50));
      }));

    test("rows have a duration and a payload, and fit every width", () =>
      withPage(browser, options, async (page) => {
        const queue = `columns-${javaScriptEnabled}`;
        const job = await server.submit({ kind: "sleep", queue, payload: { ms: 1200 } });
        await server.until(job.id, "completed");
        await page.goto(`${server.origin}/jobs?queue=${queue}`);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 800 });
          assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} px`);
          assert.match(await row(page, job.id).locator(".c-duration:visible").textContent(), /^1\.[2-9] s$/);
          if (width !== 1024) assert.equal(await row(page, job.id).locator(".c-payload:visible").textContent(), '{"ms":1200}');
          await page.locator("#view summary").click();
          const box = await page.locator("#view .ask-box").boundingBox();
          assert.ok(box.x >= 0 && box.x + box.width <= width, `the menu leaves ${width} px`);
          await page.locator("#view summary").click();
        }
      }));

    test("the bulk actions are there when there is something to act on", () =>
      withPage(browser, options, async (page) => {
        const queue = `bulk-${javaScriptEnabled}`;
        const [first, second] = await waiting(queue, 2);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 800 });
          await page.goto(`${server.origin}/jobs?queue=${queue}`);
          if (javaScriptEnabled) await live(page);
          assert.equal(await page.locator("#bulk").isVisible(), !javaScriptEnabled);
          const top = () => row(page, second).evaluate((element) => element.getBoundingClientRect().top + scrollY);
          const before = await top();
          await row(page, first).locator("input").check();
          assert.equal(await page.locator("#bulk").isVisible(), true);
          assert.equal(await top(), before, "the rows moved");
          const box = await page.locator("#bulk").boundingBox();
          assert.ok(box.x >= 0 && box.x + box.width <= width, `the actions leave ${width} px`);
          if (!javaScriptEnabled) continue;
          await page.locator("#clear-selection").click();
          assert.equal(await page.locator("#bulk").isVisible(), false);
          assert.equal(await row(page, first).locator("input").isChecked(), false);
          assert.equal(await page.evaluate(() => document.activeElement.value), first, "the focus is lost");
        }
      }));
  });
}

test("a row that arrives has its duration and its payload, too", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/jobs`);
    await live(page);
    const job = await server.submit({ kind: "sleep", queue: "fresh", payload: { ms: 2500 } });
    await row(page, job.id).locator(".c-duration time", { hasText: /^[12] s$/ }).waitFor();
    await row(page, job.id).locator(".c-payload", { hasText: '{"ms":2500}' }).waitFor();
    await row(page, job.id).locator(".c-duration", { hasText: /^2\.[5-9] s$|^3\.\d s$/ }).waitFor();
    assert.equal(await row(page, job.id).locator(".c-duration time").count(), 0);
  }));

test("the chosen columns and the density are kept, and hold before the scripts of the page have run", () =>
  withPage(browser, { viewport: { width: 1440, height: 800 } }, async (page) => {
    await waiting("chosen", 1);
    await watchShifts(page);
    await page.goto(`${server.origin}/jobs?queue=chosen`);
    await live(page);
    const height = () => rows(page).first().evaluate((element) => element.getBoundingClientRect().height);
    const before = await height();
    await page.keyboard.press("v");
    for (const name of ["Payload", "Queue"]) await page.getByLabel(name, { exact: true }).and(page.locator("[name=column]")).uncheck();
    await page.getByLabel("Compact").check();
    assert.ok((await height()) < before - 5, "the rows are as high as before");
    const shown = async () => ({ payload: await isVisible(page, "td.c-payload"), heading: await isVisible(page, "th.c-payload"), queue: await isVisible(page, "td.c-queue"), duration: await isVisible(page, "th.c-duration") });
    const expected = { payload: false, heading: false, queue: false, duration: true };
    assert.deepEqual(await shown(), expected);
    await page.route(/\/(app|jobs)\.js$/, (route) => route.abort());
    await page.reload();
    assert.deepEqual(await shown(), expected);
    assert.ok((await height()) < before - 5);
    await page.unroute(/\/(app|jobs)\.js$/);
    await page.reload();
    await live(page);
    await page.locator("#view summary").click();
    assert.deepEqual(await page.locator("#view-columns input").evaluateAll((boxes) => boxes.filter((box) => !box.checked).map((box) => box.value)), ["queue", "payload"]);
    assert.equal(await page.getByLabel("Compact").isChecked(), true);
    await page.locator("h1").click();
    assert.equal(await page.locator("#view[open]").count(), 0, "a click elsewhere closes the menu");
  }));

test("what the browser keeps may be anything", () =>
  withPage(browser, {}, async (page) => {
    await waiting("anything", 1);
    for (const kept of ["", "null", "[]", "{", '{"hidden":5}', '"x"']) {
      await page.goto(`${server.origin}/jobs?queue=anything`);
      await page.evaluate((text) => localStorage.setItem("cortado-list", text), kept);
      await page.reload();
      await live(page);
      assert.equal(await isVisible(page, "th.c-duration"), true, kept);
    }
  }));

test("a click anywhere in a row opens the job, in a new tab if the reader wants one", () =>
  withPage(browser, { viewport: { width: 1440, height: 800 } }, async (page) => {
    const [id] = await waiting("clicked", 1);
    const list = `${server.origin}/jobs?queue=clicked`;
    await page.goto(list);
    await live(page);
    const cell = row(page, id).locator(".c-attempt");
    for (const click of [{ modifiers: ["ControlOrMeta"] }, { button: "middle" }]) {
      const [tab] = await Promise.all([page.context().waitForEvent("page"), cell.click(click)]);
      await tab.waitForURL(`${server.origin}/jobs/${id}`);
      await tab.close();
      assert.equal(page.url(), list);
    }
    await row(page, id).locator("input").click();
    assert.equal(await row(page, id).locator("input").isChecked(), true);
    await row(page, id).locator(".c-pick").click({ position: { x: 4, y: 4 } });
    // Text is selected by dragging, which is no click.
    const { x, y, width, height } = await row(page, id).locator(".c-payload").boundingBox();
    await page.mouse.move(x + 10, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width / 2, y + height / 2, { steps: 5 });
    await page.mouse.up();
    assert.match(await page.evaluate(() => getSelection().toString()), /"n"/);
    assert.equal(page.url(), list);
    await page.locator("h1").click();
    await cell.click();
    await page.waitForURL(`${server.origin}/jobs/${id}`);
    // Other lists do the same.
    await page.goto(`${server.origin}/queues/clicked`);
    await page.locator(`tr[data-job="${id}"] .c-when`).click();
    await page.waitForURL(`${server.origin}/jobs/${id}`);
  }));

test("a page that is sorted keeps its order when the server renders it again", () =>
  withPage(browser, {}, async (page) => {
    const all = await waiting("again", 4, ["b-again", "a-again"]);
    await page.goto(`${server.origin}/jobs?tag=again&sort=queue`);
    await live(page);
    const before = await ids(page);
    assert.deepEqual(before, [all[0], all[2], all[1], all[3]]);
    const [newest] = await waiting("again", 1, ["c-again"]);
    await page.locator("#news").click();
    await until(page, (id) => document.querySelector("#list tbody tr:last-child")?.dataset.job === id, newest);
    assert.deepEqual(await ids(page), [...before, newest]);
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`the list, its menu and its bulk actions are open to everybody: ${colorScheme}`, () =>
    withPage(browser, { colorScheme, reducedMotion: "reduce" }, async (page) => {
      await waiting(`axe-${colorScheme}`, 3);
      for (const width of [360, 1440]) {
        await page.setViewportSize({ width, height: 900 });
        await page.goto(`${server.origin}/jobs?tag=axe-${colorScheme}&sort=-attempt`);
        await live(page);
        await rows(page).first().locator("input").check();
        await assertSound(page);
        await page.locator("#view summary").click();
        await assertSound(page);
      }
    }));
}
