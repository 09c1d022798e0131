// Helpers of the page tests: a fresh page for each test, and waits for conditions.

import assert from "node:assert/strict";
import path from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { program, root } from "./programs.mjs";
import { SERVER_LOG, serverLogs } from "./server.mjs";

export const PATIENCE_MS = 20_000;

/** Starts the browser; `args` are additional flags. */
export const launch = (args = []) => chromium.launch({ args, executablePath: program("chromium") });

/** Adds the URL of the page, a screenshot and the logs of the servers to the error of a failed test. */
async function explained(error, page) {
  const picture = path.join(root, "target/screenshots", `${process.pid}-${Date.now()}.png`);
  const screenshot = await page.screenshot({ path: picture, timeout: 5_000 }).then(() => picture, (failure) => `not taken, ${failure.message}`);
  const logs = error.message.includes(SERVER_LOG) ? "" : serverLogs();
  const failure = new Error(`${error.message}\nthe page was at ${page.url()}\nscreenshot: ${screenshot}\n${logs}`);
  const frames = error.stack.split("\n").filter((line) => line.startsWith("    at "));
  failure.stack = `${failure.name}: ${failure.message}\n${frames.join("\n")}`;
  return failure;
}

/** Runs `work` with a fresh page. Errors and policy violations in its console fail the test. */
export async function withPage(browser, options, work) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (line) => line.text().includes("Content Security Policy") && complaints.push(line.text()));
  try {
    await work(page);
    assert.deepEqual(complaints, []);
  } catch (error) {
    const failure = await explained(error, page);
    // Chromium may hang while closing a page that is navigating, which must not hide the failure.
    let timer;
    const given = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE_MS)));
    await Promise.race([context.close(), given]).finally(() => clearTimeout(timer));
    throw failure;
  }
  await context.close();
}

export const live = (page) => page.locator("#connection[data-state=live]").waitFor();

/** Tells the page that the network is back, as a browser does, so that it reconnects at once instead of after its pause. */
export const networkIsBack = (page) => page.evaluate(() => dispatchEvent(new Event("online")));

/** Waits until a function in the page returns a true value. */
export const until = (page, fact, argument) => page.waitForFunction(fact, argument);

/** Holds back a script of the page until the returned function is called. */
export async function late(page, script) {
  let come;
  const coming = new Promise((resolve) => (come = resolve));
  await page.route(`**/${script}`, (route) => coming.then(() => route.continue()));
  return come;
}

/** Records every layout shift from now on, with the elements that moved. */
export const watchShifts = (page) =>
  page.addInitScript(() => {
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const moved = entry.sources.map(({ node, previousRect, currentRect }) => `${node?.id || node?.className || node?.nodeName || "?"}: ${JSON.stringify(previousRect)} to ${JSON.stringify(currentRect)}`);
        if (!entry.hadRecentInput) globalThis.shifts.push(`${entry.value.toFixed(4)}: ${moved.join("; ")}`);
      }
    }).observe({ type: "layout-shift", buffered: true });
  });

/** The rules of accessibility that axe finds violated on the page, each with its element and how to mend it. */
export async function axeViolations(page, what = page.url()) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${what}: ${id}: ${node.html}: ${node.failureSummary}`));
}
