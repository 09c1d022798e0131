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
        if (!javaScriptEnabled) await page.locator("#show-fields").click();
        // The field for the payload of the kind before has the same id.
        await page.locator("[name=shown][value=echo]").waitFor({ state: "attached" });
        await page.locator("#payload").fill('{"cups": 2}');
        if (!(await page.locator("#priority").isVisible())) await page.locator(".options > summary").click();
        await page.locator("#priority").fill("high");
        await page.locator("#create").click();
        await page.locator("#priority-error").filter({ hasText: "an integer from" }).waitFor();
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

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with JavaScript" : "without JavaScript";

  test(`a pattern that is not accepted is explained once, at its field, in plain words ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/schedules/new`);
      await page.locator("#name").fill("never");
      await page.locator("#cron").fill("61 25 * * funday");
      if (!javaScriptEnabled) await page.locator("#check").click();
      const error = page.locator("#cron-error");
      await error.getByText('"61" is not a valid minute (0 to 59), "25" is not a valid hour (0 to 23), "funday" is not a valid weekday').waitFor();
      assert.equal(await page.locator("#cron").getAttribute("aria-invalid"), "true");
      assert.equal((await page.locator("main").innerText()).split("funday").length, 2, "the error stands once");
      for (const width of [320, 360, 768, 1024, 1440, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${width} px`);
      }
      await page.locator("#cron").fill("*/90 * * * *");
      if (!javaScriptEnabled) await page.locator("#check").click();
      await page.locator("#means").getByText("Every hour.").waitFor();
      assert.equal(await error.innerText().catch(() => ""), "");
      assert.equal(await page.locator("#cron").getAttribute("aria-invalid"), null);
    }));

  test(`a schedule has the inputs of its kind, edits them as JSON, and keeps its page ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const name = javaScriptEnabled ? "typed" : "untyped";
      await page.goto(`${server.origin}/schedules/new?kind=sleep&cron=@daily&name=${name}`);
      await page.locator("[name='payload.ms']").fill("77");
      await page.locator("#to-json").click();
      await page.locator("#payload").waitFor();
      assert.deepEqual(JSON.parse(await page.locator("#payload").inputValue()), { ms: 77 });
      await page.locator("#to-fields").click();
      await page.locator("[name='payload.ms']").fill("none");
      await page.locator("#create").click();
      await page.getByText("Nothing was saved: one field is marked below.").waitFor();
      assert.equal(await page.locator("[name='payload.ms']").inputValue(), "none");
      await page.locator("[name='payload.ms']").fill("78");
      await page.locator("#create").click();
      await page.waitForURL(`**/schedules/of/${name}`);
      assert.deepEqual((await told())[name].job.payload, { ms: 78 });
      await page.locator("#to-json").click();
      await page.locator("#payload").waitFor();
      await page.locator("#spec-title").getByText("Edit schedule").waitFor();
      await page.locator("#payload").fill('{"ms": 79}');
      await page.locator("#save").click();
      await page.waitForURL(`**/schedules/of/${name}`);
      await page.locator("[name='payload.ms']").waitFor();
      assert.deepEqual((await told())[name].job.payload, { ms: 79 });
    }));

  test(`the form for a new job and a job that exists become a schedule ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/jobs/new?kind=sleep`);
      await page.locator("[name='payload.ms']").fill("4321");
      await page.locator("#to-schedule").click();
      await page.getByRole("heading", { name: "New schedule" }).waitFor();
      assert.equal(await page.locator("[name='payload.ms']").inputValue(), "4321");
      assert.equal(await page.locator("#kind").inputValue(), "sleep");
      const job = await server.submit({ kind: "sleep", payload: { ms: 5 }, queue: "naps" });
      await page.goto(`${server.origin}/schedules/new?from=${job.id}`);
      assert.equal(await page.locator("[name='payload.ms']").inputValue(), "5");
      assert.equal(await page.locator("#queue").inputValue(), "naps");
    }));
}

test("a pattern typed before the script came is told in words", () =>
  withPage(browser, {}, async (page) => {
    const come = await late(page, "new-job.js");
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
    await row.locator(".badge.s-completed").waitFor();
    await server.kill();
    await until(page, () => document.getElementById("connection").dataset.state !== "live");
    const before = await page.locator("#schedules tr", { hasText: "often" }).locator("td > a[href^=jobs]").last().getAttribute("href");
    await server.again();
    await live(page);
    await until(page, (old) => [...document.querySelectorAll("#schedules a[href^=jobs]")].some((link) => link.getAttribute("href") !== old), before);
    await row.locator("[id=pause-often]").click();
    await row.getByText("paused").first().waitFor();
    assert.equal((await told()).often.paused, true);
  }));
