// The timeline and its lanes in a real browser: node --test lanes.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BlockingProxy } from "./blocking-proxy.mjs";
import { axeViolations, launch, live, networkIsBack, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [360, 768, 1024, 1440, 2560];

let browser;
let server;

before(async () => {
  server = await Server.start({ config: "[queues.mail]\nconcurrency = 4\n" });
  browser = await launch();
  for (const queue of ["mail", "reports"]) {
    const { id } = await server.submit({ kind: "echo", payload: 1, queue });
    await server.until(id, "completed");
  }
  const failed = await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1, queue: "mail" });
  await server.until(failed.id, "discarded");
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const bars = (page, job) => page.locator(`.drawing a[data-job="${job}"]`);
const lanes = (page) => page.locator("[data-lane]").evaluateAll((found) => found.map(({ dataset }) => dataset.lane));
/** How far from the right edge of its lane the left edge of a bar is, in pixels. */
const distance = (bar) => bar.evaluate((element) => element.closest(".lane-plot").getBoundingClientRect().right - element.querySelector("rect").getBoundingClientRect().left);
/** The animations that move the first drawing: whether they run, and their time. A change of its opacity is none of them. */
const motion = (page) => page.evaluate(() => document.querySelector(".drawing").getAnimations().filter((it) => !(it instanceof CSSTransition)).map(({ playState, currentTime }) => ({ playState, currentTime })));
const sleeping = (ms, queue = "mail") => server.submit({ kind: "sleep", payload: { ms }, queue });
/** Checks that axe finds nothing on the page, and that it is not wider than the window. */
async function assertSound(page, what) {
  assert.deepEqual(await axeViolations(page, what), []);
  const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
  assert.ok(scroll <= width, `${what} is ${scroll} px wide in a window of ${width} px`);
}

for (const javaScriptEnabled of [true, false]) {
  const way = javaScriptEnabled ? "with" : "without";
  test(`the timeline is whole at every width ${way} JavaScript`, async () => {
    for (const width of WIDTHS) {
      for (const colorScheme of width === 1440 ? ["light", "dark"] : ["light"]) {
        await withPage(browser, { javaScriptEnabled, colorScheme, viewport: { width, height: 900 } }, async (page) => {
          await page.goto(`${server.origin}/timeline`);
          if (javaScriptEnabled) await live(page);
          assert.deepEqual(await lanes(page), ["mail", "reports"]);
          const plot = await page.locator(".lane-plot").nth(1).boundingBox();
          assert.ok(plot.width > width / 2, `the lanes are ${plot.width} px wide in ${width} px`);
          if (javaScriptEnabled) await assertSound(page, `/timeline at ${width} px, ${colorScheme}`);
        });
      }
    }
  });

  test(`lanes are switched by links and the list leads to the jobs ${way} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/timeline`);
      await page.getByRole("navigation", { name: "Lanes" }).getByRole("link", { name: "Kind" }).click();
      await page.waitForURL("**/timeline?by=kind&span=1m");
      assert.deepEqual(await lanes(page), ["echo", "fail"]);
      await page.getByRole("link", { name: "Last 10 minutes" }).click();
      await page.waitForURL("**/timeline?by=kind&span=10m");
      await page.getByRole("navigation", { name: "Lanes" }).getByRole("link", { name: "Worker", exact: true }).click();
      assert.equal((await lanes(page)).length, 1);
      const rows = page.locator("#attempts tbody tr");
      const discarded = rows.filter({ hasText: "discarded" }).first();
      await discarded.locator(".job-link").focus();
      await page.keyboard.press("Enter");
      await page.waitForURL("**/jobs/*");
      await page.locator(".job-title").getByText("discarded").waitFor();
    }));
}

test("a running attempt appears at once, moves with time, ends in the colour of its outcome, and a click opens the job", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/timeline`);
    await live(page);
    const { id } = await sleeping(2500);
    const bar = bars(page, id);
    await bar.and(page.locator(".o-running")).waitFor();
    await page.locator('[data-lane="mail"] .note').getByText("1 running").waitFor();
    const before = await distance(bar);
    await bar.and(page.locator(".o-completed")).waitFor();
    const ended = await bar.evaluate((element) => element.querySelector("rect").getBoundingClientRect().width);
    const moved = (await distance(bar)) - before;
    assert.ok(moved > 10, `the bar moved ${moved} px`);
    const plot = await page.locator(".lane-plot").nth(1).boundingBox();
    const expected = (plot.width * 2500) / 60_000;
    assert.ok(Math.abs(ended - expected) < expected / 2, `the bar is ${ended} px long, and 2.5 s are ${expected} px`);
    assert.match(await bar.locator("title").textContent(), /^sleep [0-9a-f]{8}, attempt 1: completed after \d+(\.\d)? s\nqueue mail, worker /);
    await page.locator(`#attempts a[href="jobs/${id}"]`).waitFor();
    await bar.locator("rect").click({ force: true });
    await page.waitForURL(`**/jobs/${id}`);
  }));

test("a queue that is new gets a lane, and a deleted job loses its bar", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/timeline`);
    await live(page);
    const { id } = await server.submit({ kind: "echo", payload: 1, queue: "added" });
    await page.locator('[data-lane="added"]').waitFor();
    await bars(page, id).waitFor();
    await fetch(`${server.origin}/api/v1/jobs/${id}`, { method: "DELETE" });
    await bars(page, id).waitFor({ state: "detached" });
  }));

test("paused updates hold the picture, and it goes on where time is afterwards", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/timeline`);
    await live(page);
    const first = await sleeping(200);
    await bars(page, first.id).and(page.locator(".o-completed")).waitFor();
    await page.locator("#hold-updates").click();
    const held = await distance(bars(page, first.id));
    const second = await sleeping(200);
    await server.until(second.id, "completed");
    await page.locator("#connection-text").getByText("new").waitFor();
    assert.ok(Math.abs((await distance(bars(page, first.id))) - held) < 1, "the picture is held");
    assert.equal(await bars(page, second.id).count(), 0);
    await page.locator("#hold-updates").click();
    await bars(page, second.id).and(page.locator(".o-completed")).waitFor();
    assert.ok((await distance(bars(page, first.id))) > held);
  }));

test("where motion is unwelcome, the picture moves in steps", () =>
  withPage(browser, { reducedMotion: "reduce" }, async (page) => {
    await page.goto(`${server.origin}/timeline`);
    await live(page);
    const [{ playState, currentTime }, ...others] = await motion(page);
    assert.deepEqual([playState, others], ["paused", []]);
    await until(page, (before) => document.querySelector(".drawing").getAnimations()[0].currentTime > before + 1000, currentTime);
  }));

test("after a restart, the page has the attempts from before it and those that came meanwhile", () =>
  withPage(browser, {}, async (page) => {
    const first = await sleeping(50);
    await server.until(first.id, "completed");
    await page.goto(`${server.origin}/timeline`);
    await live(page);
    await bars(page, first.id).waitFor();
    await server.stop();
    await page.locator("#connection[data-state=reconnecting]").waitFor();
    assert.deepEqual((await motion(page)).map(({ playState }) => playState), ["paused"]);
    await server.again();
    const second = await sleeping(50);
    await networkIsBack(page);
    await live(page);
    await bars(page, second.id).and(page.locator(".o-completed")).waitFor();
    await page.reload();
    await bars(page, first.id).waitFor();
    await bars(page, second.id).waitFor();
  }));

test("without a WebSocket, the page follows another transport", async () => {
  const proxy = await BlockingProxy.start(server, { sockets: "refused" });
  try {
    await withPage(browser, {}, async (page) => {
      await page.goto(`${proxy.origin}/timeline`);
      await page.locator("#connection-text").getByText("live (").waitFor();
      const { id } = await sleeping(300);
      await bars(page, id).and(page.locator(".o-completed")).waitFor();
    });
  } finally {
    await proxy.stop();
  }
});

test("on a busy server, the page samples, says so and stays calm", async () => {
  const busy = await Server.start({ config: "[engine]\nconcurrency = 500\n" });
  let feeding = true;
  const feed = async () => {
    const body = JSON.stringify(Array.from({ length: 500 }, (_, n) => ({ kind: "echo", payload: n, queue: n % 2 ? "mail" : "reports" })));
    // About 2,000 jobs a second: a server at its limit would take the browser's share of a small machine.
    for (let due = performance.now(); feeding; due += 250) {
      await sleep(Math.max(0, due - performance.now()));
      await (await fetch(`${busy.origin}/api/v1/jobs`, { method: "POST", headers: { "content-type": "application/json" }, body })).arrayBuffer();
    }
  };
  const fed = feed();
  try {
    await withPage(browser, {}, async (page) => {
      await page.goto(`${busy.origin}/timeline`);
      await live(page);
      await page.locator('[data-lane="mail"] .note').getByText("sample: 1 in").waitFor();
      await page.locator("#sample-note").getByText("show a part of them").waitFor();
      const session = await page.context().newCDPSession(page);
      await session.send("Performance.enable");
      const read = async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
      const first = await read();
      // Three pictures are fetched, one every three seconds.
      for (let n = 0; n < 3; n += 1) {
        const now = await page.locator(".lanes").getAttribute("data-now");
        await until(page, (now) => document.querySelector(".lanes").dataset.now !== now, now);
      }
      const last = await read();
      const share = (last.TaskDuration - first.TaskDuration) / (last.Timestamp - first.Timestamp);
      // Other programs of the machine make the share larger, so it is only told.
      console.log(`the main thread was busy for ${Math.round(share * 100)} % of the time`);
      assert.ok((await page.locator(".drawing a").count()) <= 800);
      feeding = false;
      await fed;
      // When less happens, the page follows single events again.
      const { id } = await busy.submit({ kind: "sleep", payload: { ms: 100 }, queue: "calm" });
      await page.locator('[data-lane="calm"]').waitFor();
      await bars(page, id).waitFor();
    });
  } finally {
    feeding = false;
    await fed.catch(() => {});
    await busy.remove();
  }
});
