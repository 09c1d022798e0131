// The layout of every page in windows of 320 to 2,560 px, in forced colours too: node --test layout.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PATIENCE_MS, launch, live, withPage as withAnyPage } from "./page.mjs";
import { addUsers, loggedIn } from "./people.mjs";
import { Postgres } from "./postgres.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
/** The state of a browser in which somebody with a long name is logged in, who may see everything. */
let storageState;
const name = "anna.with-a-rather-long-name@department.example.org";
const withPage = (browser, options, work) => withAnyPage(browser, { storageState, ...options }, work);
const paths = ["/", "/?range=6h", "/jobs", "/jobs?q=nothing", "/jobs?state=discarded&queue=webhooks&tag=nightly", "/jobs/bulk", "/jobs/new", "/jobs/new?kind=http", "/queues", "/queues/mail", "/queues?view=waits", "/kinds", "/kinds/echo?range=1h", "/find", "/wallboard", "/find?q=mail", "/failures", "/schedules", "/schedules/new", "/schedules/of/stock-check", "/timeline", "/workers", "/system", "/users", `/users/${name}`, "/tokens", "/account", "/audit", "/audit?by=wrong&type=queue.*", "/login", "/api", "/nowhere"];

/** The widths at which the layout changes, the usual ones, and many between them. */
const widths = [360, 390, 420, 760, 761, 768, 1024, 1040, 1041, 1110, 1111, 1180, 1181, 1280, 1359, 1420, 1421, 1440, 1500, 1501, 1899, 2560];
for (let width = 320; width < 2560; width += 60) widths.push(width);
widths.sort((a, b) => a - b);

before(async () => {
  server = await Server.start({ config: "[queues.mail]\nconcurrency = 2\n" });
  const tags = ["nightly", "customer=42", "a-rather-long-tag-for-a-phone"];
  const long = "connection refused: could not reach smtp.example.com:587 after 3 attempts ".repeat(4);
  const jobs = await Promise.all([
    server.submit({ kind: "fail", payload: { times: 9, message: long }, max_attempts: 1, queue: "webhooks", tags }),
    server.submit({ kind: "fail", payload: { times: 9 }, backoff: { base_ms: 3_600_000, cap_ms: 3_600_000 }, tags }),
    server.submit({ kind: "sleep", payload: { ms: 600_000 }, queue: "mail", tags }),
    server.submit({ kind: "echo", payload: { text: "x".repeat(300), list: [1, "two", null] }, tags }),
    server.submit({ kind: "echo", queue: "a-queue-with-the-longest-name-that-anyone-could-think-of-0123456" }),
    server.submit({ kind: "echo", delay_ms: 3_600_000 }),
    ...Array.from({ length: 3 }, () => server.submit({ kind: "sleep", payload: { ms: 600_000 }, queue: "mail" })),
    ...Array.from({ length: 12 }, (_, n) => server.submit({ kind: "echo", queue: `queue-${n}` })),
  ]);
  await server.until(jobs[0].id, "discarded");
  await server.until(jobs[1].id, "retryable");
  await server.until(jobs[2].id, "running");
  await server.until(jobs[3].id, "completed");
  for (const { id } of jobs.slice(0, 4)) paths.push(`/jobs/${id}`);
  const schedule = { cron: "*/5 8-18 * * 1-5", kind: "echo", zone: "America/Argentina/ComodRivadavia" };
  await fetch(`${server.origin}/api/v1/schedules/stock-check`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(schedule) });
  const { groups } = await (await fetch(`${server.origin}/api/v1/failures`)).json();
  for (const { id } of groups) paths.push(`/failures/${id}`);
  const run = await fetch(`${server.origin}/jobs/bulk/run`, { method: "POST", redirect: "manual", body: new URLSearchParams({ action: "cancel", scope: "matching", state: "completed" }) });
  paths.push(run.headers.get("location"));
  const names = ["mail", "webhooks", "a-queue-with-the-longest-name-that-anyone-could-think-of-0123456"];
  await addUsers(server, { [name]: "admin", bert: "viewer" });
  await server.post("/api/v1/tokens", { name: "continuous-integration", role: "submitter", queues: names, kinds: ["echo", "sleep"] });
  await server.post("/api/v1/queues/mail/rate_limit", { rate_limit: "100/1m" });
  storageState = await loggedIn(server, name);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Returns what is wrong with the layout of the open page. */
function faults() {
  const wrong = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push(`the page scrolls sideways: ${document.documentElement.scrollWidth}`);
  const nameOf = (element) => `${element.localName}${element.id ? `#${element.id}` : ""}.${[...element.classList].join(".")} "${element.textContent.trim().slice(0, 30)}"`;
  const isCut = (element) => getComputedStyle(element).overflowX !== "visible" || getComputedStyle(element).clipPath !== "none";
  // What a box cuts off or lets scroll cannot be outside of the window when the box is not.
  const check = (element) => {
    if (!element.checkVisibility({ visibilityProperty: true }) || element.matches(".skip, .quiet")) return;
    const box = element.getBoundingClientRect();
    if (box.width && box.height && (box.left < -0.5 || box.right > width + 0.5)) wrong.push(`${nameOf(element)} is at ${box.left} to ${box.right}`);
    if (!isCut(element)) for (const child of element.children) check(child);
  };
  check(document.body);
  // The wallboard has no navigation.
  for (const link of document.querySelectorAll("body:not([data-page=wallboard]) :is(nav[aria-label=Main] a, .right > .button, .right > details > summary, .foot a, .foot button:not([hidden]))")) {
    const box = link.getBoundingClientRect();
    if (link.scrollWidth > link.clientWidth && getComputedStyle(link).display !== "inline") wrong.push(`${nameOf(link)} is cut off`);
    if (!box.width) wrong.push(`${nameOf(link)} is not shown`);
    link.scrollIntoView({ block: "nearest" });
    const { x, y, width, height } = link.getBoundingClientRect();
    if (!link.contains(document.elementFromPoint(x + width / 2, y + height / 2))) wrong.push(`${nameOf(link)} is covered`);
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.checkVisibility()) continue;
    // The columns of the heat map are narrow, and the times above them are wider; kinds.mjs measures both.
    for (const cell of table.matches(".heat") ? [] : table.querySelectorAll("tr:first-child > *")) {
      if (cell.checkVisibility() && cell.textContent.trim() && cell.clientWidth < 24) wrong.push(`${nameOf(cell)} is ${cell.clientWidth} px wide`);
    }
    // Texts in the head are apart from each other, except from a cell under which the others scroll.
    const heads = [...table.querySelectorAll("thead th")].filter((cell) => cell.checkVisibility() && getComputedStyle(cell).position !== "sticky" && !cell.querySelector(".sr, .minor") && cell.innerText.trim());
    const texts = heads.map((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return { cell, box: range.getBoundingClientRect() };
    });
    for (const [at, { cell, box }] of texts.entries()) {
      const next = texts[at + 1];
      if (next && box.width && next.box.top < box.bottom && next.box.left - box.right < 10) wrong.push(`${nameOf(cell)} is ${Math.round(next.box.left - box.right)} px before ${nameOf(next.cell)}`);
    }
    for (const cell of table.querySelectorAll("tbody tr > :is(th, td):first-child, tbody .c-job")) {
      if (!cell.checkVisibility() || cell.matches(".c-pick")) continue;
      const readable = Math.min(cell.scrollWidth, 100);
      if (cell.clientWidth < readable) wrong.push(`${nameOf(cell)} is ${cell.clientWidth} px wide`);
    }
  }
  window.scrollTo(0, 0);
  return wrong;
}

/** Returns the share of the window's width that the boxes and texts of the main part cover. */
function covered() {
  const spans = [];
  const isDrawn = (style) => style.borderTopWidth !== "0px" || style.backgroundColor !== "rgba(0, 0, 0, 0)";
  for (const element of document.querySelectorAll("main *")) {
    if (!element.checkVisibility() || element.matches(".quiet")) continue;
    // A cell cuts off what is too long for it.
    const cell = (element.closest("td, th, section") ?? document.querySelector("main")).getBoundingClientRect();
    const range = document.createRange();
    const boxes = isDrawn(getComputedStyle(element)) ? [element.getBoundingClientRect()] : [];
    for (const text of [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim())) {
      range.selectNodeContents(text);
      boxes.push(...range.getClientRects());
    }
    for (const { left, right } of boxes) spans.push({ left: Math.max(left, cell.left), right: Math.min(right, cell.right) });
  }
  let [sum, end] = [0, 0];
  for (const { left, right } of spans.sort((a, b) => a.left - b.left)) {
    sum += Math.max(0, right - Math.max(left, end));
    end = Math.max(end, right);
  }
  return sum / innerWidth;
}

for (const javaScriptEnabled of [true, false]) {
  test(`every page fits windows of 320 to 2,560 px ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      const wrong = [];
      for (const path of paths) {
        await page.goto(server.origin + path);
        if (javaScriptEnabled && (await page.locator("body[data-cursor]").count())) await live(page);
        for (const width of javaScriptEnabled ? widths : [320, 360, 768, 1024, 1440, 2560]) {
          await page.setViewportSize({ width, height: 900 });
          for (const fault of await page.evaluate(faults)) wrong.push(`${path} at ${width} px: ${fault}`);
        }
        const share = await page.evaluate(covered);
        if (share < 0.75) wrong.push(`${path} covers ${Math.round(share * 100)} % of 2,560 px`);
      }
      assert.deepEqual(wrong, []);
    }));
}

test("the tables of nodes and of workers fit windows of 320 to 2,560 px", async () => {
  const postgres = await Postgres.start();
  const nodes = [];
  try {
    const names = ["one", "a-node-with-a-rather-long-name.eu-central-1.compute.example.org"];
    for (const [number, node] of names.entries()) {
      const config = `[queues.mail]\nconcurrency = ${number + 1}\n[engine]\nmax_running = 250000\n`;
      nodes.push(await Server.start({ flags: ["--store", postgres.url, "--node", node], config }));
    }
    const kinds = ["resize", "a-kind-with-a-rather-long-name", "third", "fourth", "fifth"];
    const about = { host: "worker-7.eu-central-1.compute.example.org", pid: 4_194_303, client: "cortado-python", version: "0.1.0", concurrency: 10_000 };
    for (const worker of ["a", "a-worker-with-a-rather-long-name.eu-central-1.compute.example.org"]) {
      await nodes[0].post(`/api/v1/workers/${worker}/claim`, { kinds, queues: ["default", "mail"], wait_ms: 0, about });
      for (let job = 0; job < 3; job++) await nodes[0].submit({ kind: kinds[1], payload: null });
      await nodes[0].post(`/api/v1/workers/${worker}/claim`, { kinds, max: 3, wait_ms: 0, about });
    }
    // The nodes have heard of each other's configuration.
    for (const end = Date.now() + PATIENCE_MS; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const { disagreements } = await (await fetch(`${nodes[0].origin}/api/v1/nodes`)).json();
      if (disagreements.length) break;
      assert.ok(Date.now() < end, "the nodes have not heard of each other");
    }
    await withAnyPage(browser, {}, async (page) => {
      const wrong = [];
      for (const path of ["/workers", "/system"]) {
        await page.goto(nodes[0].origin + path);
        await live(page);
        assert.equal(await page.locator(".held.nodes tbody tr").count(), 2);
        for (const width of widths) {
          await page.setViewportSize({ width, height: 900 });
          for (const fault of await page.evaluate(faults)) wrong.push(`${path} at ${width} px: ${fault}`);
        }
        const share = await page.evaluate(covered);
        if (share < 0.75) wrong.push(`${path} covers ${Math.round(share * 100)} % of 2,560 px`);
      }
      assert.deepEqual(wrong, []);
    });
  } finally {
    for (const node of nodes) await node.remove();
    await postgres.remove();
  }
});

// Without JavaScript, so that nothing renders again what the test has changed.
test("a list of jobs fits every window, however long ago they were", () =>
  withPage(browser, { javaScriptEnabled: false }, async (page) => {
    for (const path of ["/", "/jobs"]) {
      await page.goto(server.origin + path);
      await page.evaluate(() => document.querySelectorAll(".c-when time").forEach((time) => (time.textContent = "59 min ago")));
      for (const width of [320, 360, 480, 560, 768, 1024]) {
        await page.setViewportSize({ width, height: 900 });
        assert.deepEqual(await page.evaluate(faults), [], `${path} at ${width} px`);
      }
    }
  }));

// Without JavaScript, so that no event renders again what the test has changed.
test("a fault of the layout is seen", () =>
  withPage(browser, { javaScriptEnabled: false, viewport: { width: 768, height: 900 } }, async (page) => {
    await page.goto(server.origin);
    assert.deepEqual(await page.evaluate(faults), []);
    await page.evaluate(() => {
      document.querySelector("nav[aria-label=Main]").style.setProperty("margin-left", "400px");
      document.querySelector("nav[aria-label=Main]").style.setProperty("flex-wrap", "nowrap");
      document.querySelector(".insight thead tr").children[1].style.setProperty("width", "90%");
    });
    const wrong = (await page.evaluate(faults)).join("\n");
    for (const fault of ["sideways", '"Workers" is at', '"Queue" is']) assert.ok(wrong.includes(fault), `${fault}: ${wrong}`);
    await page.setViewportSize({ width: 2560, height: 900 });
    await page.reload();
    await page.evaluate(() => document.querySelector("main").style.setProperty("max-width", "1800px"));
    assert.ok((await page.evaluate(covered)) < 0.75);
  }));

test("a long state of the connection leaves room for everything else in the header", () =>
  withPage(browser, {}, async (page) => {
    await page.goto(server.origin);
    await live(page);
    for (const width of [320, 360, 768, 1024, 1181, 1280, 1440, 1501]) {
      await page.setViewportSize({ width, height: 900 });
      await page.evaluate(() => (document.getElementById("connection-text").textContent = "reconnecting in 12 s, and then again"));
      assert.deepEqual(await page.evaluate(faults), [], `at ${width} px`);
    }
  }));

/** Returns the colour of a point of an element, from its left edge and its middle. */
async function colourOf(page, selector, x, y = null) {
  const locator = page.locator(selector).first();
  await locator.scrollIntoViewIfNeeded();
  const box = await locator.boundingBox();
  const clip = { x: Math.floor(box.x + x), y: Math.floor(box.y + (y ?? box.height / 2)), width: 1, height: 1 };
  const picture = (await page.screenshot({ clip, animations: "disabled" })).toString("base64");
  return page.evaluate(async (picture) => {
    const image = new Image();
    image.src = `data:image/png;base64,${picture}`;
    await image.decode();
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.drawImage(image, 0, 0);
    return canvas.getImageData(0, 0, 1, 1).data.join();
  }, picture);
}

for (const colorScheme of ["light", "dark"]) {
  test(`in forced colours (${colorScheme}), what is current, pressed or coloured by data can be seen`, () =>
    withPage(browser, { forcedColors: "active", colorScheme }, async (page) => {
      const differ = async (...points) => {
        const colours = [];
        for (const point of points) colours.push(await colourOf(page, ...point));
        assert.equal(new Set(colours).size, points.length, `${JSON.stringify(points)} have the colours ${colours.join(" ")}`);
      };
      await page.goto(server.origin);
      await live(page);
      await differ(["nav [aria-current]", 3], ['nav[aria-label=Main] a:not([aria-current])', 3]);
      await differ([".key-completed .swatch", 4], [".key-failed .swatch", 4], [".chart figcaption", 1, 1]);
      await differ([".chip .dot", 4], [".bar", 1]);
      await differ(["tr .badge.s-completed", 12], ["tr .badge.s-completed", 4]);
      await page.keyboard.press("p");
      await page.locator("#connection[data-state=paused]").waitFor();
      await differ(["#hold-updates", 3], [".bar", 1]);
      await page.goto(`${server.origin}/jobs`);
      await differ(["tr .badge.s-completed", 12], ["tr .badge.s-discarded", 12]);
      await differ([".tab[aria-current]", 4], [".tab:not([aria-current])", 4]);
      await page.goto(`${server.origin}${paths.find((path) => /^\/jobs\/[0-9a-f-]{36}$/.test(path))}`);
      await differ([".total", 4], ["#life figcaption", 1, 1]);
      await differ([".timeline li:last-child", 4, 11], [".timeline li:last-child", 4, 1]);
    }));
}
