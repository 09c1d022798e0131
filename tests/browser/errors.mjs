// Failures, forms that are not accepted, the login page and error pages in a real browser, at every width, with and
// without JavaScript: node --test errors.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeViolations, launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WIDTHS = [320, 360, 768, 1024, 1440, 2560];
const TOKEN = "a-token-for-the-tests-of-the-pages";
const BASE = "/tools/cortado";
const TRACEBACK = 'Traceback (most recent call last):\n  File "job.py", line 7, in <module>\n    main()\nmail.MailboxError: mailbox 4711 is full';

let browser;
let server;
let locked;

before(async () => {
  server = await Server.start();
  locked = await Server.start({ flags: ["--base-path", BASE], env: { CORTADO_AUTH_TOKEN: TOKEN } });
  browser = await launch();
  for (const message of [TRACEBACK, "9 mailbox is busy", `${"a long error without end ".repeat(40)}\nsecond line`]) {
    const job = await server.submit({ kind: "fail", payload: { times: 9, message }, max_attempts: 1 });
    await server.until(job.id, "discarded");
  }
});

after(async () => {
  await browser?.close();
  await server?.remove();
  await locked?.remove();
});

/** Asserts that the page fits into every width and is accessible. */
async function fits(page) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${page.url()} is wider than ${width} px`);
  }
  await page.setViewportSize({ width: 1024, height: 900 });
}

const assertAccessible = async (page) => assert.deepEqual(await axeViolations(page), []);

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with JavaScript" : "without JavaScript";

  test(`failures have the newest error as their title and the whole error one click away ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/failures`);
      const group = (text) => page.locator(".failing a", { hasText: text });
      await group("mail.MailboxError: mailbox 4711 is full").waitFor();
      await group("9 mailbox is busy").waitFor();
      assert.doesNotMatch(await page.locator("#groups").innerText(), /Traceback|N mailbox|mailbox N/);
      await fits(page);
      await group("MailboxError").click();
      await page.getByRole("heading", { name: "mail.MailboxError: mailbox 4711 is full" }).waitFor();
      assert.equal(await page.locator("#whole-error pre").isVisible(), false);
      await page.locator("#whole-error summary").click();
      await page.locator("#whole-error pre").getByText("Traceback (most recent call last):").waitFor();
      await page.locator("#group dd code", { hasText: "mail.MailboxError: mailbox N is full" }).waitFor();
      await fits(page);
      await page.goto(`${server.origin}/failures`);
      await group("a long error").click();
      assert.ok((await page.locator("h1").innerText()).length < 320);
      await page.locator("#whole-error summary").click();
      await page.locator("#whole-error pre").getByText("second line").waitFor();
      await fits(page);
    }));

  test(`rows and the page of a job show the line of a stack trace that says what happened ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const said = "mail.MailboxError: mailbox 4711 is full…";
      const rowOf = (job) => page.locator(`tr[data-job="${job.id}"] [data-f=error]`);
      const fail = () => server.submit({ kind: "fail", payload: { times: 9, message: TRACEBACK }, max_attempts: 1 });
      const job = await fail();
      await server.until(job.id, "discarded");
      for (const path of ["/", "/jobs", "/jobs?state=discarded"]) {
        await page.goto(server.origin + path);
        await rowOf(job).getByText(said, { exact: true }).waitFor();
        // A list of one state offers new jobs instead of inserting them.
        if (!javaScriptEnabled || path.includes("?")) continue;
        // The same in a row that arrives or changes while the page is open.
        await live(page);
        const next = await fail();
        await rowOf(next).getByText(said, { exact: true }).waitFor();
      }
      await page.goto(`${server.origin}/jobs/${job.id}`);
      await page.locator("#head").getByText(said).waitFor();
      assert.doesNotMatch(await page.locator("#head").innerText(), /Traceback/);
      await fits(page);
    }));

  test(`a limit that is not accepted is explained at its field, and its address can be opened ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const refused = [];
      page.on("response", (answer) => answer.status() === 405 && refused.push(answer.url()));
      const queue = javaScriptEnabled ? "typed" : "plain";
      const job = await server.submit({ kind: "echo", payload: 1, queue });
      await server.until(job.id, "completed");
      for (const [field, typed] of [["#concurrency", "many"], ["#rate-limit", "often"]]) {
        await page.goto(`${server.origin}/queues/${queue}`);
        await page.locator(field).fill(typed);
        await page.locator(field).press("Enter");
        await page.locator(".wrong:not(:empty)").waitFor();
        assert.equal(await page.locator(field).inputValue(), typed);
        assert.equal(await page.locator(field).getAttribute("aria-invalid"), "true");
        if (javaScriptEnabled) {
          await live(page);
          // The page fetches itself again whenever something happens in its queue.
          const { id } = await server.submit({ kind: "echo", payload: 2, queue });
          await page.locator(`#newest tr[data-job="${id}"]`).waitFor();
          assert.equal(await page.locator(field).inputValue(), typed);
        }
        const address = page.url();
        await page.goto("about:blank");
        const answer = await page.goto(address);
        assert.equal(answer.status(), 200);
        assert.equal(page.url(), `${server.origin}/queues/${queue}`);
      }
      assert.deepEqual(refused, []);
    }));

  test(`a token is asked for by a page that leads back ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const wanted = `${locked.origin}${BASE}/jobs?state=discarded`;
      const answer = await page.goto(wanted);
      assert.equal(answer.status(), 401);
      assert.equal(await page.locator("nav").count(), 0);
      await fits(page);
      if (javaScriptEnabled) await assertAccessible(page);
      await page.locator("#password").fill("wrong");
      await page.locator("#log-in").click();
      await page.locator("#password-error").getByText("This token is not correct.").waitFor();
      assert.equal((await page.goto(page.url())).status(), 200);
      await page.goto(wanted);
      await page.locator("#password").fill(TOKEN);
      await page.keyboard.press("Enter");
      await page.waitForURL(wanted);
      await page.getByRole("heading", { level: 1 }).first().waitFor();
      if (javaScriptEnabled) await live(page);
      await page.goto(`${locked.origin}${BASE}/login`);
      await page.locator("#log-out").click();
      await page.locator("#log-in").waitFor();
      assert.equal((await page.goto(wanted)).status(), 401);
    }));

  test(`an error page says what can be done ${how}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      for (const path of ["/nowhere", "/jobs/none", "/failures/none", "/schedules/of/none", "/queues/none"]) {
        const answer = await page.goto(server.origin + path);
        assert.equal(answer.status(), 404, path);
        await page.locator(".error-page .actions a").first().waitFor();
        await fits(page);
      }
    }));
}

test("scripts of a page whose session has ended see no dialog of the browser", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${locked.origin}${BASE}/jobs`);
    const [status, challenge] = await page.evaluate(async () => {
      const answer = await fetch("api/v1/stats");
      return [answer.status, answer.headers.get("www-authenticate")];
    });
    assert.equal(status, 401);
    assert.match(challenge, /^Bearer/);
    await until(page, () => document.getElementById("password") !== null);
  }));
