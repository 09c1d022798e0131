// Pages of an earlier moment in a real browser: node --test rewind.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeViolations, launch, live, until, watchShifts, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [360, 768, 1024, 1440, 2560];

let browser;
let server;
let job;
let cursor;

before(async () => {
  server = await Server.start();
  browser = await launch();
  for (const queue of ["mail", "reports"]) {
    job = await server.submit({ kind: "echo", payload: { order: 4711 }, queue });
    await server.until(job.id, "completed");
  }
  const failed = await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1, queue: "mail" });
  await server.until(failed.id, "discarded");
  ({ cursor } = await server.stats());
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const pages = () => ["/", "/jobs", "/queues", "/queues/mail", `/jobs/${job.id}`];
const epoch = () => cursor.split(":")[0];
const seqOf = (cursor) => Number(cursor.split(":")[1]);
const at = (path, seq = seqOf(cursor)) => `${server.origin}${path}?at=${epoch()}:${seq}`;
/** Opens a page and waits until its script runs. */
async function open(page, address) {
  await page.goto(address);
  await started(page);
}
const started = (page) => page.locator("#rewind-play:not([hidden])").waitFor();
/** Waits until the bar shows an event, by its number. */
const shows = (page, seq) => page.locator(`#rewind[data-seq="${seq}"]`).waitFor();
const moment = (page) => page.evaluate(() => Number(document.body.dataset.now));
/** Where the parts of the bar are, which must not move. */
const places = (page) => page.locator("#rewind :is(.rewind-leave, .rewind-steps, .rewind-slider, .rewind-time, .rewind-reach)").evaluateAll((all) => all.map((one) => Math.round(one.getBoundingClientRect().top + scrollY)));

/** The addresses that the page asks the server for, with their times. */
function watchRequests(page) {
  const seen = [];
  page.on("request", (request) => request.resourceType() === "fetch" && seen.push({ url: request.url(), sent: performance.now() }));
  return seen;
}

for (const javaScriptEnabled of [true, false]) {
  const way = javaScriptEnabled ? "with" : "without";
  test(`every past page is whole at every width ${way} JavaScript`, async () => {
    for (const width of WIDTHS) {
      for (const colorScheme of [360, 1440].includes(width) ? ["light", "dark"] : ["light"]) {
        await withPage(browser, { javaScriptEnabled, colorScheme, viewport: { width, height: 900 } }, async (page) => {
          for (const path of [...pages(), "/queues/none"]) {
            await page.goto(at(path));
            await page.locator("#rewind strong").getByText("As of").waitFor();
            if (!javaScriptEnabled) continue;
            const what = `${path} at ${width} px, ${colorScheme}`;
            assert.deepEqual(await axeViolations(page, what), []);
            const { scroll, inner } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: innerWidth }));
            assert.ok(scroll <= inner, `${what} is ${scroll} px wide`);
            assert.equal(await page.locator("#connection").isVisible(), false);
          }
        });
      }
    }
  });

  test(`links lead through the pages of one moment and back to now ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/jobs?queue=mail`);
      await page.locator("#rewind-from-now").click();
      await page.waitForURL(`**/jobs?queue=mail&at=${cursor}`);
      await page.locator(".job-link").first().click();
      await page.waitForURL(`**/jobs/*?at=${cursor}`);
      await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Queues" }).click();
      await page.waitForURL(`**/queues?at=${cursor}`);
      await page.getByRole("link", { name: "reports" }).click();
      await page.waitForURL(`**/queues/reports?at=${cursor}`);
      await page.locator("#rewind-now").click();
      await page.waitForURL(`${server.origin}/queues/reports`);
      if (javaScriptEnabled) await live(page);
    }));

  test(`a search keeps the moment, and the form of the bar keeps the search ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled, timezoneId: "UTC" }, async (page) => {
      await page.goto(at("/jobs"));
      await page.getByLabel("Queue").fill("mail");
      await page.getByRole("button", { name: "Search" }).click();
      await page.waitForURL((url) => url.searchParams.get("queue") === "mail" && url.searchParams.get("at") === cursor);
      assert.equal(await page.locator("tr[data-job]").count(), 2);
      const time = await page.locator("#rewind-at").inputValue();
      await page.locator("#rewind-at").fill(time.length === 16 ? `${time}:00` : time);
      await page.locator("#rewind-form").getByRole("button").click();
      await page.waitForURL((url) => url.searchParams.get("queue") === "mail" && /^\d{4}-.*Z$/.test(url.searchParams.get("at")));
      assert.equal(await page.locator("#rewind").count(), 1);
    }));

  test(`single events are reached by links ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(at("/jobs"));
      await page.getByRole("link", { name: "Previous event" }).click();
      await shows(page, seqOf(cursor) - 1);
      await page.waitForURL(`**/jobs?at=${epoch()}:${seqOf(cursor) - 1}`);
      await page.getByRole("link", { name: "Next event" }).click();
      await shows(page, seqOf(cursor));
      await page.getByRole("link", { name: "Next event", disabled: true }).waitFor();
      await page.goto(at("/jobs", 1));
      await page.getByRole("link", { name: "Previous event", disabled: true }).waitFor();
    }));

  test(`a moment that cannot be read is answered with a form ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/queues?at=yesterday`);
      await page.getByRole("heading", { name: "This moment cannot be shown" }).waitFor();
      if (javaScriptEnabled) assert.deepEqual(await axeViolations(page), []);
      await page.getByRole("textbox", { name: "Moment" }).fill(cursor);
      await page.getByRole("button", { name: "Show" }).click();
      await shows(page, seqOf(cursor));
    }));
}

test("what was deleted since is marked, shows nothing that it carried, and has the state of its moment", () =>
  withPage(browser, {}, async (page) => {
    const { id } = await server.submit({ kind: "echo", payload: { note: "confidential" }, queue: "mail" });
    await server.until(id, "completed");
    const completed = seqOf((await server.stats()).cursor);
    await page.goto(at(`/jobs/${id}`, completed));
    await page.locator(".job-title").getByText("completed").waitFor();
    await page.getByText("confidential").first().waitFor();
    await fetch(`${server.origin}/api/v1/jobs/${id}`, { method: "DELETE" });
    await page.goto(at("/jobs", completed));
    const row = page.locator(`tr[data-job="${id}"]`);
    await row.getByText("deleted since").waitFor();
    await row.getByText("completed").waitFor();
    assert.deepEqual(await axeViolations(page), []);
    await page.goto(at(`/jobs/${id}`, completed));
    await page.locator("#gone").waitFor();
    assert.equal((await page.content()).includes("confidential"), false);
    assert.deepEqual(await axeViolations(page), []);
    await page.goto(at(`/jobs/${id}`, seqOf(cursor)));
    await page.getByRole("heading", { name: "This job did not exist then" }).waitFor();
  }));

test("counters, states and durations are those of the moment", () =>
  withPage(browser, {}, async (page) => {
    await open(page, at("/", 1));
    await page.locator(".card", { hasText: "available" }).locator(".card-count").getByText("1").waitFor();
    await page.locator(".card", { hasText: "completed" }).locator(".card-count").getByText("0").waitFor();
    assert.equal(await page.locator("tr[data-job]").count(), 1);
    await page.keyboard.press(".");
    await shows(page, 2);
    await page.locator(".card", { hasText: "running" }).locator(".card-count").getByText("1").waitFor();
    await page.locator('tr[data-job][data-state="running"]').waitFor();
  }));

test("the keys step from event to event, and quick presses add up to one request after another", () =>
  withPage(browser, {}, async (page) => {
    const newest = seqOf((await server.stats()).cursor);
    await page.goto(`${server.origin}/jobs`);
    await live(page);
    await page.keyboard.press(",");
    await shows(page, newest);
    await started(page);
    const requests = watchRequests(page);
    for (let n = 0; n < 5; n += 1) await page.keyboard.press(",");
    await shows(page, newest - 5);
    assert.ok(requests.length <= 3, requests.map(({ url }) => url).join("\n"));
    await page.keyboard.press(".");
    await shows(page, newest - 4);
    await page.waitForURL(`**/jobs?at=${epoch()}:${newest - 4}`);
    assert.equal(await page.locator("#said").textContent(), await page.locator("#rewind-moment").textContent());
    // The list of shortcuts names them.
    await page.keyboard.press("?");
    await page.locator("#keys-here").getByText("Previous event").waitFor();
  }));

test("stepping moves neither the bar nor the focus", () =>
  withPage(browser, {}, async (page) => {
    await watchShifts(page);
    for (const width of [360, 1440]) {
      await page.setViewportSize({ width, height: 900 });
      await open(page, at("/jobs"));
      await page.locator("#rewind-slider").waitFor();
      const before = await places(page);
      await page.locator(".job-link").last().focus();
      const focused = await page.evaluate(() => document.activeElement.pathname);
      for (let seq = seqOf(cursor) - 1; seq > seqOf(cursor) - 5; seq -= 1) {
        await page.keyboard.press(",");
        await shows(page, seq);
        assert.deepEqual(await places(page), before, `the bar at event ${seq} in ${width} px`);
        assert.equal(await page.evaluate(() => document.activeElement.pathname), focused);
      }
      const shifts = await page.evaluate(() => globalThis.shifts.filter((shift) => shift.includes("rewind")));
      assert.deepEqual(shifts, []);
    }
  }));

test("the slider goes through the log with the pointer and with the keyboard", () =>
  withPage(browser, {}, async (page) => {
    await open(page, at("/"));
    const slider = page.locator("#rewind-slider");
    const { x, y, width, height } = await slider.boundingBox();
    const requests = watchRequests(page);
    await page.mouse.move(x + width - 8, y + height / 2);
    await page.mouse.down();
    for (let part = 9; part >= 0; part -= 1) await page.mouse.move(x + 2 + ((width - 10) * part) / 10, y + height / 2);
    await page.mouse.up();
    await until(page, () => {
      const [now, oldest, newest] = [document.body.dataset.now, ...["oldest", "newest"].map((name) => document.getElementById("rewind").dataset[name])].map(Number);
      return now - oldest < (newest - oldest) / 20;
    });
    assert.ok(requests.length <= 4, `${requests.length} requests`);
    const text = await slider.getAttribute("aria-valuetext");
    assert.match(text, /^\d{4}-\d\d-\d\d .* UTC$/);
    await slider.focus();
    await page.keyboard.press("End");
    await until(page, (before) => Number(document.body.dataset.now) > before, await moment(page));
    assert.equal(await page.evaluate(() => document.activeElement.id), "rewind-slider");
  }));

test("playback goes on with at most two requests a second, one at a time, and ends at the newest event", () =>
  withPage(browser, {}, async (page) => {
    await open(page, at("/jobs", 1));
    const requests = watchRequests(page);
    let running = 0;
    let most = 0;
    const count = (change) => (request) => request.resourceType() === "fetch" && ((running += change), (most = Math.max(most, running)));
    page.on("request", count(1));
    page.on("requestfinished", count(-1));
    await page.locator("#speed").selectOption("1");
    await page.getByRole("button", { name: "Play" }).click();
    const began = await moment(page);
    await until(page, (began) => Number(document.body.dataset.now) > began, began);
    await page.locator("#speed").selectOption("60");
    await page.locator("#play").getByText("Play").waitFor();
    await until(page, () => Number(document.body.dataset.now) >= Number(document.getElementById("rewind").dataset.newest));
    const gaps = requests.slice(1).map(({ sent }, n) => sent - requests[n].sent);
    // The clock of the test sees the requests a little later than the page sends them.
    assert.ok(gaps.every((gap) => gap > 350), gaps.join(", "));
    assert.equal(most, 1);
  }));

test("playback pauses when the reader interacts and when the tab is hidden", () =>
  withPage(browser, {}, async (page) => {
    const later = await server.submit({ kind: "sleep", payload: { ms: 3000 }, queue: "mail" });
    await server.until(later.id, "completed");
    await open(page, at("/jobs", 1));
    const playing = async () => {
      await page.keyboard.press("p");
      await page.locator("#play").getByText("Pause").waitFor();
    };
    await playing();
    await page.locator("h1").click();
    await page.locator("#play").getByText("Play").waitFor();
    await playing();
    await page.keyboard.press(".");
    await page.locator("#play").getByText("Play").waitFor();
    await playing();
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { value: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.locator("#play").getByText("Play").waitFor();
  }));

test("the link that is copied shows exactly this event", () =>
  withPage(browser, { permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
    await open(page, at("/jobs"));
    await page.keyboard.press(",");
    await shows(page, seqOf(cursor) - 1);
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.locator("#rewind-copy").getByText("Copied").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), at("/jobs", seqOf(cursor) - 1));
  }));

test("times of a past page stand still, in the time zone of the reader", () =>
  withPage(browser, { timezoneId: "Asia/Kolkata", locale: "en-GB" }, async (page) => {
    await open(page, at("/jobs"));
    await page.locator("#rewind-moment").getByText("GMT+5:30").waitFor();
    await page.locator("#rewind-zone").getByText("GMT+5:30").waitFor();
    const field = await page.locator("#rewind-at").inputValue();
    const local = await page.evaluate(() => new Date(Number(document.body.dataset.now) + 5.5 * 3_600_000).toISOString().slice(0, 19));
    assert.equal(field, local);
    const shown = await page.locator("time[data-rel]").allTextContents();
    const now = await page.evaluate(() => Date.now());
    await until(page, (now) => Date.now() > now + 2100, now);
    assert.deepEqual(await page.locator("time[data-rel]").allTextContents(), shown);
    // The form takes the time in this zone.
    await page.locator("#rewind-form").getByRole("button").click();
    await page.waitForURL((url) => url.searchParams.get("at").endsWith("Z"));
    assert.equal(Math.floor((await moment(page)) / 1000), Date.parse(`${local}Z`) / 1000 - 5.5 * 3600);
    await page.locator("#times").click();
    await page.locator("#rewind-zone").getByText("UTC").waitFor();
  }));

test("while the server is away, the page says so, and afterwards it goes on", () =>
  withPage(browser, {}, async (page) => {
    await open(page, at("/jobs"));
    await server.stop();
    await page.keyboard.press(",");
    await page.locator("#rewind-problem").getByText("The server cannot be reached.").waitFor();
    await shows(page, seqOf(cursor));
    await server.again();
    await page.keyboard.press(",");
    await shows(page, seqOf(cursor) - 1);
    assert.equal(await page.locator("#rewind-problem").textContent(), "");
  }));

test("a past page opens no event stream and offers no action", () =>
  withPage(browser, {}, async (page) => {
    const sockets = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));
    const requests = watchRequests(page);
    for (const path of pages()) {
      await open(page, at(path));
      await page.locator("#rewind-slider").waitFor();
      assert.equal(await page.locator("form[method=post], [data-copy], #notify, #follow").count(), 0, path);
    }
    assert.deepEqual([sockets, requests], [[], []]);
  }));
