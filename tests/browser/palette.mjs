// The command palette, saved filters, the button that takes an action back, notifications, the wallboard, and pages on
// paper: node --test palette.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
let job;

before(async () => {
  server = await Server.start();
  browser = await launch();
  for (const queue of ["mail", "airmail"]) job = await server.submit({ kind: "echo", payload: "beans", queue });
  await server.until(job.id, "completed");
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const list = (page) => page.locator("#palette-list li");
const openPalette = async (page) => {
  await page.keyboard.press("Control+k");
  await page.locator("dialog.palette[open]").waitFor();
};
/** Types into the palette and waits until a row has this text. */
const find = async (page, text, row) => {
  await page.locator("dialog.palette input").fill(text);
  await list(page).filter({ hasText: row }).first().waitFor();
};

test("the palette finds queues, kinds, pages and jobs, with the keyboard alone", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await openPalette(page);
    await find(page, "airm", "Queue airmail");
    await page.keyboard.press("Enter");
    await page.waitForURL(`${server.origin}/queues/airmail`);
    await openPalette(page);
    await find(page, job.id, `Job echo ${job.id}`);
    await page.keyboard.press("Enter");
    await page.waitForURL(`${server.origin}/jobs/${job.id}`);
    await openPalette(page);
    await find(page, "sched", "Page Schedules");
    // The arrows go around the list; the row that is chosen is told to screen readers.
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowDown");
    const chosen = await page.locator("dialog.palette input").getAttribute("aria-activedescendant");
    assert.equal(await page.locator(`#${chosen}`).getAttribute("aria-selected"), "true");
    await page.keyboard.press("Escape");
    await page.locator("dialog.palette[open]").waitFor({ state: "detached" });
  }));

test("the palette presses the buttons of the page, and what they did can be taken back", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/queues/mail`);
    await openPalette(page);
    await find(page, "pause this", "Pause this queue");
    await page.keyboard.press("Enter");
    await page.locator("#flash").getByText("Queue mail was paused.").waitFor();
    await page.locator("#undo").click();
    await page.locator("#flash").getByText("Queue mail was resumed.").waitFor();
    assert.equal(new URL(page.url()).pathname, "/queues/mail");
  }));

test("an action is taken back without JavaScript", () =>
  withPage(browser, { javaScriptEnabled: false }, async (page) => {
    await page.goto(`${server.origin}/queues?q=airmail`);
    await page.getByRole("button", { name: "Pause queue airmail" }).click();
    await page.locator("#undo").click();
    await page.locator("#flash").getByText("Queue airmail was resumed.").waitFor();
    assert.equal(page.url(), `${server.origin}/queues?q=airmail`);
  }));

test("things are found without JavaScript", () =>
  withPage(browser, { javaScriptEnabled: false, viewport: { width: 360, height: 740 } }, async (page) => {
    await page.goto(server.origin);
    await page.locator("#open-find").click();
    await page.locator("main input[name=q]").fill("airm");
    await page.locator("main input[name=q]").press("Enter");
    await page.locator("#found a").first().click();
    await page.waitForURL(`${server.origin}/queues/airmail`);
  }));

test("a filter is saved under a name, found again, and forgotten", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/jobs?queue=mail&state=completed`);
    await openPalette(page);
    await find(page, "done mails", "Save this filter as “done mails”");
    await page.keyboard.press("Enter");
    await page.locator(".toast").getByText("The filter was saved as done mails.").waitFor();
    await page.goto(`${server.origin}/queues`);
    await openPalette(page);
    await find(page, "done", "Filter done mails");
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.searchParams.get("queue") === "mail" && url.searchParams.get("state") === "completed");
    await openPalette(page);
    await find(page, "forget", "Forget the filter done mails");
    await page.keyboard.press("Enter");
    const saved = () => page.evaluate(() => JSON.parse(localStorage.getItem("cortado-filters")).length);
    await page.locator(".toast").getByText("The filter done mails was forgotten.").waitFor();
    assert.equal(await saved(), 0);
    await page.locator(".toast button").click();
    assert.equal(await saved(), 1);
  }));

test("a page on paper has its content and no controls", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/jobs/${job.id}`);
    await page.emulateMedia({ media: "print" });
    assert.ok(await page.locator("h1").isVisible());
    for (const control of ["nav[aria-label=Main]", "#theme", "#again", "#connection"]) assert.equal(await page.locator(control).isVisible(), false, control);
  }));

test("the browser tells the reader when a job ends, if that is wanted", () =>
  withPage(browser, { permissions: ["notifications"] }, async (page) => {
    // The notifications of a browser without a desktop cannot be seen, so the page gets another class for them.
    await page.addInitScript(() => {
      window.shown = [];
      window.Notification = class extends EventTarget {
        static permission = "granted";
        static requestPermission = async () => "granted";
        constructor(title, options) {
          super();
          window.shown.push([title, options.tag]);
        }
      };
    });
    const slow = await server.submit({ kind: "sleep", payload: { ms: 600_000 } });
    await server.until(slow.id, "running");
    await page.goto(`${server.origin}/jobs/${slow.id}`);
    await live(page);
    await page.locator("#notify").click();
    await page.locator("#notify[aria-pressed=true]").getByText("You will be notified when it ends").waitFor();
    // The choice survives a reload.
    await page.reload();
    await live(page);
    await page.locator("#notify[aria-pressed=true]").waitFor();
    await server.post(`/api/v1/jobs/${slow.id}/cancel`);
    await until(page, () => window.shown.length === 1);
    assert.deepEqual(await page.evaluate(() => window.shown), [["sleep cancelled", slow.id]]);
    // A job that has ended has no such button.
    await page.goto(`${server.origin}/jobs/${job.id}`);
    assert.equal(await page.locator("#notify").count(), 0);
  }));

for (const width of [360, 768, 1024, 1440, 2560]) {
  test(`the wallboard shows what happens, at ${width} px`, () =>
    withPage(browser, { viewport: { width, height: 900 } }, async (page) => {
      await page.goto(`${server.origin}/wallboard`);
      await live(page);
      const completed = page.locator("[data-count=completed]");
      const before = Number((await completed.textContent()).replace(/\D/g, ""));
      await server.submit({ kind: "echo", payload: 1, queue: "wall" });
      await until(page, (n) => Number(document.querySelector("[data-count=completed]").textContent.replace(/\D/g, "")) > n, before);
      for (const control of ["nav[aria-label=Main]", "#hold-updates", ".foot"]) assert.equal(await page.locator(control).isVisible(), false, control);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, "the page is as wide as the screen");
    }));
}

test("the wallboard is loaded again without JavaScript", () =>
  withPage(browser, { javaScriptEnabled: false }, async (page) => {
    await page.goto(`${server.origin}/wallboard`);
    assert.ok(await page.locator("figure.chart").first().isVisible());
    assert.match(await page.content(), /http-equiv="refresh"/);
  }));
