// Prints a table of Lighthouse's scores for the most used pages, or for those that are given:
//   npm run lighthouse            with CORTADO_BIN=target/release/cortado
//   npm run lighthouse -- /kinds "/find?q=e"

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import lighthouse from "lighthouse";
import { program } from "./programs.mjs";
import { Server, freePort } from "./server.mjs";

const CATEGORIES = ["accessibility", "best-practices", "performance"];
const server = await Server.start({ flags: ["--demo"], grace: "1s" });
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Runs `work` with the port of a browser of its own, because one that has been measured for long stops answering. */
async function withBrowser(work) {
  const port = await freePort();
  const profile = await mkdtemp(path.join(tmpdir(), "cortado-lighthouse-"));
  const chromium = spawn(program("chromium"), [...flags, `--remote-debugging-port=${port}`, `--user-data-dir=${profile}`, "about:blank"], { stdio: "ignore" });
  const ended = new Promise((resolve) => chromium.once("exit", resolve));
  const isUp = () => fetch(`http://127.0.0.1:${port}/json/version`).then(() => true, () => false);
  try {
    while (!(await isUp())) await sleep(100);
    return await work(port);
  } finally {
    chromium.kill();
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

// Lighthouse goes on asking for a while whether a page that it has closed is idle.
process.on("unhandledRejection", (error) => {
  if (!/Session closed/.test(error.message)) throw error;
});
await sleep(10_000); // until the demo shows every state

try {
  const { jobs } = await (await fetch(`${server.origin}/api/v1/jobs?state=completed&limit=1`)).json();
  const all = ["/", "/jobs", `/jobs/${jobs[0].id}`, "/jobs/new", "/queues", "/queues?view=waits", "/kinds", "/kinds/echo", "/find?q=e", "/failures", "/schedules", "/schedules/new", "/timeline", "/workers", "/system", "/api"];
  const pages = process.argv.length > 2 ? process.argv.slice(2) : all;
  console.log("| page | accessibility | best practices | performance | first contentful paint |\n|---|---|---|---|---|");
  for (const page of pages) {
    const { lhr } = await withBrowser((port) => lighthouse(server.origin + page, { port, onlyCategories: CATEGORIES, formFactor: "desktop", screenEmulation: { disabled: true }, throttlingMethod: "provided", logLevel: "error" }));
    const scores = CATEGORIES.map((name) => Math.round(lhr.categories[name].score * 100));
    console.log(`| ${page.replace(/[0-9a-f-]{36}/, "{id}")} | ${scores.join(" | ")} | ${Math.round(lhr.audits["first-contentful-paint"].numericValue)} ms |`);
    for (const name of CATEGORIES) {
      const lost = lhr.categories[name].auditRefs.filter(({ id, weight }) => weight > 0 && lhr.audits[id].score !== null && lhr.audits[id].score < 1);
      for (const { id } of lost) console.log(`  lost: ${id}: ${lhr.audits[id].title} ${lhr.audits[id].displayValue ?? ""}`);
    }
  }
} finally {
  await server.remove();
}
