// The page of a job from its start to its end, in a real browser: node --test job.test.mjs

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
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

const address = (job) => `${server.origin}/jobs/${job.id}`;
const badge = (page, state) => page.locator(`#head .badge.s-${state}`);

for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
  test(`nothing moves while a page comes alive and its job waits, runs, fails, tells how far it is and ends: ${size}`, () =>
    withPage(browser, { viewport }, async (page) => {
      await watchShifts(page);
      const queue = `still-${size}`;
      const lives = [
        { kind: "fail", payload: { times: 2 }, backoff: { base_ms: 400, cap_ms: 400 } },
        { kind: "sleep", payload: { ms: 4000, progress: true } },
      ];
      for (const life of lives) {
        await server.post(`/api/v1/queues/${queue}/pause`);
        const job = await server.submit({ ...life, queue });
        await page.goto(address(job));
        await live(page);
        await page.locator("#standing").getByText("is paused").waitFor();
        await server.post(`/api/v1/queues/${queue}/resume`);
        await badge(page, "completed").waitFor();
        await page.locator("#timeline").getByText("succeeded").waitFor();
        if (life.kind === "sleep") await page.locator("#log li").nth(9).waitFor();
        else await page.locator("#log-empty").getByText("No log output.").waitFor();
        await page.locator("#result .json").waitFor();
        assert.deepEqual(await page.evaluate(() => globalThis.shifts), []);
      }
    }));
}

describe("with JavaScript", () => {
  test("progress moves with its time left, and the log follows until somebody reads", () =>
    withPage(browser, { viewport: { width: 1280, height: 900 } }, async (page) => {
      const job = await server.submit({ kind: "sleep", payload: { ms: 30_000, progress: true } });
      await page.goto(address(job));
      await page.locator("#progress-left").getByText(/^about \d+ s left$/).waitFor();
      assert.equal(await page.locator("#progress-bar").getAttribute("max"), "10");
      await page.locator("#log li").first().waitFor();
      const follow = page.locator("#follow");
      assert.equal(await follow.getAttribute("aria-pressed"), "true");
      // The box shows one line, so that new lines are visible only when the page follows the log.
      await page.evaluate(() => Object.assign(document.getElementById("log").style, { maxHeight: "2rem", height: "2rem" }));
      const atEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
      await page.locator("#log li").nth(1).waitFor();
      await until(page, `(${atEnd})(document.getElementById("log"))`);
      await page.locator("#log").evaluate((log) => (log.scrollTop = 0));
      await until(page, () => document.getElementById("follow").ariaPressed === "false");
      await page.locator("#log li").nth(2).waitFor();
      assert.equal(await page.locator("#log").evaluate((log) => log.scrollTop), 0);
      await page.keyboard.press("f");
      assert.equal(await follow.getAttribute("aria-pressed"), "true");
      assert.ok(await page.locator("#log").evaluate(atEnd));
      await page.keyboard.press("c");
      await badge(page, "cancelled").waitFor();
      await page.locator("#cancelling .step-done").getByText("Worker notified").waitFor();
      await page.locator("#cancelling .step-done").getByText("Cancelled").waitFor();
    }));

  test("a due time is counted down", () =>
    withPage(browser, {}, async (page) => {
      const job = await server.submit({ kind: "echo", payload: 1, delay_ms: 252_500 });
      await page.goto(address(job));
      const due = page.locator("#standing time");
      await due.getByText("in 4 min 1", { exact: false }).waitFor();
      await due.getByText("in 4 min 9 s").waitFor();
    }));

  test("the command on the page makes the same job again", () =>
    withPage(browser, {}, async (page) => {
      const payload = { text: "it's \"so\" $HOME `id` \\ \n end", n: 7 };
      const job = await server.submit({ kind: "echo", payload, tags: ["it's", "two words"], queue: "terminal" });
      await page.goto(address(job));
      const command = await page.locator("#curl").textContent();
      const { execFile } = await import("node:child_process");
      const said = await new Promise((resolve, reject) =>
        execFile("sh", ["-c", command.replace("curl ", "curl -sS ")], (error, out) => (error ? reject(error) : resolve(out))));
      const again = await server.until(JSON.parse(said).id, "completed");
      assert.deepEqual([again.payload, again.tags, again.queue], [payload, ["it's", "two words"], "terminal"]);
      assert.notEqual(again.id, job.id);
    }));

  test("the focus stays on a button whose section is drawn again", () =>
    withPage(browser, {}, async (page) => {
      const job = await server.submit({ kind: "fail", payload: { times: 3 }, delay_ms: 2000, backoff: { base_ms: 300, cap_ms: 300 } });
      await page.goto(address(job));
      await live(page);
      await page.locator("#again").focus();
      await badge(page, "completed").waitFor();
      await page.locator("#attempts .badge.s-completed").waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.id), "again");
    }));
});

describe("without JavaScript", () => {
  const off = { javaScriptEnabled: false };

  test("a running job is asked to stop, and the page says how far that has come", () =>
    withPage(browser, off, async (page) => {
      const job = await server.submit({ kind: "sleep", payload: { ms: 600_000 } });
      await server.until(job.id, "running");
      await page.goto(address(job));
      await page.locator("#cancel").click();
      await page.waitForURL(address(job));
      await page.locator("#cancelling").getByText("Cancellation requested").waitFor();
      await server.until(job.id, "cancelled");
      await page.reload();
      await page.locator("#cancelling .step-done").nth(2).getByText("Cancelled").waitFor();
      assert.equal(await page.locator("#follow:visible").count(), 0);
    }));

  test("a job is edited and run again, and its log is downloaded", () =>
    withPage(browser, off, async (page) => {
      const job = await server.submit({ kind: "sleep", payload: { ms: 20, progress: true }, tags: ["first"] });
      await server.until(job.id, "completed");
      await page.goto(address(job));
      const download = page.waitForEvent("download");
      await page.getByRole("link", { name: "Download" }).click();
      const file = await download;
      assert.equal(file.suggestedFilename(), `${job.id}.log`);
      assert.match(await readFile(await file.path(), "utf8"), /step 10 of 10/);
      await page.locator("#again").click();
      await page.waitForURL(/\/jobs\/new\?from=/);
      await page.locator("#submit").click();
      await page.waitForURL(/\/jobs\/[0-9a-f-]{36}$/);
      assert.notEqual(page.url(), address(job));
      await page.getByText("first").first().waitFor();
    }));

  test("a waiting job says why it is not running", () =>
    withPage(browser, off, async (page) => {
      await server.post("/api/v1/queues/held/pause");
      const jobs = [];
      for (let n = 0; n < 3; n += 1) jobs.push(await server.submit({ kind: "echo", payload: n, queue: "held" }));
      await page.goto(address(jobs[2]));
      await page.locator("#standing").getByText("Queue held is paused. No job starts until it is resumed.").waitFor();
    }));
});
