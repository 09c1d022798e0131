// The times on all pages: one time zone and one clock on each, chosen by the reader: node --test times.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
let pages;
/** A job that waits for the rate limit of its queue. */
let limited;

before(async () => {
  server = await Server.start();
  browser = await launch();
  const queue = "times";
  const failed = await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 2, backoff: { base_ms: 10, cap_ms: 10 } });
  const logged = await server.submit({ kind: "sleep", payload: { ms: 50, progress: true } });
  const later = await server.submit({ kind: "echo", payload: 1, delay_ms: 7 * 3_600_000, queue });
  await fetch(`${server.origin}/schedules`, { method: "POST", redirect: "manual", body: new URLSearchParams({ name: "nightly", cron: "30 2 * * *", zone: "Europe/Zurich", kind: "echo" }) });
  await server.submit({ kind: "echo", payload: 1, delay_ms: 3_600_000, queue: "limited" });
  await fetch(`${server.origin}/queues/limited/rate_limit`, { method: "POST", redirect: "manual", body: new URLSearchParams({ rate_limit: "1/1h" }) });
  const first = await server.submit({ kind: "echo", payload: 1, queue: "limited" });
  await server.until(first.id, "completed");
  limited = await server.submit({ kind: "echo", payload: 1, queue: "limited" });
  await server.until(failed.id, "discarded");
  await server.until(logged.id, "completed");
  const { groups } = await (await fetch(`${server.origin}/api/v1/failures`)).json();
  pages = ["/", "/jobs", `/jobs/${failed.id}`, `/jobs/${logged.id}`, `/jobs/${later.id}`, `/jobs/${limited.id}`, "/jobs/new?kind=echo&start=in&delay=5h", "/queues", `/queues/${queue}`, "/failures", `/failures/${groups[0].id}`, "/schedules", "/schedules/of/nightly", "/schedules/new?cron=0+8+*+*+*&zone=Asia/Tokyo&kind=echo", "/timeline", "/workers", "/system", "/?range=6h", `/queues/${queue}?range=6h`];
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Every text, tooltip and label of the page that contains a time of day, with the time that it should show. */
const clocks = (page) =>
  page.evaluate(() => {
    const clock = /(?<![-+.\w])\d{1,2}:\d\d(?!\d)/; // not an offset such as +02:00, an address or a cursor
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT);
    for (let element = walker.nextNode(); element; element = walker.nextNode()) {
      if (element.closest("script, textarea, template, pre, .search-help, #times, [data-own-zone]")) continue;
      const at = element.dateTime || element.dataset?.at || element.dataset?.tick;
      const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("");
      for (const text of [own, element.title, element.ariaLabel]) {
        if (typeof text === "string" && clock.test(text)) found.push({ text: text.trim(), at });
      }
    }
    return found;
  });

/** Returns the texts that a time may have: with and without date, milliseconds and zone. */
function allowed(iso, timeZone, is12Hour) {
  const at = new Date(iso);
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en-GB", { timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" }).formatToParts(at).map(({ type, value }) => [type, value]));
  const zone = new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "short" }).formatToParts(at).find(({ type }) => type === "timeZoneName").value;
  const date = `${parts.year}-${parts.month}-${parts.day}`;
  const hour = Number(parts.hour);
  const times = ["", `.${parts.fractionalSecond}`].map((millis) =>
    is12Hour ? `${hour % 12 || 12}:${parts.minute}:${parts.second}${millis} ${hour < 12 ? "AM" : "PM"}` : `${parts.hour}:${parts.minute}:${parts.second}${millis}`);
  // The time axis of a chart has no seconds.
  times.push(is12Hour ? `${hour % 12 || 12}:${parts.minute} ${hour < 12 ? "AM" : "PM"}` : `${parts.hour}:${parts.minute}`);
  return times.flatMap((time) => [time, `${date} ${time}`, `${date} ${time} ${zone}`]);
}

/** Whether each time in a text, such as "No data before 08:42:51.", is one of the last ten minutes. */
function isRecent(text, timeZone, is12Hour) {
  const newest = Math.floor(Date.now() / 1_000) + 1;
  const recent = new Set(Array.from({ length: 600 }, (_, age) => allowed((newest - age) * 1_000, timeZone, is12Hour)[0]));
  const times = text.replaceAll("\u202f", " ").match(/\d{1,2}:\d\d:\d\d( [AP]M)?/g) ?? [];
  return times.length > 0 && times.every((time) => recent.has(time));
}

async function assertAgree(page, timeZone, is12Hour) {
  // The server labels its charts in UTC, and the page draws them again.
  await page.waitForFunction(() => ![...document.querySelectorAll("[aria-label]")].some((element) => /\d UTC/.test(element.ariaLabel)));
  const found = await clocks(page);
  for (const { text, at } of found) {
    // The state of the connection and the label of a chart are sentences.
    if (!at && /data (as of|before|since|from) /.test(text)) {
      assert.ok(isRecent(text, timeZone, is12Hour), `${page.url()}: ${JSON.stringify(text)} is not a time of ${timeZone}`);
      continue;
    }
    assert.ok(at, `${page.url()} has a time without its instant: ${text}`);
    // The marks of charts have words before the time.
    const words = text.replace(/^\D.* (?=\d{4}-\d\d-\d\d )/, "").replaceAll("\u202f", " ");
    assert.ok(allowed(at, timeZone, is12Hour).includes(words), `${page.url()}: ${JSON.stringify(text)} is ${at}, not in ${timeZone}`);
  }
  return found.length;
}

const READERS = [
  { timezoneId: "America/New_York", locale: "en-US", is12Hour: true },
  { timezoneId: "Asia/Kolkata", locale: "de-DE", is12Hour: false },
  { timezoneId: "UTC", locale: "en-GB", is12Hour: false },
];

for (const { is12Hour, ...reader } of READERS) {
  test(`all times of all pages are in one zone and on one clock: ${reader.timezoneId}, ${reader.locale}`, () =>
    withPage(browser, reader, async (page) => {
      let shown = 0;
      for (const path of pages) {
        await page.goto(server.origin + path);
        if (await page.locator("body[data-cursor]").count()) await live(page);
        shown += await assertAgree(page, reader.timezoneId, is12Hour);
        await page.keyboard.press("z");
        await page.locator("#times-name").getByText("Times: UTC", { exact: true }).waitFor();
        await assertAgree(page, "UTC", is12Hour);
        await page.keyboard.press("z");
        await page.locator("#times-name").getByText("Times: local").waitFor();
        await assertAgree(page, reader.timezoneId, is12Hour);
      }
      assert.ok(shown > 50, `${shown} times`);
    }));
}

test("the choice of UTC is remembered by every page and followed by other tabs", () =>
  withPage(browser, { timezoneId: "Asia/Kolkata", locale: "de-DE" }, async (page) => {
    await page.goto(`${server.origin}${pages[2]}`);
    const other = await page.context().newPage();
    await other.goto(`${server.origin}${pages[2]}`);
    await other.locator("#times-name").getByText("Times: local (GMT+5:30)").waitFor();
    await page.locator("#times").focus();
    await page.keyboard.press("Enter");
    await assertAgree(page, "UTC", false);
    await other.locator("#times-name").getByText("Times: UTC", { exact: true }).waitFor();
    await assertAgree(other, "UTC", false);
    for (const path of pages) {
      await page.goto(server.origin + path);
      await page.locator("#times-name").getByText("Times: UTC", { exact: true }).waitFor();
      await assertAgree(page, "UTC", false);
    }
  }));

test("the next start of a rate-limited job is a time in the chosen zone", () =>
  withPage(browser, { timezoneId: "Asia/Kolkata", locale: "de-DE" }, async (page) => {
    await page.goto(`${server.origin}/jobs/${limited.id}`);
    await page.locator("#standing time").getByText(/^in \d+ min/).waitFor();
    assert.match(await page.locator("#standing").textContent(), /^Queue limited is limited to .*\. It is next\. Next start in \d+ min/);
    assert.match(await page.locator("#standing time").getAttribute("title"), / GMT\+5:30$/);
  }));

test("rows and log lines that arrive while the page is open are in the chosen zone", () =>
  withPage(browser, { timezoneId: "Asia/Kolkata", locale: "en-US" }, async (page) => {
    const job = await server.submit({ kind: "sleep", payload: { ms: 3_000, progress: true } });
    await page.goto(`${server.origin}/jobs/${job.id}`);
    await live(page);
    await page.keyboard.press("z");
    await page.locator("#log li").nth(5).waitFor();
    await page.locator("#head .badge.s-completed").waitFor();
    await page.locator("#timeline").getByText("succeeded").waitFor();
    assert.ok((await assertAgree(page, "UTC", true)) > 10);
    await page.goto(server.origin);
    await live(page);
    const newer = await server.submit({ kind: "echo", payload: 1 });
    await page.locator(`tr[data-job="${newer.id}"] .s-completed`).waitFor();
    await assertAgree(page, "UTC", true);
  }));

test("the preview of a form is in the chosen zone, which the form names", () =>
  withPage(browser, { timezoneId: "America/New_York", locale: "en-US" }, async (page) => {
    await page.goto(`${server.origin}/schedules/new?kind=echo`);
    await page.locator("#cron").fill("0 12 * * *");
    await page.locator("#means time").first().waitFor();
    await assertAgree(page, "America/New_York", true);
    await page.goto(`${server.origin}/jobs/new?kind=echo`);
    await page.locator(".options summary").click();
    await page.locator("[name=when][value=at]").check();
    await page.locator("#at").fill("2031-07-01T08:30");
    await page.locator("#starts time").first().waitFor();
    assert.match(await page.locator("#starts").textContent(), /^Not before 2031-07-01 8:30:00 AM EDT, in \d+ d\.$/);
    await assertAgree(page, "America/New_York", true);
  }));

test("no text changes after the first paint", () =>
  withPage(browser, { timezoneId: "Asia/Kolkata", locale: "en-US" }, async (page) => {
    await page.addInitScript(() => {
      new PerformanceObserver((list, observer) => {
        globalThis.firstPaint = document.querySelector("#facts .absolute time")?.textContent;
        if (list.getEntries().length) observer.disconnect();
      }).observe({ type: "paint", buffered: true });
    });
    await page.goto(`${server.origin}${pages[2]}`);
    await until(page, () => globalThis.firstPaint);
    assert.match(await page.evaluate(() => globalThis.firstPaint), / [AP]M$/);
  }));

test("without JavaScript every time is in UTC, which each page states once", () =>
  withPage(browser, { javaScriptEnabled: false, timezoneId: "America/New_York", locale: "en-US" }, async (page) => {
    for (const path of pages) {
      await page.goto(server.origin + path);
      const words = await page.evaluate(() => document.body.innerText);
      assert.equal(words.split("Times are in UTC.").length, 2, path);
      const shown = await page.locator("time[data-show]").evaluateAll((times) => times.map((time) => [time.dateTime, time.textContent]));
      for (const [at, text] of shown) assert.ok(allowed(at, "UTC", false).includes(text), `${path}: ${text} is ${at}`);
      assert.equal(await page.locator("#times:visible").count(), 0);
    }
  }));
