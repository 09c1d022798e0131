// The job list: search, filter chips, keyboard, a selection that survives updates, bulk runs: node --test jobs.mjs

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { PATIENCE_MS, axeViolations, launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const WAITS = { delay_ms: 3_600_000 };
const PHONE = { viewport: { width: 360, height: 740 } };

let browser;
let server;
let folder;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "cortado-jobs-"));
  const config = path.join(folder, "cortado.toml");
  // The steps are small, so that even a search through few jobs takes several.
  await writeFile(config, "[store]\nsearch_step = 40\n");
  server = await Server.start({ flags: ["--config", config] });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
  await rm(folder, { recursive: true, force: true });
});

const row = (page, id) => page.locator(`tr[data-job="${id}"]`);
const box = (page, id) => row(page, id).locator("input[name=id]");
const ids = (page) => page.locator("#list tbody tr").evaluateAll((rows) => rows.map((row) => row.dataset.job));
/** Waits until the list has the rows of a whole page, which this server finds in several steps. */
const full = (page) => until(page, () => document.querySelectorAll("#list tbody tr").length >= 50);
const mark = (page) => page.evaluate(() => (window.stillHere = true));
const assertNotReloaded = async (page) => assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
const search = (page, queue, words) => page.goto(`${server.origin}/jobs?queue=${queue}&q=${encodeURIComponent(words)}`);

/** Submits waiting jobs to a queue of their own and returns their ids, newest first. */
async function waiting(queue, count, payload = (n) => ({ n })) {
  const jobs = Array.from({ length: count }, (_, n) => ({ kind: "echo", queue, payload: payload(n), ...WAITS }));
  const answer = await (await server.post("/api/v1/jobs", jobs)).json();
  return answer.jobs.map((job) => job.id).reverse();
}

/** Waits for the end of a bulk run and returns its report. */
async function over(id) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const run = await (await fetch(`${server.origin}/api/v1/bulk/${id}`)).json();
    if (run.state !== "running") return run;
  }
  throw new Error(`bulk run ${id} does not end`);
}

/** Submits a job, followed by more jobs than the search examines in two steps. */
async function buried(queue) {
  const [id] = await waiting(queue, 1, () => ({ treasure: { chest: 7 } }));
  await waiting(queue, 100);
  return id;
}

for (const [script, javaScriptEnabled] of [["with JavaScript", true], ["without JavaScript", false]]) {
  describe(script, () => {
    const options = { javaScriptEnabled };

    test("a search finds a value of a payload, and a chip removes each filter", () =>
      withPage(browser, options, async (page) => {
        const queue = `find-${javaScriptEnabled}`;
        const all = await waiting(queue, 6, (n) => ({ user: { id: n } }));
        await page.goto(`${server.origin}/jobs`);
        await page.locator("#q").fill(`queue:${queue} payload.user.id:4`);
        await page.locator("#q").press("Enter");
        await page.waitForURL(/q=/);
        assert.deepEqual(await ids(page), [all[1]]);
        assert.equal(await page.locator("#find input[name=queue]").inputValue(), queue);
        await page.locator("a.filter-chip", { hasText: "payload.user.id:4" }).click();
        await page.waitForURL((url) => !url.search.includes("q="));
        assert.deepEqual(await ids(page), all);
      }));

    test("a search that means nothing says what would", () =>
      withPage(browser, options, async (page) => {
        await page.goto(`${server.origin}/jobs`);
        await page.locator("#q").fill("colour:red");
        await page.locator("#q").press("Enter");
        await page.locator("#problems", { hasText: "payload.NAME" }).waitFor();
        assert.equal(await page.locator("#q").inputValue(), "colour:red");
      }));

    test("the selection is asked about, acted on and reported", () =>
      withPage(browser, options, async (page) => {
        const queue = `pick-${javaScriptEnabled}`;
        const all = await waiting(queue, 4);
        await page.goto(`${server.origin}/jobs?queue=${queue}`);
        await box(page, all[0]).check();
        await box(page, all[2]).check();
        await page.locator("#bulk button[value=cancel]").click();
        await page.locator("h1", { hasText: "Cancel 2 jobs?" }).waitFor();
        assert.deepEqual(await page.locator("tr[data-job]").evaluateAll((rows) => rows.map((row) => row.dataset.job)), [all[0], all[2]]);
        await page.locator("#go").click();
        await page.waitForURL(/\/jobs\/bulk\/[0-9a-f-]{36}/);
        if (!javaScriptEnabled) {
          await over(new URL(page.url()).pathname.split("/").at(-1));
          await page.reload();
        }
        await page.locator(".badge.s-completed", { hasText: "finished" }).waitFor();
        assert.equal(await page.locator("#run-done").textContent(), "2");
        await server.until(all[2], "cancelled");
        await server.until(all[1], "scheduled");
      }));

    test("everything that matches is moved, and what was not is told with its reason", () =>
      withPage(browser, options, async (page) => {
        const queue = `move-${javaScriptEnabled}`;
        const all = await waiting(queue, 70);
        await server.post(`/api/v1/jobs/${all[5]}/cancel`);
        await page.goto(`${server.origin}/jobs?queue=${queue}`);
        if (javaScriptEnabled) await page.locator("#list input[name=id]").first().check(); // shows the actions
        await page.locator("#scope").selectOption("matching");
        await page.locator("#bulk button[value=move]").click();
        await page.locator("h1", { hasText: "Move 70 jobs?" }).waitFor();
        await page.locator("#to-queue").fill(`${queue}-new`);
        await page.locator("#go").click();
        await page.waitForURL(/\/jobs\/bulk\/[0-9a-f-]{36}/);
        if (!javaScriptEnabled) {
          await over(new URL(page.url()).pathname.split("/").at(-1));
          await page.reload();
        }
        await page.locator(".badge.s-completed", { hasText: "finished" }).waitFor();
        assert.equal(await page.locator("#run-done").textContent(), "69");
        await page.locator(".refusals", { hasText: "1 because a cancelled job cannot be moved" }).waitFor();
        await page.locator(`.refusals a[href="jobs/${all[5]}"]`).waitFor();
      }));

    test("nothing of it is wider than a phone of 360 px", () =>
      withPage(browser, { ...options, ...PHONE }, async (page) => {
        const queue = `phone-${javaScriptEnabled}`;
        const [id] = await waiting(queue, 3);
        const run = await (await server.post("/api/v1/bulk", { action: "cancel", ids: [id, id] })).json();
        const long = encodeURIComponent(`payload.${"a".repeat(60)}:${"b".repeat(60)}`);
        const fits = async () => {
          const width = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(width <= 360, `${page.url()} is ${width} px wide`);
        };
        for (const address of [`/jobs?queue=${queue}`, `/jobs?q=${long}&since=1h`, "/jobs?q=x:y", `/jobs/bulk/${run.id}`, "/jobs/bulk"]) {
          await page.goto(server.origin + address);
          await fits();
        }
        await page.goto(`${server.origin}/jobs?queue=${queue}`);
        if (javaScriptEnabled) await page.locator("#list input[name=id]").first().check(); // shows the actions
        await page.locator("#scope").selectOption("matching");
        await page.locator("#bulk button[value=reprioritise]").click();
        await page.locator("#to-priority").waitFor();
        await fits();
      }));
  });
}

describe("with JavaScript only", () => {
  test("the selection, the focus and the place outlive updates and new jobs", () =>
    withPage(browser, {}, async (page) => {
      const queue = "outlive";
      const all = await waiting(queue, 5);
      await page.goto(`${server.origin}/jobs?queue=${queue}`);
      await live(page);
      await mark(page);
      await box(page, all[1]).check();
      await row(page, all[3]).locator(".job-link").focus();
      const top = () => row(page, all[1]).evaluate((element) => element.getBoundingClientRect().top);
      const before = await top();
      await server.post(`/api/v1/jobs/${all[1]}/cancel`);
      await row(page, all[1]).locator(".badge.s-cancelled").waitFor();
      const [newest] = await waiting(queue, 1);
      await page.locator("#news").waitFor();
      assert.equal(await top(), before, "the rows moved");
      assert.equal(await page.evaluate(() => document.activeElement.closest("tr")?.dataset.job), all[3]);
      assert.equal(await box(page, all[1]).isChecked(), true);
      await page.locator("#news").click();
      await row(page, newest).waitFor();
      assert.deepEqual(await ids(page), [newest, ...all]);
      assert.equal(await box(page, all[1]).isChecked(), true);
      assert.match(await page.locator("#scope-selected").textContent(), /^1 selected$/);
      await assertNotReloaded(page);
    }));

  test("jobs that the list shows already are not announced as new when their events come late", () =>
    withPage(browser, {}, async (page) => {
      const queue = "late";
      let held = [];
      let deliver = (message) => message;
      await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => {
        const server = socket.connectToServer();
        deliver = (message) => (held ? held.push(message) : socket.send(message));
        server.onMessage((message) => deliver(message));
      });
      held = null;
      await page.goto(`${server.origin}/jobs?queue=${queue}`);
      await live(page);
      await waiting(queue, 1);
      await page.locator("#news").waitFor();
      held = []; // the page is slow and receives no messages for now
      await waiting(queue, 120);
      await page.locator("#news").click();
      await until(page, () => document.querySelectorAll("#list tbody tr").length > 1);
      assert.equal(await page.locator("#news").isVisible(), false);
      const late = held;
      held = null;
      for (const message of late) deliver(message);
      const [newest] = await waiting(queue, 1);
      await page.locator("#news").waitFor();
      assert.equal(await page.locator("#news-count").textContent(), "1");
      await page.locator("#news").click();
      await row(page, newest).waitFor();
    }));

  test("new jobs are added to the newest page in order, and can be selected and opened", () =>
    withPage(browser, {}, async (page) => {
      await waiting("added", 60);
      await page.goto(`${server.origin}/jobs`);
      await live(page);
      await full(page);
      await mark(page);
      for (const width of [320, 360, 768, 1024, 1440, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        const before = await ids(page);
        const [newest, older] = await waiting("added", 2);
        await row(page, newest).waitFor();
        assert.deepEqual(await ids(page), [newest, older, ...before].slice(0, 50));
        assert.equal(await page.locator("#news").isVisible(), false);
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} px`);
        const next = new URL(await page.locator("#pager [rel=next]").getAttribute("href"), server.origin);
        assert.equal(next.searchParams.get("after"), (await ids(page)).at(-1), "the next page goes on behind the last row");
      }
      const [newest] = await ids(page);
      assert.equal(await row(page, newest).locator("input").getAttribute("aria-label"), `Select echo ${newest.slice(-8)}`);
      assert.deepEqual(await axeViolations(page), []);
      await box(page, newest).check();
      await page.locator("#scope-selected", { hasText: "1 selected" }).waitFor({ state: "attached" });
      await server.post(`/api/v1/jobs/${newest}/cancel`);
      await row(page, newest).locator(".badge.s-cancelled").waitFor();
      await assertNotReloaded(page);
    }));

  /** What a reader does with the rows, and how it ends. */
  const USES = {
    "the pointer is on a row": [(page) => page.locator("#list tbody tr").first().hover(), (page) => page.mouse.move(1, 1)],
    "a row has the focus": [(page) => page.locator(".job-link").first().focus(), (page) => page.evaluate(() => document.activeElement.blur())],
    "a job is selected": [(page) => page.locator("#list input[name=id]").first().focus().then(() => page.keyboard.press("Space")), (page) => page.keyboard.press("Space").then(() => page.evaluate(() => document.activeElement.blur()))],
    "a bulk action is being chosen": [(page) => page.locator("#list input[name=id]").first().check().then(() => page.locator("#scope").focus()), (page) => page.locator("#clear-selection").click().then(() => page.evaluate(() => document.activeElement.blur())).then(() => page.mouse.move(1, 1))],
    "the page is scrolled down": [(page) => page.evaluate(() => scrollTo(0, 300)), (page) => page.evaluate(() => scrollTo(0, 0))],
    "text is marked": [(page) => page.evaluate(() => getSelection().selectAllChildren(document.querySelector("#list tbody"))), (page) => page.evaluate(() => getSelection().removeAllRanges())],
    "a dialog is open": [(page) => page.keyboard.press("?").then(() => page.locator("#keys[open]").waitFor()), (page) => page.keyboard.press("Escape").then(() => page.evaluate(() => scrollTo(0, 0)))],
  };

  test("new jobs wait behind a button while somebody uses the rows", () =>
    withPage(browser, {}, async (page) => {
      await waiting("used", 60);
      await page.goto(`${server.origin}/jobs`);
      await live(page);
      await full(page);
      for (const [use, [begin, end]] of Object.entries(USES)) {
        await page.mouse.move(1, 1);
        await begin(page);
        const before = await ids(page);
        const [newest] = await waiting("used", 1);
        await page.locator("#news", { hasText: /^1 new job · show$/ }).waitFor();
        assert.deepEqual(await ids(page), before, `${use}: the rows moved`);
        await end(page);
        await row(page, newest).waitFor();
        assert.equal(await page.locator("#news").isVisible(), false, use);
      }
    }));

  test("a filtered list and a burst leave new jobs behind the button", () =>
    withPage(browser, {}, async (page) => {
      const all = await waiting("narrow", 3);
      await page.goto(`${server.origin}/jobs?queue=narrow`);
      await live(page);
      const [newest, second] = await waiting("narrow", 2);
      await page.locator("#news", { hasText: /^2 new jobs · show$/ }).waitFor();
      assert.deepEqual(await ids(page), all);
      await page.locator("#news").click();
      await row(page, newest).waitFor();
      assert.deepEqual(await ids(page), [newest, second, ...all]);
      await page.goto(`${server.origin}/jobs`);
      await live(page);
      await full(page);
      const before = await ids(page);
      // Updates are paused meanwhile, so that all jobs arrive at once however slow the machine is.
      await page.keyboard.press("p");
      const burst = await waiting("narrow", 45);
      await page.locator("#connection-text", { hasText: "paused, 45 new" }).waitFor();
      await page.keyboard.press("p");
      await page.locator("#news", { hasText: "45 new jobs · show" }).waitFor();
      assert.deepEqual(await ids(page), before);
      await page.locator("#news").click();
      await row(page, burst[0]).waitFor();
      assert.equal(await page.locator("#news").isVisible(), false);
    }));

  test("a moved job shows its new queue in its row", () =>
    withPage(browser, {}, async (page) => {
      const [id] = await waiting("here", 1);
      await page.goto(`${server.origin}/jobs?queue=here`);
      await live(page);
      await server.post(`/api/v1/jobs/${id}/move`, { queue: "there" });
      await row(page, id).locator("[data-f=queue]", { hasText: "there" }).waitFor();
    }));

  test("a search goes on by itself until it has found what there is", () =>
    withPage(browser, {}, async (page) => {
      const id = await buried("deep");
      await search(page, "deep", "payload.treasure.chest:7");
      await row(page, id).waitFor();
      await page.locator("#search-progress", { hasText: "Searched all" }).waitFor();
      assert.deepEqual(await ids(page), [id]);
      assert.equal(await page.locator("#search-stop").count(), 0);
      // Rows found by later steps behave like the others.
      await live(page);
      await server.post(`/api/v1/jobs/${id}/cancel`);
      await row(page, id).locator(".badge.s-cancelled").waitFor();
      await box(page, id).check();
      assert.equal(await page.locator("#bulk button[value=retry]").isEnabled(), true);
    }));

  test("a search that goes on can be stopped, and goes on when asked", () =>
    withPage(browser, {}, async (page) => {
      const id = await buried("stopped");
      // The next step is held back, so that there is time to stop the search.
      let let_go;
      const held = new Promise((resolve) => (let_go = resolve));
      await page.route(/seen=/, async (route) => {
        await held;
        await route.continue().catch(() => {}); // the page may have cancelled the request
      });
      await search(page, "stopped", "payload.treasure.chest:7");
      await page.locator("#search-stop").click();
      let_go();
      await page.locator("#search-more").waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.id), "search-more");
      assert.deepEqual(await ids(page), []);
      await page.unroute(/seen=/);
      await page.locator("#search-more").click();
      await row(page, id).waitFor();
    }));

  test("j and k walk, x selects, Enter opens, / searches", () =>
    withPage(browser, {}, async (page) => {
      const all = await waiting("keys", 4);
      await page.goto(`${server.origin}/jobs?queue=keys`);
      await live(page);
      for (const key of ["j", "j", "j", "k", "x"]) await page.keyboard.press(key);
      assert.equal(await box(page, all[1]).isChecked(), true);
      assert.equal(await page.evaluate(() => document.activeElement.closest("tr").dataset.job), all[1]);
      await page.keyboard.press("/");
      assert.equal(await page.evaluate(() => document.activeElement.id), "q");
      await page.keyboard.press("Escape");
      await page.keyboard.press("?");
      await page.locator("#keys-here", { hasText: "Select or deselect the job" }).waitFor();
      await page.keyboard.press("Escape");
      await page.keyboard.press("j");
      await page.keyboard.press("Enter");
      await page.waitForURL(new RegExp(`/jobs/${all[0]}`));
    }));

  test("suggestions go on from what is typed", () =>
    withPage(browser, {}, async (page) => {
      await waiting("suggested", 1);
      await page.goto(`${server.origin}/jobs`);
      await live(page);
      await page.locator("#q").pressSequentially("error:timeout qu");
      await until(page, () => [...document.getElementById("suggestions").options].some((option) => option.value === "error:timeout queue:suggested"));
    }));

  test("shift selects a stretch, and the box above all", () =>
    withPage(browser, {}, async (page) => {
      const all = await waiting("stretch", 6);
      await page.goto(`${server.origin}/jobs?queue=stretch`);
      await live(page);
      await box(page, all[1]).click();
      await box(page, all[4]).click({ modifiers: ["Shift"] });
      await page.locator("#scope-selected", { hasText: "4 selected" }).waitFor({ state: "attached" });
      await page.locator("#pick-all").check();
      await page.locator("#scope-selected", { hasText: "6 selected" }).waitFor({ state: "attached" });
    }));

  test("a bulk run shows its progress and can be stopped", () =>
    withPage(browser, {}, async (page) => {
      for (let n = 0; n < 60; n++) await waiting("many", 1000);
      const run = await (await server.post("/api/v1/bulk", { action: "reprioritise", priority: 3, filter: { queue: "many" } })).json();
      await page.goto(`${server.origin}/jobs/bulk/${run.id}`);
      await mark(page);
      await page.locator("#stop").click();
      await page.locator("#run:not([data-running])").waitFor();
      const { state, done } = await over(run.id);
      assert.equal(state, "stopped");
      assert.ok(done < 60_000, `${done} were done`);
      await page.locator(".notice", { hasText: "stopped manually" }).waitFor();
    }));
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
    test(`search, question and report are open to everybody: ${colorScheme}, ${size}`, () =>
      withPage(browser, { colorScheme, viewport, reducedMotion: "reduce" }, async (page) => {
        const queue = `axe-${colorScheme}-${size}`;
        const [id] = await waiting(queue, 3);
        await server.post(`/api/v1/jobs/${id}/cancel`);
        const run = await (await server.post("/api/v1/bulk", { action: "cancel", filter: { queue } })).json();
        await over(run.id);
        const sound = async () => {
          assert.deepEqual(await axeViolations(page), []);
        };
        for (const address of [`/jobs?queue=${queue}&q=n&since=1h`, "/jobs?q=x:y", `/jobs/bulk/${run.id}`, "/jobs/bulk"]) {
          await page.goto(server.origin + address);
          if (address.includes("since")) await page.locator(".search-help summary").click();
          await sound();
        }
        await page.goto(`${server.origin}/jobs?queue=${queue}`);
        await live(page);
        await box(page, id).check();
        await sound();
        await page.locator("#bulk button[value=move]").click();
        await page.locator("#to-queue").waitFor();
        await sound();
      }));
  }
}
