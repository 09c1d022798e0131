// The pages under a sub-path in a real browser: node --test base-path.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PATIENCE_MS, launch } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;

before(async () => {
  server = await Server.start({ flags: ["--base-path", "/tools/cortado"] });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

for (const javaScriptEnabled of [true, false]) {
  test(`nothing a browser asks for leaves the base path ${javaScriptEnabled ? "with" : "without"} JavaScript`, async () => {
    const page = await browser.newPage({ javaScriptEnabled });
    page.setDefaultTimeout(PATIENCE_MS);
    const astray = [];
    const look = (address) => new URL(address).pathname.startsWith("/tools/cortado") || astray.push(address);
    page.on("request", (request) => look(request.url()));
    page.on("websocket", (socket) => look(socket.url()));
    page.on("console", (line) => line.text().includes("Content Security Policy") && astray.push(line.text()));
    const live = () => javaScriptEnabled && page.locator("#connection[data-state=live]").waitFor();
    await page.goto(`${server.origin}/tools/cortado`);
    await live();
    await page.getByRole("link", { name: "New job" }).click();
    await page.locator("#kind").selectOption("sleep");
    if (!javaScriptEnabled) await page.locator("#show-fields").click();
    await page.locator("[name='payload.ms']").fill("600");
    await page.locator("#submit").click();
    await page.waitForURL(/\/tools\/cortado\/jobs\/[0-9a-f-]{36}$/);
    const id = page.url().split("/").at(-1);
    if (!javaScriptEnabled) {
      await server.until(id, "completed");
      await page.reload();
    }
    await page.locator("#head .badge.s-completed").waitFor();
    await live();
    const job = page.url();
    await page.locator(".skip").press("Enter");
    assert.equal(page.url(), `${job}#main`);
    await page.getByRole("link", { name: "Jobs", exact: true }).first().click();
    await live();
    if (javaScriptEnabled) await server.submit({ kind: "echo", payload: 1, queue: "fresh" });
    await page.getByRole("link", { name: "Cortado" }).click();
    await live();
    await page.locator("[id^=pause-]").first().click();
    await page.waitForURL(/\/tools\/cortado\/#queues$/);
    await page.locator("[id^=resume-]").first().click();
    await page.locator("[id^=pause-]").first().waitFor();
    assert.deepEqual(astray, []);
    await page.close();
  });
}
