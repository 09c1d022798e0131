// Cortado behind nginx and Caddy, configured exactly as docs/reverse-proxy.md shows: node --test proxy.mjs

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { PATIENCE_MS, launch, live, withPage } from "./page.mjs";
import { HOST, Proxy, shown } from "./proxies.mjs";
import { Server } from "./server.mjs";

const ORIGIN = `https://${HOST}`;
const JSON_TYPE = { "content-type": "application/json" };
const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };

/** Rejects when `fact` takes too long. */
function soon(what, fact) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(reject, PATIENCE_MS, new Error(`${what} did not arrive in time`))));
  return Promise.race([fact, late]).finally(() => clearTimeout(timer));
}

for (const [kind, language] of [["nginx", "nginx"], ["caddy", "caddyfile"]]) {
  for (const [place, which, base] of [["with a host of its own", 0, ""], ["under a path", 1, "/cortado"]]) {
    describe(`${kind}, ${place}`, () => {
      let browser;
      let folder;
      let proxy;
      let server;

      before(async () => {
        folder = await mkdtemp(path.join(tmpdir(), "cortado-proxied-"));
        const [settings] = await shown("toml");
        const config = path.join(folder, "cortado.toml");
        await writeFile(config, base ? settings : settings.replace(/^base_path.*$/m, ""));
        server = await Server.start({ flags: ["--config", config] });
        proxy = await Proxy.start(kind, (await shown(language))[which], server.port);
        browser = await launch([`--host-resolver-rules=MAP ${HOST}:443 127.0.0.1:${proxy.port}`]);
      });

      after(async () => {
        await browser?.close();
        await proxy?.remove();
        await server?.remove();
        if (folder) await rm(folder, { recursive: true, force: true });
      });

      const at = (rest) => `${base}/${rest}`;
      const visit = (work, options = {}) => withPage(browser, { ignoreHTTPSErrors: true, ...options }, work);
      const submit = async (job) => JSON.parse((await proxy.ask(at("api/v1/jobs"), { method: "POST", headers: JSON_TYPE, body: JSON.stringify(job) })).text);
      const socket = (query, origin = ORIGIN) => new WebSocket(`wss://127.0.0.1:${proxy.port}${at("api/v1/ws")}?${query}`, ["cortado.v1+json"], { rejectUnauthorized: false, servername: HOST, origin, headers: { host: HOST } });

      test("a page comes whole and live, and its row goes green without a reload", () =>
        visit(async (page) => {
          const astray = [];
          page.on("response", (answer) => (answer.status() >= 400 || !answer.url().startsWith(ORIGIN + at(""))) && astray.push(`${answer.status()} ${answer.url()}`));
          await server.post("/api/v1/queues/held/pause");
          const job = await submit({ kind: "echo", payload: 1, queue: "held" });
          await page.goto(ORIGIN + at("jobs"));
          await live(page);
          assert.ok(await page.evaluate(() => getComputedStyle(document.querySelector(".bar")).display === "grid"), "the style sheet is applied");
          await page.evaluate(() => (window.stillHere = true));
          await page.locator(`tr[data-job="${job.id}"] .badge.s-available`).waitFor();
          await server.post("/api/v1/queues/held/resume");
          await page.locator(`tr[data-job="${job.id}"] .badge.s-completed`).waitFor();
          assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
          assert.deepEqual(astray, []);
        }));

      test("a form is sent and answered below the path, and its command names the address people know", () =>
        visit(async (page) => {
          await page.goto(ORIGIN + at("jobs/new?kind=echo"));
          await page.locator("#submit").click();
          await page.waitForURL((url) => url.href.startsWith(`${ORIGIN}${at("jobs/")}`) && /[0-9a-f-]{36}$/.test(url.pathname));
          await page.locator("#head .badge.s-completed").waitFor();
          assert.match(await page.locator("#curl").textContent(), new RegExp(`^curl ${ORIGIN}${at("api/v1/jobs")} `));
        }));

      test("pages of this site may post, others may not", async () => {
        await submit({ kind: "echo", payload: 1, queue: "posted" });
        const post = (headers) => proxy.ask(at("queues/posted/pause"), { method: "POST", headers: { ...FORM_TYPE, ...headers }, body: "from=queues" });
        for (const own of [{ origin: ORIGIN }, { origin: ORIGIN, "sec-fetch-site": "same-origin" }]) {
          const answer = await post(own);
          assert.equal(answer.status, 303, answer.text);
          assert.ok(answer.headers.location.startsWith(at("queues")), answer.headers.location);
        }
        for (const foreign of [{ origin: "https://evil.example" }, { origin: "https://evil.example", "sec-fetch-site": "cross-site" }, { origin: `http://${HOST}:81` }]) {
          const answer = await post(foreign);
          assert.equal(answer.status, 403, answer.text);
          assert.equal(JSON.parse(answer.text).code, "cross_site");
        }
      });

      test("pages of this site may open sockets, others may not", async () => {
        const own = socket("");
        const [hello] = await soon("hello", new Promise((resolve, reject) => own.once("message", (...message) => resolve(message)).once("error", reject)));
        assert.equal(JSON.parse(hello).type, "hello");
        own.close();
        const foreign = socket("", "https://evil.example");
        const status = await soon("a refusal", new Promise((resolve, reject) => foreign.once("unexpected-response", (_, answer) => resolve(answer.statusCode)).once("open", () => reject(new Error("it was let in"))).once("error", () => {})));
        assert.equal(status, 403);
      });

      test("a server-sent event comes at once, not when a buffer is full", async () => {
        const stream = await soon("the stream", proxy.open(at("api/v1/events?type=job.enqueued"), { headers: { accept: "text/event-stream" } }));
        try {
          const lines = createInterface({ input: stream })[Symbol.asyncIterator]();
          const line = async (begin) => {
            for (;;) {
              const { value, done } = await lines.next();
              if (done) throw new Error("the stream ended");
              if (value.startsWith(begin)) return value.slice(begin.length);
            }
          };
          await soon("hello", line("event: hello"));
          await line("data: ");
          const job = await submit({ kind: "echo", payload: 1 });
          const event = JSON.parse(await soon("the event", line("data: ")));
          assert.deepEqual([event.type, event.job.id], ["job.enqueued", job.id]);
        } finally {
          stream.destroy();
        }
      });

      test("a followed log comes line by line", async () => {
        const job = await submit({ kind: "sleep", payload: { ms: 10_000, progress: true } });
        await server.until(job.id, "running");
        const stream = await soon("the log", proxy.open(at(`api/v1/jobs/${job.id}/log?follow`)));
        const lines = createInterface({ input: stream })[Symbol.asyncIterator]();
        const first = await soon("the first line", lines.next());
        assert.equal(first.done, false);
        await server.post(`/api/v1/jobs/${job.id}/cancel`);
        await soon("the end", (async () => {
          while (!(await lines.next()).done);
        })());
      });

      test("a poll waits for its event, and a submission for its end", async () => {
        const { cursor } = JSON.parse((await proxy.ask(at("api/v1/events"))).text);
        const poll = proxy.ask(at(`api/v1/events?type=job.completed&wait=20s&after=${cursor}`));
        const body = JSON.stringify({ kind: "sleep", payload: { ms: 200 } });
        const waited = await proxy.ask(at("api/v1/jobs?wait=20s"), { method: "POST", headers: JSON_TYPE, body });
        assert.equal(waited.status, 200, waited.text);
        const job = JSON.parse(waited.text);
        assert.equal(job.state, "completed");
        assert.equal(waited.headers.location, at(`api/v1/jobs/${job.id}`));
        const { events } = JSON.parse((await poll).text);
        assert.ok(events.some((event) => event.job.id === job.id), JSON.stringify(events));
      });

      test("what Cortado takes the proxy lets through", async () => {
        const big = { kind: "echo", payload: "x".repeat(900_000), queue: "big" };
        const post = (jobs) => proxy.ask(at("api/v1/jobs"), { method: "POST", headers: JSON_TYPE, body: JSON.stringify(jobs) });
        assert.equal((await post([big, big])).status, 202);
        if (kind === "nginx") assert.equal((await post([big, big, big])).status, 413);
      });

      test("a stop is told to sockets and streams, and pages come back by themselves after it", () =>
        visit(async (page) => {
          await page.goto(ORIGIN + at(""));
          await live(page);
          await page.evaluate(() => (window.stillHere = true));
          const listener = socket("");
          const told = [];
          listener.on("message", (message) => told.push(JSON.parse(message).type));
          await soon("hello", new Promise((resolve) => listener.once("message", resolve)));
          const closed = new Promise((resolve) => listener.once("close", resolve));
          const stream = await proxy.open(at("api/v1/events"), { headers: { accept: "text/event-stream" } });
          let text = "";
          stream.on("data", (data) => (text += data));
          const ended = new Promise((resolve) => stream.once("close", resolve));
          await server.stop();
          assert.equal(await soon("the close frame", closed), 1001);
          assert.ok(told.includes("draining") && told.at(-1) === "bye", told.join());
          await soon("the end of the stream", ended);
          assert.match(text, /^event: bye$/m);
          await page.locator("#connection:not([data-state=live])").waitFor();

          const late = await page.context().newPage();
          const answer = await late.goto(ORIGIN + at("jobs"));
          assert.equal(answer.status(), 503);
          assert.equal(answer.headers()["retry-after"], "2");
          await late.getByText("Cortado does not answer.").waitFor();
          const post = await proxy.ask(at("jobs"), { method: "POST", headers: FORM_TYPE });
          assert.deepEqual([post.status, post.headers.refresh], [503, undefined]);

          await server.again();
          await live(page);
          assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
          await late.getByRole("heading", { name: "Jobs", exact: true }).waitFor();
          const job = await submit({ kind: "echo", payload: 1 });
          await page.locator(`tr[data-job="${job.id}"] .badge.s-completed`).waitFor();
        }));
    });
  }
}
