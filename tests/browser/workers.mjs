// The workers page with a worker in Python that comes, runs a job, is quieted and stops: node --test workers.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { launch, live, until, withPage } from "./page.mjs";
import { program, root } from "./programs.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
/** The workers that a failed test has left behind. */
const left = new Set();

before(async () => {
  server = await Server.start();
  browser = await launch();
});

after(async () => {
  for (const worker of left) worker.kill("SIGKILL");
  await browser?.close();
  await server?.remove();
});

/** Starts a worker in Python. Its handlers have a second to end when it stops. */
async function startWorker(name, transport = "websocket") {
  const file = path.join(root, "clients/python/tests/example_worker.py");
  const worker = spawn(program("python3"), [file, server.origin, name, transport, "1"], { stdio: ["ignore", "pipe", "inherit"] });
  left.add(worker);
  worker.ended = new Promise((resolve) => worker.once("exit", resolve)).finally(() => left.delete(worker));
  await new Promise((resolve, reject) => {
    createInterface({ input: worker.stdout }).once("line", resolve);
    worker.ended.then((code) => reject(new Error(`the worker has ended with ${code}`)));
  });
  return worker;
}

const workers = async (origin) => (await (await fetch(`${origin}/api/v1/workers`)).json()).workers;

/** Waits until the server says that a worker is in a state. */
async function untilState(name, state) {
  for (;;) {
    const worker = (await workers(server.origin)).find((worker) => worker.name === name);
    if (worker?.state === state) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What axe-core finds on the open page. */
async function violations(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary}`));
}

/** By how many pixels the open page is wider than its window. */
const tooWide = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

test("a worker appears, runs a job, is quieted, goes on and stops, and the open page shows it all", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(`${server.origin}/workers`);
    await live(page);
    await page.getByText("No workers in other processes.").waitFor();
    await page.evaluate(() => (globalThis.isSame = true));
    const worker = await startWorker("py-1");
    const row = page.locator("tr[data-worker=py-1]");
    await row.getByText("active", { exact: true }).waitFor();
    await row.getByText("py-until-stopped", { exact: true }).waitFor();
    assert.match(await row.locator("td").first().textContent(), new RegExp(`py-1 .* · process ${worker.pid} · .*python.* · WebSocket`));
    assert.equal(await page.locator(".no-remote").count(), 0);

    const job = await server.submit({ kind: "py-until-stopped", payload: {} });
    await server.until(job.id, "running");
    await row.locator(`a[href="jobs/${job.id}"]`).waitFor();
    await page.locator(`#attempts a[href="jobs/${job.id}"]`).waitFor();
    assert.deepEqual(await violations(page), []);
    assert.equal(await page.evaluate(() => globalThis.isSame), true, "the page was reloaded");

    // A button is a form, so the page is loaded again, and its counterpart has the focus.
    await page.locator("#quiet-py-1").click();
    await page.locator("#flash").getByText("Worker py-1 was quieted.").waitFor();
    await row.getByText("quiet", { exact: true }).waitFor();
    await until(page, () => document.activeElement.id === "resume-py-1");
    const waiting = await server.submit({ kind: "py-add", payload: { a: 1, b: 2 } });
    await live(page);
    assert.equal((await (await fetch(`${server.origin}/api/v1/jobs/${waiting.id}`)).json()).state, "available");
    // Another person resumes it.
    await page.evaluate(() => (globalThis.isSame = true));
    await server.post("/api/v1/workers/py-1/resume");
    await row.getByText("active", { exact: true }).waitFor();
    await server.until(waiting.id, "completed");
    assert.equal(await page.evaluate(() => globalThis.isSame), true, "the page was reloaded");

    await page.locator("#ask-stop-py-1 summary").click();
    await page.locator("#stop-py-1").click();
    await page.locator("#flash").getByText("Worker py-1 was told to stop.").waitFor();
    await live(page);
    assert.equal(await worker.ended, 0);
    await row.waitFor({ state: "detached" });
    await page.getByText("No workers in other processes.").waitFor();

    await page.goto(`${server.origin}/jobs/${job.id}`);
    await page.locator("#standing").getByText(/No worker for kind py-until-stopped is connected; the last one left \d+ s ago\./).waitFor();
    await page.getByRole("link", { name: "Workers for py-until-stopped" }).click();
    await page.getByText("Jobs of kind py-until-stopped wait until a worker that runs them connects.").waitFor();
  }));

/** Claims jobs as a worker over HTTP that is heard from only when a test says so. */
const claim = (server, name, fields) => server.post(`/api/v1/workers/${name}/claim`, { kinds: ["resize"], wait_ms: 0, ...fields });

test("a worker that falls silent is shown so by push, with the leases that will expire", () =>
  withPage(browser, {}, async (page) => {
    // The first claim makes the kind known.
    await claim(server, "http-1", { kinds: ["resize-slowly"], lease_ms: 600_000 });
    const job = await server.submit({ kind: "resize-slowly" });
    await claim(server, "http-1", { kinds: ["resize-slowly"], lease_ms: 600_000 });
    await page.goto(`${server.origin}/workers?q=http-1`);
    await live(page);
    const row = page.locator("tr[data-worker=http-1]");
    await row.getByText("in the last 10 min").waitFor();
    await row.locator(`a[href="jobs/${job.id}"]`).waitFor();
    assert.equal(await page.getByText("lease expires").count(), 0);
    await page.evaluate(() => (globalThis.isSame = true));
    await claim(server, "http-1", { kinds: ["resize-slowly"], lease_ms: 1_000 });
    await row.locator(".pill", { hasText: "silent" }).waitFor();
    await row.locator("[data-label='Last seen'] time").waitFor();
    await page.locator("#attempts tr", { hasText: "http-1" }).getByText(/lease expires in \d+ min/).waitFor();
    await page.locator("#totals").getByText("1 silent").waitFor();
    // It is heard from again.
    await claim(server, "http-1", { kinds: ["resize-slowly"], lease_ms: 600_000 });
    await row.locator(".pill", { hasText: "active" }).waitFor();
    assert.equal(await page.getByText("lease expires").count(), 0);
    assert.equal(await page.evaluate(() => globalThis.isSame), true, "the page was reloaded");
    await fetch(`${server.origin}/api/v1/workers/http-1`, { method: "DELETE" });
    await row.waitFor({ state: "detached" });
  }));

test("an open page asks the server for nothing while nothing changes", async () => {
  const still = await Server.start();
  await claim(still, "http-2", { lease_ms: 600_000 });
  await withPage(browser, {}, async (page) => {
    await page.clock.install();
    await page.goto(`${still.origin}/workers`);
    await live(page);
    await page.locator("tr[data-worker=http-2]").getByText("active", { exact: true }).waitFor();
    await page.waitForLoadState("networkidle");
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    // Time passes for the scripts of the page, but not so long that it misses the heartbeats of its stream.
    await page.clock.runFor(12_000);
    // A request after that shows that earlier ones would have been seen.
    await page.evaluate(() => fetch("readyz"));
    assert.deepEqual(asked, [`${still.origin}/readyz`]);
  });
  await still.remove();
});

test("a worker is quieted, resumed and stopped without JavaScript", () =>
  withPage(browser, { javaScriptEnabled: false }, async (page) => {
    const worker = await startWorker("py-2", "http");
    await untilState("py-2", "active");
    await page.goto(`${server.origin}/workers?q=py-2`);
    const row = page.locator("tr[data-worker=py-2]");
    await row.getByText("HTTP", { exact: false }).first().waitFor();
    await page.locator("#quiet-py-2").click();
    await page.getByText("Worker py-2 was quieted.").waitFor();
    await row.getByText("quiet", { exact: true }).waitFor();
    assert.equal(page.url(), `${server.origin}/workers?q=py-2`);
    await page.locator("#resume-py-2").click();
    await page.getByText("Worker py-2 was resumed.").waitFor();
    await row.getByText("active", { exact: true }).waitFor();
    await page.locator("#ask-stop-py-2 summary").click();
    await page.locator("#stop-py-2").click();
    await page.getByText("Worker py-2 was told to stop.").waitFor();
    assert.equal(await worker.ended, 0);
    await page.goto(`${server.origin}/workers?q=py-2`);
    await page.getByText("No workers match this filter.").waitFor();
  }));

describe("300 workers", () => {
  let many;
  const name = (n) => `worker-${String(n).padStart(3, "0")}@machine-with-a-long-name.example.org`;

  before(async () => {
    many = await Server.start();
    const about = { host: "machine-with-a-long-name.example.org", pid: 4711, client: "cortado-node", version: "0.1.0", concurrency: 20 };
    for (let n = 0; n < 300; n += 1) {
      const kinds = n === 0 ? Array.from({ length: 40 }, (_, at) => `kind-${at}-with-a-rather-long-name`) : ["resize", `kind-${n}`];
      const queues = n < 5 ? ["mail"] : ["images", "default"];
      await many.post(`/api/v1/workers/${name(n)}/claim`, { kinds, queues, max: 1, wait_ms: 0, lease_ms: 600_000, about });
    }
    await many.post(`/api/v1/workers/${name(250)}/quiet`);
    await many.post(`/api/v1/workers/${name(251)}/stop`);
    for (let n = 0; n < 6; n += 1) await many.submit({ kind: "resize", queue: "images" });
    await many.post(`/api/v1/workers/${name(7)}/claim`, { kinds: ["resize"], queues: ["images"], max: 5, wait_ms: 0, lease_ms: 600_000, about });
    await many.submit({ kind: "sleep", payload: { ms: 600_000 } });
  });

  after(() => many?.remove());

  const rows = (page) => page.locator("tr[data-worker]").evaluateAll((rows) => rows.map((row) => row.dataset.worker));

  for (const javaScriptEnabled of [true, false]) {
    test(`the list of workers is filtered and paged ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(`${many.origin}/workers`);
        const seen = await rows(page);
        assert.equal(seen.length, 100);
        assert.deepEqual(seen.slice(1, 4), [name(251), name(250), name(0)]);
        while (await page.locator(".pager [rel=next]").count()) {
          const next = await page.locator(".pager [rel=next]").getAttribute("href");
          await page.locator(".pager [rel=next]").click();
          await page.waitForURL(`${many.origin}/${next}`);
          seen.push(...(await rows(page)));
        }
        assert.equal(new Set(seen).size, 301);
        await page.goto(`${many.origin}/workers`);
        await page.locator("[name=q]").fill("Worker-00");
        await page.locator("[name=queue]").fill("mail");
        await page.locator("[name=queue]").press("Enter");
        await page.waitForURL(/queue=mail/);
        assert.deepEqual(await rows(page), [0, 1, 2, 3, 4].map(name));
        await page.goto(`${many.origin}/workers?show=running`);
        assert.deepEqual((await rows(page)).slice(1), [name(7)]);
      }));
  }

  test("the page is usable by everybody in windows of all widths, light and dark", async () => {
    for (const colorScheme of ["light", "dark"]) {
      await withPage(browser, { colorScheme, reducedMotion: "reduce" }, async (page) => {
        for (const width of [360, 768, 1024, 1440, 2560]) {
          await page.setViewportSize({ width, height: 900 });
          await page.goto(`${many.origin}/workers`);
          await live(page);
          assert.equal(await tooWide(page), 0, `${width} px`);
          const buttons = page.locator(`tr[data-worker="${name(250)}"] .row-actions`).locator("> form button, > details > summary");
          const [first, second] = await Promise.all([buttons.nth(0).boundingBox(), buttons.nth(1).boundingBox()]);
          assert.ok(first.x >= 0 && second.x + second.width <= width, `the buttons are at ${JSON.stringify([first, second])} of ${width}`);
          assert.equal(first.y, second.y, `the buttons are not side by side at ${width} px`);
        }
        await page.goto(`${many.origin}/workers?q=worker-00`);
        for (const width of [390, 1280]) {
          await page.setViewportSize({ width, height: 900 });
          assert.deepEqual(await violations(page), []);
        }
      });
    }
  });
});
