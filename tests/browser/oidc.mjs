// Login through an OpenID Connect provider that this test runs: node --test oidc.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { launch, withPage } from "./page.mjs";
import { Provider } from "./provider.mjs";
import { Server } from "./server.mjs";

let browser;
let provider;
let server;

before(async () => {
  provider = await Provider.start();
  provider.people.set("vera", { sub: "1", preferred_username: "vera", groups: ["staff"] });
  provider.people.set("otto", { sub: "2", preferred_username: "otto@example.com", groups: ["staff", "ops"] });
  provider.people.set("nora", { sub: "3", preferred_username: "nora", groups: ["guests"] });
  server = await Server.start({
    config: (origin) => `
base_url = "${origin}"
[oidc]
issuer = "${provider.issuer}"
client_id = "${provider.clientId}"
client_secret = "${provider.clientSecret}"
label = "Example ID"
roles = { staff = "viewer", ops = "operator" }
`,
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
  await provider?.stop();
});

/** Opens a page, and logs in at the provider as one of its people. */
async function logIn(page, path, name) {
  await page.goto(server.origin + path);
  await page.locator("#log-in-with", { hasText: "Log in with Example ID" }).click();
  await page.waitForURL(`${provider.issuer}/authorize**`);
  await page.locator("input[name=name]").fill(name);
  await page.getByRole("button", { name: "Log in" }).click();
}

for (const javaScriptEnabled of [true, false]) {
  test(`a person logs in through the button and returns to the page, with JavaScript ${javaScriptEnabled ? "on" : "off"}`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await logIn(page, "/queues?q=de", "otto");
      await page.waitForURL(`${server.origin}/queues?q=de`);
      await page.goto(`${server.origin}/jobs/new?kind=echo`);
      await page.locator("#submit").waitFor();
      const me = await (await page.request.get(`${server.origin}/api/v1/me`)).json();
      assert.deepEqual([me.actor, me.role], [{ user: "otto@example.com" }, "operator"]);
      const cookies = (await page.context().cookies()).filter(({ name }) => name.includes("oidc"));
      assert.deepEqual(cookies, [], "nothing of the login is left");
    }));
}

test("a viewer sees the pages of a viewer", () =>
  withPage(browser, {}, async (page) => {
    await logIn(page, "/", "vera");
    await page.waitForURL(`${server.origin}/`);
    const answer = await page.goto(`${server.origin}/jobs/new`);
    assert.equal(answer.status(), 403);
    const retry = await page.request.post(`${server.origin}/api/v1/queues/default/pause`, { headers: { origin: server.origin } });
    assert.equal(retry.status(), 403);
    assert.equal((await retry.json()).code, "forbidden");
  }));

test("logging out ends the session", () =>
  withPage(browser, {}, async (page) => {
    await logIn(page, "/", "vera");
    await page.waitForURL(`${server.origin}/`);
    await page.goto(`${server.origin}/login`);
    await page.locator("#log-out").click();
    await page.locator("#log-in-with").waitFor();
    assert.equal((await page.goto(`${server.origin}/jobs`)).status(), 401);
  }));

test("who has no role, or cancels, is told so and can try again", () =>
  withPage(browser, {}, async (page) => {
    await logIn(page, "/jobs", "nora");
    await page.getByText("no group of yours has access to this server").waitFor();
    await page.evaluate(axe.source);
    assert.deepEqual((await page.evaluate(() => globalThis.axe.run())).violations, []);
    await page.locator("#log-in-with").click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Example ID did not log you in").waitFor();
    await page.locator("#log-in-with").click();
    await page.locator("input[name=name]").fill("vera");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(`${server.origin}/jobs`);
  }));

test("while the provider is down, its button says so", () =>
  withPage(browser, {}, async (page) => {
    const other = await Server.start({
      config: (origin) => `base_url = "${origin}"\n[oidc]\nissuer = "http://127.0.0.1:1"\nclient_id = "x"\nclient_secret = "y"\ndefault_role = "viewer"\n`,
    });
    await page.goto(other.origin);
    await page.locator("#log-in-with").click();
    await page.getByText("OpenID Connect is not available at the moment").waitFor();
    await page.locator("#log-in").waitFor();
    await other.remove();
  }));
