// What every page has: shortcuts, themes, the status in title and icon, and reloading after errors: node --test page-basics.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SplitPage } from "./split-page.mjs";
import { launch, live, until, watchShifts, withPage } from "./page.mjs";
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

test("keys lead everywhere, and ? lists them", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await page.keyboard.press("g");
    await page.keyboard.press("j");
    await page.waitForURL(`${server.origin}/jobs`);
    await page.keyboard.press("?");
    const list = page.locator("#keys[open]");
    await list.getByText("Discarded").waitFor();
    assert.equal(await list.locator("dt", { hasText: "g d" }).count(), 1);
    // While the list is open, shortcuts only close it.
    await page.keyboard.press("n");
    await page.keyboard.press("Escape");
    await until(page, () => !document.getElementById("keys").open);
    assert.equal(page.url(), `${server.origin}/jobs`);
    await page.keyboard.press("g");
    await page.keyboard.press("n");
    await page.waitForURL(`${server.origin}/jobs/new`);
  }));

test("keys are letters again inside a field", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/jobs/new`);
    await page.locator("#payload").fill("");
    await page.locator("#payload").pressSequentially("g h?n");
    assert.equal(await page.locator("#payload").inputValue(), "g h?n");
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("h");
    await page.waitForURL(`${server.origin}/`);
  }));

test("the theme goes from system over light to dark and is remembered by every page", () =>
  withPage(browser, { colorScheme: "light" }, async (page) => {
    await page.goto(server.origin);
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.keyboard.press("t");
    assert.equal(await page.locator("html").getAttribute("data-theme"), "light");
    await page.keyboard.press("t");
    await page.goto(`${server.origin}/system`);
    assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
    assert.notEqual(await background(), light);
    await page.keyboard.press("t");
    assert.equal(await page.locator("html").getAttribute("data-theme"), null);
    assert.equal(await background(), light);
  }));

test("discarded jobs and a lost server show in the title and the icon, and go when the server is back", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await live(page);
    const title = await page.title();
    await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1 });
    const shows = (text, icon) => until(page, ([text, icon]) => document.title === text && document.querySelector("link[rel=icon]").href.endsWith(icon), [text, icon]);
    await shows(`(1 discarded) ${title}`, "/favicon-discarded.svg");
    await server.stop();
    await shows(`(offline) ${title}`, "/favicon-offline.svg");
    await server.again();
    await shows(`(1 discarded) ${title}`, "/favicon-discarded.svg");
    await page.goto(`${server.origin}/jobs?state=discarded`);
    assert.match(await page.title(), /^Discarded jobs/);
    const icon = await page.locator("link[rel=icon]").getAttribute("href");
    const answer = await page.request.get(`${server.origin}/${icon.replace("favicon", "favicon-discarded")}`);
    assert.equal(answer.headers()["content-type"], "image/svg+xml");
  }));

test("the icon of a lost server is in the browser before the server is lost", () =>
  withPage(browser, {}, async (page) => {
    const loaded = page.waitForResponse(/favicon-offline\.svg$/);
    await page.goto(server.origin);
    await live(page);
    await (await loaded).finished();
    await server.stop();
    try {
      await until(page, () => document.title.startsWith("(offline)"));
      const icon = await page.evaluate(async () => (await fetch(document.querySelector("link[rel=icon]").href, { cache: "force-cache" })).text());
      assert.match(icon, /^<svg /);
    } finally {
      await server.again();
    }
  }));

test("Esc closes every dialog and every part that was opened, and returns the focus", () =>
  withPage(browser, {}, async (page) => {
    const job = await server.submit({ kind: "echo", payload: 1 });
    await server.until(job.id, "completed");
    const focusOn = (selector) => until(page, (selector) => document.activeElement === document.querySelector(selector), selector);
    const closed = (selector) => until(page, (selector) => !document.querySelector(selector).open, selector);

    await page.goto(`${server.origin}/jobs/${job.id}`);
    await live(page);
    for (const open of [() => page.keyboard.press("x"), () => page.locator("#ask-delete summary").click()]) {
      for (const leave of [() => {}, () => page.locator("h1").click(), () => page.locator("#delete").focus()]) {
        await open();
        await page.locator("#delete").waitFor();
        await leave();
        await page.keyboard.press("Escape");
        await closed("#ask-delete");
        await focusOn("#ask-delete summary");
      }
    }
    await page.locator("#show-keys").click();
    await page.locator("#keys[open]").getByText("Leave a field, or close an open panel").waitFor();
    await page.keyboard.press("Escape");
    await closed("#keys");
    await focusOn("#show-keys");

    for (const [path, details] of [["/jobs", ".search-help"], ["/jobs/new?kind=echo", ".options"], ["/system", "#settings"]]) {
      await page.goto(server.origin + path);
      await page.locator(`${details} summary`).click();
      await until(page, (selector) => document.querySelector(selector).open, details);
      await page.locator("h1").click();
      await page.keyboard.press("Escape");
      await closed(details);
      await focusOn(`${details} summary`);
    }
    await page.goto(`${server.origin}/jobs/new?kind=echo`);
    await page.locator(".options summary").click();
    await page.locator("#tags").focus();
    await page.keyboard.press("Escape");
    await until(page, () => document.activeElement === document.body);
    assert.equal(await page.locator(".options").evaluate((options) => options.open), true, "the first Esc leaves the field");
    await page.keyboard.press("Escape");
    await closed(".options");
  }));

for (const timezoneId of ["UTC", "Asia/Kolkata"]) {
  test(`a page that comes in two parts is painted once it is whole, so that nothing in it moves, read in ${timezoneId}`, () =>
    withPage(browser, { timezoneId }, async (page) => {
      const job = await server.submit({ kind: "echo", payload: 1 });
      await server.until(job.id, "completed");
      const path = `/jobs/${job.id}?whole=1`;
      // The browser has the beginning of the delete confirmation, but not the text of its button.
      const split = await SplitPage.start(server, path, 'id="ask-delete">');
      try {
        await watchShifts(page);
        await page.goto(split.origin + path, { waitUntil: "commit" });
        await page.locator("#ask-delete").waitFor({ state: "attached" });
        const paints = () => page.evaluate(() => new Promise((done) => {
          requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
          setTimeout(done, 500, false);
        }));
        assert.equal(await paints(), false, "half a page was painted");
        split.release();
        await live(page);
        assert.equal(await paints(), true);
        assert.deepEqual(await page.evaluate(() => globalThis.shifts), []);
        const words = await page.locator("#facts .absolute time").allTextContents();
        assert.ok(words.length >= 3);
        for (const moment of words) assert.match(moment, /^\d{4}-\d\d-\d\d \d{1,2}:\d\d:\d\d [AP]M$/);
      } finally {
        await split.stop();
      }
    }));
}

test("a job and its lifetime bar are one box, and a box that stands alone is closed", () =>
  withPage(browser, {}, async (page) => {
    const job = await server.submit({ kind: "echo", payload: 1 });
    await server.until(job.id, "completed");
    const edge = () => page.locator(".job-stand").evaluate((box) => getComputedStyle(box).borderBottomWidth);
    await page.goto(`${server.origin}/jobs/${job.id}`);
    assert.equal(await edge(), "0px");
    const [stand, life] = await Promise.all([".job-stand", "#life"].map((box) => page.locator(box).boundingBox()));
    assert.deepEqual([life.x, life.width, life.y], [stand.x, stand.width, stand.y + stand.height]);
    await page.goto(`${server.origin}/queues/default`);
    // The script may replace the box while the test looks at it.
    await until(page, () => getComputedStyle(document.querySelector(".job-stand")).borderBottomWidth === "1px");
  }));

for (const javaScriptEnabled of [true, false]) {
  test(`a page that could not be shown comes back by itself ${javaScriptEnabled ? "with" : "without"} JavaScript`, async () => {
    // The disk refuses seven writes, which takes seconds, and then accepts all writes again.
    const refusing = await Server.start({ env: { CORTADO_FAULT: "enospc:sync:3:7" } });
    try {
      await withPage(browser, { javaScriptEnabled }, async (page) => {
        while (await refusing.submit({ kind: "echo" }).then(() => true, () => false));
        const answer = await page.goto(`${refusing.origin}/jobs`);
        assert.equal(answer.status(), 503);
        await page.getByText("This page reloads when the server is ready.").waitFor();
        await page.getByRole("heading", { name: "Jobs", exact: true }).waitFor();
      });
    } finally {
      await refusing.remove();
    }
  });
}
