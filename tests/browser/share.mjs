// Share links in the browser: created by the button, opened without a login, live while the job runs, and ended when they
// are revoked: node --test share.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const TOKEN = "a-token-of-the-configuration-1234";
const WIDTHS = [320, 360, 768, 1024, 1440, 2560];

let browser;
let server;

before(async () => {
  server = await Server.start({ env: { CORTADO_AUTH_TOKEN: TOKEN } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const authorization = { authorization: `Bearer ${TOKEN}` };

async function api(method, path, body) {
  const answer = await fetch(server.origin + path, { method, headers: { ...authorization, "content-type": "application/json" }, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.status === 204 ? null : answer.json();
}

const submit = (job) => api("POST", "/api/v1/jobs", job);
const share = (body) => api("POST", "/api/v1/links", { expires_in: "1h", ...body });
const badge = (page, state) => page.locator(`#head .badge.s-${state}`);

const queue = (name, action) => api("POST", `/api/v1/queues/${name}/${action}`);

/** A job that sleeps for some milliseconds. */
const slow = (ms, more) => submit({ kind: "sleep", payload: { ms }, ...more });

/** Runs `work` with a page that is logged in. */
const asAdmin = (work) => withPage(browser, { extraHTTPHeaders: authorization }, work);

async function checked(page, what) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.flatMap(({ id, nodes }) => nodes.map((node) => `${what}: ${id}: ${node.html}: ${node.failureSummary}`)), []);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    const { scroll, client } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }));
    assert.ok(scroll <= client, `${what} scrolls sideways at ${width}: ${scroll} > ${client}`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}

/** Creates a link by the form on a page, and returns its address. */
async function createByForm(page, path, fill = async () => {}) {
  await page.goto(server.origin + path);
  await page.locator("#share summary").click();
  await fill();
  await page.locator("#create-link").click();
  await page.waitForURL(/\/links\/[0-9a-f]{16}$/);
  return (await page.locator("#link-url").textContent()).trim();
}

describe("a link to a job", () => {
  test("is created by the button, shows the job live without a login, and ends when it is revoked", () =>
    asAdmin(async (admin) => {
      // The queue is paused until the page is live, however long that takes.
      await queue("held", "pause");
      const job = await slow(4000, { queue: "held", tags: ["secret-tag"] });
      const other = await slow(1, { queue: "other" });
      const url = await createByForm(admin, `/jobs/${job.id}`);
      assert.match(url, new RegExp(`^${server.origin}/shared/[0-9a-f]{16}\\.[A-Za-z0-9_-]{43}$`));
      await checked(admin, "the page of the link");

      await withPage(browser, {}, async (page) => {
        const requests = [];
        page.on("request", (request) => requests.push(new URL(request.url()).pathname));
        await page.goto(url);
        await live(page);
        await page.evaluate(() => (window.stillHere = true));
        await queue("held", "resume");
        await badge(page, "running").waitFor();
        await badge(page, "completed").waitFor();
        await page.locator("#timeline").getByText("Attempt 1 succeeded").waitFor();
        assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");

        // Nothing leads out of it, and nothing else opens.
        const { pathname } = new URL(url);
        const links = await page.locator("a[href], form, link[href], script[src]").evaluateAll((all) => all.map((it) => new URL(it.href || it.action || it.src).pathname));
        assert.deepEqual(links.filter((path) => !path.startsWith(pathname) && !path.startsWith("/static/")), []);
        assert.equal(await page.locator("nav, form").count(), 0);
        assert.ok(!(await page.content()).includes("secret-tag"));
        assert.deepEqual(requests.filter((path) => !path.startsWith(pathname) && !path.startsWith("/static/")), []);
        for (const path of [`/jobs/${job.id}`, `/jobs/${other.id}`, "/", "/jobs", "/links", `/api/v1/jobs/${job.id}`, "/api/v1/events", "/api/v1/links"]) {
          const answer = await page.request.get(server.origin + path);
          assert.equal(answer.status(), 401, path);
        }
        await page.keyboard.press("g");
        await page.keyboard.press("h");
        assert.equal(page.url(), url, "no shortcut leads out of it");
        await checked(page, "the shared job");

        // Revoked by the button, it says so by itself.
        await live(page);
        await admin.locator("#revoke").click();
        await admin.locator("#flash", { hasText: "was revoked" }).waitFor();
        await page.locator("h1", { hasText: "This link has ended" }).waitFor();
        await checked(page, "the page of an ended link");
        assert.equal((await page.request.get(url)).status(), 404);
      });
    }));

  for (const blocked of ["WebSocket", "EventSource"]) {
    test(`is live and ends when it is revoked without ${blocked}`, () =>
      withPage(browser, {}, async (page) => {
        const job = await slow(3000);
        const { url, id } = await share({ job: job.id });
        await page.addInitScript((name) => {
          const fail = class {
            constructor() {
              setTimeout(() => (this.onclose ?? this.onerror)?.({}));
            }
            addEventListener() {}
            close() {}
          };
          globalThis.WebSocket = fail;
          if (name === "EventSource") globalThis.EventSource = fail;
        }, blocked);
        await page.goto(url);
        const name = blocked === "WebSocket" ? "server-sent events" : "polling";
        await page.locator("#connection-text", { hasText: `live (${name})` }).waitFor();
        await badge(page, "completed").waitFor();
        await api("DELETE", `/api/v1/links/${id}`);
        await page.locator("h1", { hasText: "This link has ended" }).waitFor();
      }));
  }

  test("shows the log as it grows, and offers it as a file", () =>
    withPage(browser, {}, async (page) => {
      const job = await submit({ kind: "fail", payload: { times: 2 }, backoff: { base_ms: 300, cap_ms: 300 }, delay_ms: 1000 });
      const { url } = await share({ job: job.id });
      await page.goto(url);
      await page.locator("#attempts .failure").nth(1).waitFor();
      await badge(page, "completed").waitFor();
      const file = await page.locator("a[download]").count();
      if (file) assert.equal((await page.request.get(await page.locator("a[download]").evaluate((it) => it.href))).status(), 200);
      assert.equal((await page.request.get(`${url}/log`)).status(), 200);
    }));

  test("hides the payload when its creator wants that", () =>
    asAdmin(async (admin) => {
      const job = await submit({ kind: "echo", payload: { customer: "secret-customer" }, delay_ms: 3_600_000 });
      const url = await createByForm(admin, `/jobs/${job.id}`, () => admin.locator("#share-payload").check());
      await withPage(browser, {}, async (page) => {
        await page.goto(url);
        await page.getByText("Not shown by this link.").waitFor();
        assert.ok(!(await page.content()).includes("secret-customer"));
      });
    }));

  test("works without JavaScript", () =>
    withPage(browser, { javaScriptEnabled: false }, async (page) => {
      const job = await slow(1);
      const { url, id } = await share({ job: job.id });
      await page.goto(url);
      await page.locator("#head h1", { hasText: "sleep" }).waitFor();
      await page.locator("#facts").waitFor();
      await api("DELETE", `/api/v1/links/${id}`);
      assert.equal((await page.goto(url)).status(), 404);
      await page.locator("h1", { hasText: "This link has ended" }).waitFor();
    }));
});

describe("a link to a queue", () => {
  test("shows its numbers and its newest jobs live, and nothing of the jobs", () =>
    asAdmin(async (admin) => {
      const queue = "orders";
      await slow(1, { queue });
      const url = await createByForm(admin, `/queues/${queue}`);
      await withPage(browser, {}, async (page) => {
        await page.goto(url);
        await live(page);
        await page.evaluate(() => (window.stillHere = true));
        const job = await slow(1500, { queue, tags: ["secret-tag"] });
        const row = page.locator("#newest tr", { hasText: job.id });
        await row.locator(".badge.s-running").waitFor();
        await row.locator(".badge.s-completed").waitFor();
        await until(page, () => document.querySelector(".card.s-completed .card-count").textContent === "2");
        await api("POST", `/api/v1/queues/${queue}/pause`);
        await page.locator("#head .pill.paused").waitFor();
        assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
        assert.equal(await page.locator("nav, form, main a").count(), 0);
        assert.ok(!(await page.content()).includes("secret-tag"));
        await checked(page, "the shared queue");
        await admin.goto(`${server.origin}/links`);
        await checked(admin, "the list of links");
        await admin.locator("tr", { hasText: `queue ${queue}` }).getByRole("button").click();
        await page.locator("h1", { hasText: "This link has ended" }).waitFor();
      });
    }));
});
