// The pictures and the builder of the pages of schedules: the strip of the last runs, the ruler of the next 24 hours, and the
// pattern that is built from choices: node --test schedule-views.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PATIENCE_MS, axeViolations, launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [360, 768, 1024, 1440, 2560];

let browser;
let server;

before(async () => {
  server = await Server.start();
  browser = await launch();
  await put("nightly", { cron: "30 2 * * *", zone: "Europe/Berlin", kind: "echo" });
  await put("often", { cron: "every 1s", kind: "echo" });
  await pause("often");
  await put("hourly", { cron: "@hourly", kind: "echo" });
  await put("minutely", { cron: "* * * * *", kind: "echo" });
  await pause("minutely");
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

async function api(method, path, body) {
  const answer = await fetch(`${server.origin}/api/v1/${path}`, { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.status === 204 ? undefined : answer.json();
}

const put = (name, schedule) => api("PUT", `schedules/${name}`, schedule);
const pause = (name) => api("POST", `schedules/${name}/pause`);

/** Runs a schedule and returns the id of its job. */
async function run(name) {
  await api("POST", `schedules/${name}/run`);
  const { last } = await api("GET", `schedules/${name}`);
  return last.job;
}

/** Waits until the server has counted that a job of the schedule ended so. */
async function shown(name, job, outcome) {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    const page = await (await fetch(`${server.origin}/schedules/of/${name}`)).text();
    if (page.includes(`class="run s-${outcome}" href="jobs/${job}"`)) return;
    assert.ok(Date.now() < end, `the run ${job} of ${name} is not ${outcome}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const noWiderThan = async (page, width) => assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${page.url()} at ${width} px`);

for (const javaScriptEnabled of [true, false]) {
  describe(javaScriptEnabled ? "with JavaScript" : "without JavaScript", () => {
    const own = javaScriptEnabled ? "live" : "plain";

    test("each of the last 20 runs is a mark that tells its outcome and leads to its job", () =>
      withPage(browser, { javaScriptEnabled, timezoneId: "Asia/Kolkata" }, async (page) => {
        await put(own, { cron: "@yearly", kind: "echo" });
        const jobs = [];
        for (let n = 0; n < 22; n++) jobs.push(await run(own));
        await shown(own, jobs.at(-1), "completed");
        await put(own, { cron: "@yearly", kind: "fail", payload: { times: 9 }, max_attempts: 1 });
        const failed = await run(own);
        await shown(own, failed, "discarded");

        await page.goto(`${server.origin}/schedules/of/${own}`);
        const marks = page.locator("#runs .strip .run");
        assert.equal(await marks.count(), 20);
        assert.equal(await marks.first().getAttribute("href"), `jobs/${jobs[3]}`);
        assert.equal(await marks.last().getAttribute("href"), `jobs/${failed}`);
        assert.match(await marks.last().innerText(), /discarded/);
        const title = await marks.last().getAttribute("title");
        assert.match(title, /^discarded, took .+, requested by hand: \d{4}-\d\d-\d\d /);
        assert.match(title, javaScriptEnabled ? /GMT\+5:30$/ : /UTC$/);
        assert.deepEqual((await page.locator("#runs .strip-legend li").allInnerTexts()).map((text) => text.trim()), ["19 completed", "1 discarded"]);
        // The forms differ, not only the colours.
        const form = (mark) => mark.evaluate((element) => getComputedStyle(element, "::before").clipPath);
        assert.notEqual(await form(marks.last()), await form(marks.first()));
        await marks.last().click();
        await page.waitForURL(`**/jobs/${failed}`);

        await page.goto(`${server.origin}/schedules`);
        const row = page.locator("tr", { has: page.locator(`a[href="schedules/of/${own}"]`) });
        assert.equal(await row.locator(".strip .run").count(), 20);
        await row.locator(".strip .run.s-discarded").click();
        await page.waitForURL(`**/jobs/${failed}`);
        await api("DELETE", `schedules/${own}`);
      }));

    test("the ruler has marks at the times that are due, and one band for many of them", () =>
      withPage(browser, { javaScriptEnabled, timezoneId: "Asia/Kolkata" }, async (page) => {
        await api("POST", "schedules/minutely/resume");
        await page.goto(`${server.origin}/schedules`);
        const line = (name) => page.locator("#ruler .ruler-line", { has: page.locator(`a[href="schedules/of/${name}"]`) });
        assert.equal(await line("nightly").locator(".due").count(), 1);
        const hours = await line("hourly").locator(".due").count();
        assert.ok(hours === 24 || hours === 23, `${hours} marks`);
        assert.equal(await line("minutely").locator(".due").count(), 0);
        assert.equal(await line("minutely").locator(".band").count(), 1);
        assert.match(await line("minutely").locator(".band > text").textContent(), /^1\s4(40|39) runs$/);
        assert.equal(await line("often").count(), 0, "it is paused");
        const told = await line("nightly").locator(".due title").textContent();
        const { next_at: next } = await api("GET", "schedules/nightly");
        const zone = javaScriptEnabled ? "Asia/Kolkata" : "UTC";
        const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }).format(new Date(next));
        const date = clock.slice(0, 10);
        assert.ok(told.startsWith(`nightly: ${date} `), told);
        // The position is that of the time.
        const x = Number.parseFloat(await line("nightly").locator(".due line").getAttribute("x1"));
        assert.ok(Math.abs(x - (new Date(next) - Date.now()) / 864_000) < 1, `${x}`);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          await noWiderThan(page, width);
        }
        await pause("minutely");
      }));

    test("a pattern is built from choices, shown in words with its next runs, and saved", () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(`${server.origin}/schedules/new?kind=echo&name=built-${own}`);
        const filled = async (pattern, words) => {
          if (!javaScriptEnabled) await page.locator("#build").click();
          await until(page, (value) => document.querySelector("#cron").value === value, pattern);
          await page.locator("#means").filter({ hasText: words }).waitFor();
          assert.match(await page.locator("#means").innerText(), /Next runs: \d{4}-/);
        };
        assert.equal(await page.locator("#repeat_times").isVisible(), false);
        await page.locator("#zone").fill("UTC");
        await page.locator("#repeat").selectOption("daily");
        assert.ok(await page.locator("#repeat_times").isVisible(), "a choice shows its fields without a script, too");
        await filled("0 9 * * *", "At 09:00");
        await page.locator("#repeat_times").fill("08:15, 20:15");
        await filled("15 8,20 * * *", "At 08:15 and 20:15");
        await page.locator("#repeat").selectOption("weekly");
        await page.locator("#repeat_weekday").selectOption("fri");
        await filled("15 8,20 * * fri", "Fri");
        await page.locator("#repeat_times").fill("25:00");
        if (!javaScriptEnabled) await page.locator("#build").click();
        await page.locator("#repeat_times-error").getByText('"25:00" is no time of day; use 00:00 to 23:59').waitFor();
        await page.locator("#repeat_times").fill("08:15");
        await filled("15 8 * * fri", "At 08:15");
        // What is typed as a pattern counts, and the choices follow it.
        await page.locator("#cron").fill("*/20 * * * *");
        if (!javaScriptEnabled) await page.locator("#check").click();
        await page.locator("#means").filter({ hasText: "Every 20 minutes" }).waitFor();
        await until(page, () => document.querySelector("#repeat").value === "minutes" && document.querySelector("#repeat_minutes").value === "20");
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          await noWiderThan(page, width);
        }
        // Whoever saves at once saves what was chosen last.
        await page.locator("#repeat").selectOption("monthly");
        await page.locator("#repeat_day").fill("last");
        await page.locator("#create").click();
        await page.waitForURL(`**/schedules/of/built-${own}`);
        assert.equal((await api("GET", `schedules/built-${own}`)).cron, "0 9 L * *");
        assert.equal(await page.locator("#repeat").inputValue(), "monthly");
        await api("DELETE", `schedules/built-${own}`);
      }));
  });
}

test("what is chosen while a preview is on its way stays chosen", () =>
  withPage(browser, {}, async (page) => {
    const held = [];
    let isHolding = true;
    await page.route(/\/schedules/, (route) => (isHolding && route.request().method() === "POST" ? held.push(route) : route.continue()));
    await page.goto(`${server.origin}/schedules/new?kind=echo&name=slow`);
    const asked = page.waitForRequest((request) => request.method() === "POST");
    await page.locator("#zone").fill("UTC");
    await asked;
    await page.locator("#repeat").selectOption("daily");
    isHolding = false;
    for (const route of held) await route.continue();
    await until(page, () => document.querySelector("#cron").value === "0 9 * * *");
    assert.equal(await page.locator("#repeat").inputValue(), "daily");
  }));

test("the strip follows the runs while the page is open", () =>
  withPage(browser, {}, async (page) => {
    await put("followed", { cron: "@yearly", kind: "echo" });
    await page.goto(`${server.origin}/schedules/of/followed`);
    await live(page);
    assert.equal(await page.locator("#runs").count(), 0);
    await page.goto(`${server.origin}/schedules`);
    await live(page);
    const job = await run("followed");
    await page.locator(`.strip .run.s-completed[href="jobs/${job}"]`).waitFor();
    await api("DELETE", "schedules/followed");
  }));

test("the runs survive a kill of the server", () =>
  withPage(browser, {}, async (page) => {
    await put("kept", { cron: "@yearly", kind: "echo" });
    const job = await run("kept");
    await shown("kept", job, "completed");
    await server.kill();
    await server.again();
    await shown("kept", job, "completed");
    await page.goto(`${server.origin}/schedules/of/kept`);
    assert.equal(await page.locator("#runs .strip .run").count(), 1);
    await api("DELETE", "schedules/kept");
  }));

test("the pages with the pictures and the builder are accessible", () =>
  withPage(browser, {}, async (page) => {
    await run("nightly");
    for (const path of ["schedules", "schedules/of/nightly", "schedules/new?cron=0+9+*+*+mon"]) {
      await page.goto(`${server.origin}/${path}`);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        assert.deepEqual(await axeViolations(page, `${path}, ${colorScheme}`), []);
      }
    }
  }));
