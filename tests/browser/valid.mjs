// Validates the HTML of every page: node --test valid.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HtmlValidate } from "html-validate";
import { addUsers } from "./people.mjs";
import { Server } from "./server.mjs";

/** Only the rules of the standard, without rules of style. */
const validator = new HtmlValidate({ extends: ["html-validate:standard"] });

let server;
const paths = ["/", "/?range=6h", "/jobs", "/jobs?q=nothing", "/jobs?q=colour:red", "/jobs?state=discarded", "/jobs/bulk", "/jobs/new", "/jobs/new?kind=http", "/jobs/new?kind=sleep&delay=5m", "/queues", "/queues?q=none&show=paused&page=9", "/queues/default", "/queues/none", "/queues?view=waits", "/kinds", "/kinds?q=none&x=1", "/kinds/echo", "/kinds/sleep?range=1h", "/kinds/fail", "/kinds/none", "/find", "/wallboard", "/find?q=none&x=1", "/failures", "/schedules", "/schedules/new", "/schedules/of/nightly", "/timeline", "/workers", "/system", "/users", "/users/anna", "/users/none", "/tokens", "/account", "/audit", "/audit?by=wrong", "/login", "/api", "/nowhere"];

before(async () => {
  server = await Server.start();
  const tags = ["nightly", "customer=42"];
  const jobs = [
    await server.submit({ kind: "echo", payload: { list: [1, "two", null], "<b>": "&amp;" }, tags }),
    await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 1 }),
    await server.submit({ kind: "fail", payload: { times: 9 }, backoff: { base_ms: 3_600_000, cap_ms: 3_600_000 } }),
    await server.submit({ kind: "echo", delay_ms: 3_600_000 }),
    await server.submit({ kind: "sleep", payload: { ms: 600_000 }, queue: "slow" }),
  ];
  await server.until(jobs[1].id, "discarded");
  await server.until(jobs[2].id, "retryable");
  await server.until(jobs[4].id, "running");
  for (const { id } of jobs) paths.push(`/jobs/${id}`);
  await fetch(`${server.origin}/api/v1/schedules/nightly`, { method: "PUT", headers: { "content-type": "application/json" }, body: '{"cron":"30 2 * * *","kind":"echo"}' });
  const { groups } = await (await fetch(`${server.origin}/api/v1/failures`)).json();
  for (const { id } of groups) paths.push(`/failures/${id}`);
  const run = await fetch(`${server.origin}/jobs/bulk/run`, { method: "POST", redirect: "manual", body: new URLSearchParams({ action: "cancel", scope: "matching", state: "completed" }) });
  paths.push(run.headers.get("location"));
  await addUsers(server, { anna: "admin" });
  await server.post("/api/v1/tokens", { name: "ci", role: "submitter", queues: ["slow"] });
  const links = await Promise.all([{ job: jobs[0].id }, { queue: "slow" }].map(async (subject) => (await server.post("/api/v1/links", { ...subject, expires_in: "1h" })).json()));
  paths.push("/links", `/links/${links[0].id}`, ...links.map(({ url }) => new URL(url).pathname), "/shared/nothing");
});

after(() => server?.remove());

test("what is not valid is seen", async () => {
  const { valid } = await validator.validateString('<!doctype html><html lang="en"><head><title>t</title></head><body><p><div id="a" id="b"></div></p></body></html>');
  assert.equal(valid, false);
});

test("every page is valid HTML", async () => {
  const wrong = [];
  for (const path of paths) {
    const html = await (await fetch(server.origin + path, { headers: { accept: "text/html", ...server.headers } })).text();
    const { results } = await validator.validateString(html);
    for (const { messages } of results) {
      for (const { ruleId, message, line } of messages) wrong.push(`${path}:${line} ${ruleId}: ${message}: ${html.split("\n")[line - 1].trim().slice(0, 160)}`);
    }
  }
  assert.deepEqual(wrong, []);
});
