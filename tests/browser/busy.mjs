// Measures what a page costs the browser while the server is busy: opens home, the job list, the queues and the timeline on a server
// that runs about this many jobs a second, and prints the load of the main thread and the change of its memory.
//   npm run busy -- [jobs a second, 20000] [seconds, 60]          with CORTADO_BIN=target/release/cortado

import { setTimeout as sleep } from "node:timers/promises";
import { launch, live, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const [perSecond = 20_000, seconds = 60] = process.argv.slice(2).map(Number);
const BATCH = 1_000;
const PAGES = { home: "/", jobs: "/jobs", queues: "/queues", timeline: "/timeline" };

const server = await Server.start({ config: '[engine]\nconcurrency = 2000\n[retention]\ncompleted = { age = "1 day", count = 100000 }\nevents = { age = "1 day", count = 200000 }\n' });
const browser = await launch(["--enable-precise-memory-info", "--js-flags=--expose-gc"]);
let feeding = true;

/** Submits batches at the wanted rate, and returns the number of accepted jobs. */
async function feed() {
  const kinds = ["mail", "video", "reports", "default"];
  const body = JSON.stringify(Array.from({ length: BATCH }, (_, n) => ({ kind: "echo", queue: kinds[n % kinds.length], payload: { n } })));
  const begun = performance.now();
  let taken = 0;
  while (feeding) {
    const due = ((performance.now() - begun) / 1000) * perSecond;
    if (taken >= due) {
      await sleep(5);
      continue;
    }
    const answer = await fetch(`${server.origin}/api/v1/jobs`, { method: "POST", headers: { "content-type": "application/json" }, body });
    if (answer.status === 202) taken += BATCH;
    await answer.arrayBuffer();
  }
  return (taken / (performance.now() - begun)) * 1000;
}

/** Reads the main thread's busy time and the live heap of a page. */
async function look(page, session) {
  await page.evaluate(() => globalThis.gc());
  const { metrics } = await session.send("Performance.getMetrics");
  const of = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  return { at: of.Timestamp, busy: of.TaskDuration, heap: of.JSHeapUsedSize, nodes: of.Nodes };
}

try {
  console.log("| page | main thread busy | live heap, first → last | DOM nodes, first → last |\n|---|---|---|---|");
  let rate = 0;
  for (const [name, path] of Object.entries(PAGES)) {
    feeding = true;
    const fed = feed();
    await withPage(browser, {}, async (page) => {
      await page.goto(server.origin + path);
      await live(page);
      const session = await page.context().newCDPSession(page);
      await session.send("Performance.enable");
      await sleep(Math.min(5000, seconds * 100)); // until the load is steady
      const first = await look(page, session);
      await sleep(seconds * 1000);
      const last = await look(page, session);
      const busy = (100 * (last.busy - first.busy)) / (last.at - first.at);
      const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);
      console.log(`| ${name} | ${busy.toFixed(1)} % | ${mib(first.heap)} → ${mib(last.heap)} MiB | ${first.nodes} → ${last.nodes} |`);
    });
    feeding = false;
    rate = await fed;
  }
  console.log(`at ${Math.round(rate / 100) * 100} jobs a second, ${seconds} s a page; server, browser and load share the machine`);
} finally {
  await browser.close();
  await server.remove();
}
