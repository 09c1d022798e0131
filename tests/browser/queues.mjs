// A queue's page and its limits in a real browser: node --test queues.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;

before(async () => {
  server = await Server.start({ config: '[queues.mail]\nrate_limit = "30/1m"\nconcurrency = 7\n' });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const mail = async () => (await (await fetch(`${server.origin}/api/v1/queues`)).json()).queues.find(({ name }) => name === "mail");

for (const javaScriptEnabled of [true, false]) {
  test(`the limits of a queue are set, refused and given back ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const job = await server.submit({ kind: "echo", payload: 1, queue: "mail" });
      await server.until(job.id, "completed");
      await page.goto(`${server.origin}/queues/mail`);
      const set = async (field, typed, hint, said) => {
        await page.locator(field).fill(typed);
        await page.locator(field).press("Enter");
        await page.locator(hint).getByText(said).waitFor();
      };
      const rate = (typed, said) => set("#rate-limit", typed, "#rate-hint", said);
      const concurrency = (typed, said) => set("#concurrency", typed, "#concurrency-hint", said);

      assert.equal(await page.locator("#rate-limit").inputValue(), "30/1m");
      await page.locator("#rate-hint").getByText("Limited to 30 starts per minute. Set in the configuration.").waitFor();
      await rate("5 / 90s", "Limited to 5 starts per 1m 30s. Set manually; the configuration allows 30 starts per minute.");
      assert.equal((await mail()).rate_limit, "5/1m 30s");
      await rate("often", 'Not saved: "often" is not a rate limit: expected at least 1 start per period, such as 100/1m, or none.');
      assert.equal(await page.locator("#rate-limit").inputValue(), "often");
      assert.equal(await page.locator("#concurrency").inputValue(), "7");
      await rate("none", "No rate limit. For example, 100/1m allows 100 starts per minute. Set manually;");
      assert.equal((await mail()).rate_limit, undefined);
      await rate("", "Set in the configuration.");
      assert.equal((await mail()).rate_limit, "30/1m");

      await concurrency("3", "Set manually; the configured value is 7.");
      assert.equal((await mail()).concurrency, 3);
      await concurrency("0", "Not saved: the concurrency must be an integer from 1 to 1000000, but is 0; pause a queue to stop it.");
      await concurrency("many", `Not saved: the concurrency must be an integer from 1 to 1000000, but is "many".`);
      assert.equal(await page.locator("#concurrency").inputValue(), "many");
      await concurrency("", "Set in the configuration.");
      assert.equal((await mail()).concurrency, 7);
    }));
}

for (const javaScriptEnabled of [true, false]) {
  test(`queues are ordered and grouped ${javaScriptEnabled ? "live" : "without JavaScript"}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const tenant = javaScriptEnabled ? "live" : "still";
      const queues = ["mail", "video"].map((name) => `${tenant}.${name}`);
      for (const queue of queues) {
        await server.submit({ kind: "echo", payload: 1, queue, delay_ms: 3_600_000 });
        await server.post(`/api/v1/queues/${queue}/pause`);
      }
      await server.submit({ kind: "echo", payload: 1, queue: queues[1] });
      await page.goto(`${server.origin}/queues?prefix=${tenant}.`);
      const names = () => page.locator("#queues th[scope=row]").allTextContents();
      assert.deepEqual(await names(), queues);
      if (javaScriptEnabled) await live(page);
      await page.locator("select[name=sort]").selectOption("available");
      await page.getByRole("button", { name: "Filter", exact: true }).click();
      await page.waitForURL((url) => url.searchParams.get("sort") === "available");
      assert.deepEqual(await names(), queues.toReversed());
      await page.locator("input[name=group]").check();
      await page.getByRole("button", { name: "Filter", exact: true }).click();
      const row = page.locator("#queues tbody tr");
      const cells = () => row.locator("td.num").allTextContents();
      await row.getByText(`${tenant}.*`).waitFor();
      assert.deepEqual((await cells()).slice(0, 3), ["2", "2", "1"]);
      await server.submit({ kind: "echo", payload: 1, queue: queues[0] });
      if (!javaScriptEnabled) await page.reload();
      await page.locator("#queues td[data-label=Available]", { hasText: "2" }).waitFor();
      await row.getByRole("link").click();
      assert.deepEqual(await names(), queues);
    }));
}

describe("250 queues", () => {
  let many;
  const name = (n) => `queue-${String(n).padStart(3, "0")}`;

  before(async () => {
    // At least 50 queues have no history.
    many = await Server.start({ config: "[engine]\nqueue_histories = 200\n" });
    for (let n = 0; n < 250; n += 1) await many.submit({ kind: "echo", payload: n, queue: name(n) });
    const last = await many.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1, queue: name(123) });
    await many.until(last.id, "discarded");
    await many.submit({ kind: "echo", payload: 1, queue: name(77) });
    await many.post(`/api/v1/queues/${name(77)}/pause`);
    await many.submit({ kind: "echo", payload: 1, queue: name(77) });
  });

  after(() => many?.remove());

  const rows = (page) => page.locator("tr[data-queue]").evaluateAll((rows) => rows.map((row) => row.dataset.queue));
  const height = (page) => page.evaluate(() => document.documentElement.scrollHeight);

  for (const javaScriptEnabled of [true, false]) {
    const way = javaScriptEnabled ? "with" : "without";

    test(`home shows the queues that need attention, and is not buried by the others, ${way} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(many.origin);
        const shown = await rows(page);
        assert.equal(shown.length, 10);
        assert.deepEqual(shown.slice(0, 2), [name(77), name(123)]);
        for (const width of [360, 768, 1024, 1440, 2560]) {
          await page.setViewportSize({ width, height: 900 });
          assert.ok((await height(page)) < 4_500, `${await height(page)} px at ${width} px`);
        }
        await page.getByRole("link", { name: "All 250 queues" }).click();
        await page.waitForURL(`${many.origin}/queues`);
      }));

    test(`the list of queues is filtered and paged ${way} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(`${many.origin}/queues`);
        const seen = await rows(page);
        for (const width of [360, 768, 1024, 1440, 2560]) {
          await page.setViewportSize({ width, height: 900 });
          assert.ok((await height(page)) < 6_000, `${await height(page)} px at ${width} px`);
        }
        while (await page.locator(".pager [rel=next]").count()) {
          const next = await page.locator(".pager [rel=next]").getAttribute("href");
          await page.locator(".pager [rel=next]").click();
          await page.waitForURL(`${many.origin}/${next}`);
          seen.push(...(await rows(page)));
        }
        assert.deepEqual(seen, Array.from({ length: 250 }, (_, n) => name(n)));

        await page.goto(`${many.origin}/queues`);
        await page.locator("[name=q]").fill("Queue-07");
        await page.locator("[name=q]").press("Enter");
        await page.waitForURL(/q=Queue-07/);
        assert.deepEqual(await rows(page), Array.from({ length: 10 }, (_, n) => name(70 + n)));
        await page.locator("[name=show]").selectOption("paused");
        await page.locator("form.filter button").click();
        await page.waitForURL(/show=paused/);
        assert.deepEqual(await rows(page), [name(77)]);
        // The button keeps the filter, which no queue matches afterwards.
        await page.locator(`#resume-${name(77)}`).click();
        await page.getByText("No queues match this filter.").waitFor();
        await many.post(`/api/v1/queues/${name(77)}/pause`);
        await many.submit({ kind: "echo", payload: 1, queue: name(77) });
        await page.goto(`${many.origin}/queues?show=failing`);
        assert.deepEqual(await rows(page), [name(123)]);
      }));

    test(`a queue without a history says so and is not drawn as idle ${way} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        const queues = [];
        for (let n = 1; n <= 7; n += 1) {
          await page.goto(`${many.origin}/queues?page=${n}`);
          queues.push(...(await page.locator("tr[data-queue]").evaluateAll((rows) => rows.map((row) => ({ name: row.dataset.queue, isDrawn: !!row.querySelector(".spark"), says: row.querySelector(".c-spark").textContent.trim() })))));
        }
        const drawn = queues.filter(({ isDrawn }) => isDrawn);
        const unknown = queues.filter(({ isDrawn }) => !isDrawn);
        assert.equal(queues.length, 250);
        assert.ok(drawn.length > 0 && drawn.length <= 200, `${drawn.length} queues are drawn`);
        assert.deepEqual(new Set(drawn.map(({ says }) => says)), new Set([""]));
        assert.deepEqual(new Set(unknown.map(({ says }) => says)), new Set(["no history"]));

        await page.goto(`${many.origin}/queues?q=${unknown[0].name}`);
        const row = page.locator(`tr[data-queue=${unknown[0].name}]`);
        assert.deepEqual(await row.locator("[data-n=rate], [data-n=failing]").allTextContents(), ["–", "–"]);
        await page.goto(`${many.origin}/queues/${unknown[0].name}`);
        await page.locator("#charts").getByText("No history.").waitFor();
        assert.equal(await page.locator("#charts figure").count(), 0);
        await page.goto(`${many.origin}/queues/${drawn[0].name}`);
        assert.equal(await page.locator("#charts figure").count(), 3);
      }));
  }

  test("home chooses its queues again while it is open, but not under the pointer", () =>
    withPage(browser, {}, async (page) => {
      await page.goto(many.origin);
      await live(page);
      const before = await rows(page);
      assert.ok(!before.includes(name(9)));
      await page.locator("#queues").hover();
      await many.post(`/api/v1/queues/${name(9)}/pause`);
      for (let n = 0; n < 20; n += 1) await many.submit({ kind: "echo", payload: n, queue: name(9) });
      await page.locator("[data-count=available]").filter({ hasText: /^2\d$/ }).waitFor();
      assert.deepEqual(await rows(page), before);
      await page.mouse.move(1, 1);
      await until(page, (queue) => document.querySelector("tr[data-queue]").dataset.queue === queue, name(9));
    }));
});
