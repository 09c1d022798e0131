// Checks every page with axe-core in light and dark mode, at desktop and phone width: node --test access.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeViolations, launch } from "./page.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
const paths = ["/", "/jobs", "/jobs?state=discarded", "/jobs?queue=none", "/jobs/new", "/system", "/queues", "/queues?q=default", "/queues?show=paused&q=none", "/queues?view=waits", "/kinds", "/kinds/echo", "/kinds/none", "/failures", "/timeline", "/wallboard", "/workers", "/schedules/new", "/schedules/of/none", "/jobs/bulk", "/jobs?q=colour:red", "/?range=6h", "/queues/none", "/failures/none", "/api", "/nowhere"];

before(async () => {
  server = await Server.start();
  browser = await launch();
  const tags = ["nightly", "customer=42"];
  const done = await server.submit({ kind: "echo", payload: { big: 12345678901234567890n.toString(), on: true, none: null }, tags });
  const dead = await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1 });
  const retryable = await server.submit({ kind: "fail", payload: { times: 9 }, backoff: { base_ms: 3_600_000, cap_ms: 3_600_000 } });
  const scheduled = await server.submit({ kind: "echo", payload: 1, delay_ms: 3_600_000 });
  const cancelled = await server.submit({ kind: "echo", payload: 1, delay_ms: 3_600_000 });
  await server.post(`/api/v1/jobs/${cancelled.id}/cancel`);
  const running = await server.submit({ kind: "sleep", payload: { ms: 600_000 }, queue: "slow" });
  await server.until(done.id, "completed");
  await server.until(dead.id, "discarded");
  await server.until(retryable.id, "retryable");
  await server.until(running.id, "running");
  await server.post("/api/v1/queues/slow/pause");
  paths.push("/queues/slow", "/queues/default", "/schedules");
  for (const [name, cron] of [["nightly", "30 2 * * *"], ["often", "every 15m"]]) {
    const body = JSON.stringify({ cron, kind: "echo" });
    await fetch(`${server.origin}/api/v1/schedules/${name}`, { method: "PUT", headers: { "content-type": "application/json" }, body });
  }
  await server.post("/api/v1/schedules/often/run");
  await server.post("/api/v1/schedules/often/pause");
  paths.push("/schedules/of/nightly", "/schedules/of/often");
  const { groups } = await (await fetch(`${server.origin}/api/v1/failures`)).json();
  assert.equal(groups.length, 1);
  for (const group of groups) paths.push(`/failures/${group.id}`);
  const run = await fetch(`${server.origin}/jobs/bulk/run`, { method: "POST", redirect: "manual", body: new URLSearchParams({ action: "cancel", scope: "matching", state: "completed" }) });
  paths.push(run.headers.get("location"));
  for (const job of [done, dead, retryable, scheduled, cancelled, running]) paths.push(`/jobs/${job.id}`);
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
    test(`every page is open to everybody: ${colorScheme}, ${size}`, async () => {
      const page = await browser.newPage({ colorScheme, viewport, reducedMotion: "reduce" });
      for (const path of paths) {
        await page.goto(server.origin + path);
        assert.deepEqual(await axeViolations(page), []);
      }
      await page.close();
    });
  }
}
