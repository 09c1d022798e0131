// Takes a screenshot of every page of a running demo server, in light and dark mode, at desktop and phone width:
//   node shots.mjs http://127.0.0.1:8080 [folder]
// With `--readme` it replaces the README's screenshots, docs/dashboard*.png, lanes.png and rewind.png.

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { launch } from "./page.mjs";
import { root } from "./programs.mjs";

const [origin = "http://127.0.0.1:8080", ...rest] = process.argv.slice(2);
const readme = rest.includes("--readme");
const folder = rest.find((word) => !word.startsWith("--")) ?? path.join(root, "target/shots");
const SIZES = { desk: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

/** Returns the path of the newest job in a state, or `null` when there is none. */
async function jobIn(page, state) {
  await page.goto(`${origin}/jobs?state=${state}`);
  const link = page.locator(".job-link").first();
  return (await link.count()) ? `/${await link.getAttribute("href")}` : null;
}

const browser = await launch();
try {
  const scout = await browser.newPage();
  const pages = { home: "/", jobs: "/jobs", discarded: "/jobs?state=discarded", none: "/jobs?queue=nowhere", new: "/jobs/new", queues: "/queues", waits: "/queues?view=waits", kinds: "/kinds", kind: "/kinds/charge-card?range=1h", failures: "/failures", schedules: "/schedules", "schedule-new": "/schedules/new", schedule: "/schedules/of/sync-inventory", timeline: "/timeline", workers: "/workers", system: "/system", missing: "/jobs/none" };
  for (const state of ["running", "retryable", "completed", "discarded", "scheduled"]) {
    const address = await jobIn(scout, state);
    if (address) pages[`job-${state}`] = address;
  }
  await scout.close();
  if (readme) {
    await mkdir(path.join(root, "docs"), { recursive: true });
    for (const [name, width, height, colorScheme] of [["", 1280, 1000, "light"], ["-dark", 1280, 1000, "dark"], ["-phone", 390, 844, "light"]]) {
      const page = await browser.newPage({ viewport: { width, height }, colorScheme });
      await page.goto(origin);
      await page.locator("#connection[data-state=live]").waitFor();
      await page.screenshot({ path: path.join(root, `docs/dashboard${name}.png`) });
      await page.close();
    }
    const past = new Date(Date.now() - 30_000).toISOString();
    for (const [name, address] of [["lanes", "/timeline"], ["rewind", `/?at=${past}`]]) {
      const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
      await page.goto(origin + address);
      // The attempts of the last minute fill the axis.
      if (name === "lanes") await page.locator("#connection[data-state=live]").waitFor();
      await page.screenshot({ path: path.join(root, `docs/${name}.png`) });
      await page.close();
    }
  } else {
    await mkdir(folder, { recursive: true });
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await browser.newPage({ viewport, colorScheme });
        for (const [name, address] of Object.entries(pages)) {
          await page.goto(origin + address);
          await page.screenshot({ path: path.join(folder, `${name}-${size}-${colorScheme}.png`), fullPage: true });
        }
        await page.close();
      }
    }
    console.log(`screenshots of ${Object.keys(pages).length} pages are in ${folder}`);
  }
} finally {
  await browser.close();
}
