// Schedules in a real browser, with and without JavaScript: creating and running them, live updates, a kill of the
// server: node --test schedules.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { late, launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;

before(async () => {
  server = await Server.start({ config: '[schedules.declared]\ncron = "@yearly"\nkind = "echo"\npayload = { from = "toml" }\n' });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Returns the schedules from the API, by name. */
async function told() {
  const { schedules } = await (await fetch(`${server.origin}/api/v1/schedules`)).json();
  return Object.fromEntries(schedules.map((schedule) => [schedule.name, schedule]));
}

for (const javaScriptEnabled of [true, false]) {
  describe(javaScriptEnabled ? "with JavaScript" : "without JavaScript", () => {
    const name = javaScriptEnabled ? "live" : "plain";

    test("a schedule is made by form, run, paused and deleted", () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(`${server.origin}/schedules`);
        await page.getByRole("link", { name: "New schedule" }).click();
        await page.locator("#name").fill(name);
        await page.locator("#cron").fill("30 2 * * *");
        await page.locator("#zone").fill("+02:00");
        if (!javaScriptEnabled) await page.locator("#check").click();
        // The page may first show the times without the zone.
        await page.locator("#means").filter({ hasText: /02:30.* (00:30:00|12:30:00 AM)/s }).waitFor();
        await page.locator("#kind").selectOption("echo");
        await page.locator("#payload").fill('{"cups": 2}');
        await page.locator("#priority").fill("high");
        await page.locator("#create").click();
        await page.locator("#priority-error").filter({ hasText: "not a whole number" }).waitFor();
        await page.locator("#priority").fill("3");
        await page.locator("#create").click();
        await page.waitForURL(`**/schedules/of/${name}`);
        await page.locator("#run").click();
        await page.waitForURL(`**/schedules/of/${name}`);
        const { last, job } = (await told())[name];
        assert.deepEqual([job.payload, job.priority], [{ cups: 2 }, 3]);
        await server.until(last.job, "completed");
        if (!javaScriptEnabled) await page.reload();
        await page.locator(`#newest tr[data-job="${last.job}"] .s-completed`).waitFor();
        await page.locator("#pause").click();
        await page.locator("#resume").waitFor();
        assert.equal((await told())[name].paused, true);
        await page.locator("#ask-delete summary").click();
        await page.locator("#delete").click();
        await page.waitForURL("**/schedules");
        assert.equal((await told())[name], undefined);
      }));

    test("one of the configuration is shown and not changed", () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(`${server.origin}/schedules/of/declared`);
        await page.getByText("from the configuration").waitFor();
        assert.ok(await page.locator("#cron").isDisabled());
        assert.equal(await page.locator("#save, #ask-delete").count(), 0);
      }));
  });
}

test("a pattern typed before the script came is told in words", () =>
  withPage(browser, {}, async (page) => {
    const come = await late(page, "schedule.js");
    await page.goto(`${server.origin}/schedules/new`, { waitUntil: "commit" });
    await page.locator("#cron").fill("30 2 * * *");
    come();
    await page.locator("#means time").first().waitFor();
  }));

test("a list that is open shows what runs and what somebody else changes, and survives a kill", () =>
  withPage(browser, {}, async (page) => {
    const put = (cron) => fetch(`${server.origin}/api/v1/schedules/often`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ cron, kind: "echo" }) });
    await page.goto(`${server.origin}/schedules`);
    await live(page);
    await page.evaluate(() => (window.stays = true));
    await put("every 1s");
    const row = page.locator("#schedules tr", { hasText: "often" });
    await row.locator(".s-completed").waitFor();
    await server.kill();
    await until(page, () => document.getElementById("connection").dataset.state !== "live");
    const before = await page.locator("#schedules tr", { hasText: "often" }).locator("a[href^=jobs]").getAttribute("href");
    await server.again();
    await live(page);
    await until(page, (old) => [...document.querySelectorAll("#schedules a[href^=jobs]")].some((link) => link.getAttribute("href") !== old), before);
    await row.locator("[id=pause-often]").click();
    await row.getByText("paused").first().waitFor();
    assert.equal((await told()).often.paused, true);
  }));
