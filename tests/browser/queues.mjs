// A queue's page and its limits in a real browser: node --test queues.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, withPage } from "./page.mjs";
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
      await page.locator("#rate-hint").getByText("Limited to 30 starts per minute. As configured.").waitFor();
      await rate("5 / 90s", "Limited to 5 starts per 1m 30s. Set manually; the configuration allows 30 starts per minute.");
      assert.equal((await mail()).rate_limit, "5/1m 30s");
      await rate("often", 'Not saved: "often" is not a rate such as 100/1m: a number from 1, a slash, a time, or none.');
      assert.equal(await page.locator("#rate-limit").inputValue(), "often");
      assert.equal(await page.locator("#concurrency").inputValue(), "7");
      await rate("none", "No rate limit. For example, 100/1m allows 100 starts per minute. Set manually;");
      assert.equal((await mail()).rate_limit, undefined);
      await rate("", "As configured.");
      assert.equal((await mail()).rate_limit, "30/1m");

      await concurrency("3", "Set manually; the configuration says 7.");
      assert.equal((await mail()).concurrency, 3);
      await concurrency("0", "Not saved: 0 would stop the queue; pause it instead.");
      await concurrency("many", "Not saved: enter a whole number such as 10.");
      assert.equal(await page.locator("#concurrency").inputValue(), "many");
      await concurrency("", "As configured.");
      assert.equal((await mail()).concurrency, 7);
    }));
}
