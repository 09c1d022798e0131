// The submit form: inputs of a kind, errors beside them, switching to JSON and back, a start in a time zone, and the
// command for a terminal, with and without JavaScript: node --test new-job.mjs

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { axeViolations, late, launch, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

const BIG = "12345678901234567890";
const run = promisify(execFile);
let browser;
let server;
let folder;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "cortado-new-job-"));
  const config = path.join(folder, "cortado.toml");
  await writeFile(config, '[commands.copy]\nprogram = "/bin/true"\nargs = ["{from}"]\n[commands.resize]\nprogram = "/bin/true"\n');
  server = await Server.start({ flags: ["--config", config] });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
  await rm(folder, { recursive: true, force: true });
});

const field = (page, name) => page.locator(`[name="payload.${name}"]:not([type=hidden])`);
const open = (page, query) => page.goto(`${server.origin}/jobs/new?${query}`);
const jobOf = async (id) => (await fetch(`${server.origin}/api/v1/jobs/${id}`)).text();
const curlSays = (page, text) => page.locator("#curl").filter({ hasText: text }).waitFor();

/** Submits the form and returns the job as the text of the API, so that no number is rounded. */
async function submit(page) {
  await page.locator("#submit").click();
  await page.waitForURL(/\/jobs\/[0-9a-f-]{36}/);
  return jobOf(new URL(page.url()).pathname.split("/").at(-1));
}

/** Returns the payload within the text of a job, without white space. */
function payloadIn(text) {
  const from = text.indexOf('"payload":') + '"payload":'.length;
  let depth = 0;
  let payload = "";
  for (const [token] of text.slice(from).matchAll(/"(?:[^"\\]|\\.)*"|\S/gs)) {
    payload += token;
    depth += "{[".includes(token) - "}]".includes(token);
    if (depth === 0) break;
  }
  return payload;
}

for (const [how, javaScriptEnabled] of [["with JavaScript", true], ["without JavaScript", false]]) {
  for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 360, height: 740 }]]) {
    describe(`${how}, ${size}`, () => {
      const options = { javaScriptEnabled, viewport };

      test("inputs make the job that they say, and what is empty is left out", () =>
        withPage(browser, options, async (page) => {
          await open(page, "kind=sleep");
          await field(page, "ms").fill("1");
          assert.equal(payloadIn(await submit(page)), '{"ms":1}');
          await open(page, "kind=sleep");
          await field(page, "ms").fill("2");
          await field(page, "progress").check();
          assert.equal(payloadIn(await submit(page)), '{"ms":2,"progress":true}');
          await open(page, "kind=command");
          await field(page, "name").selectOption("copy");
          await field(page, "args").fill(`{"from": ${BIG}}`);
          assert.equal(payloadIn(await submit(page)), `{"name":"copy","args":{"from":${BIG}}}`);
        }));

      test("what is wrong stands beside its field, which has the focus, and what was typed stays", () =>
        withPage(browser, options, async (page) => {
          await open(page, "kind=http");
          await field(page, "url").fill("nowhere");
          await field(page, "body").fill("{1}");
          await page.locator(".options summary").click();
          await page.locator("#priority").fill("high");
          await page.locator("#submit").click();
          await page.getByText("3 fields are marked below").waitFor();
          const url = field(page, "url");
          assert.equal(await url.inputValue(), "nowhere");
          assert.equal(await url.getAttribute("aria-invalid"), "true");
          const [, error] = (await url.getAttribute("aria-describedby")).split(" ");
          assert.match(await page.locator(`#${error}`).textContent(), /^Expected an address such as/);
          assert.equal(await field(page, "body").inputValue(), "{1}");
          assert.equal(await page.locator("#priority").inputValue(), "high");
          await page.locator('[name="payload.url"]:focus').waitFor();
          await url.fill("http://127.0.0.1:1/");
          await field(page, "body").fill("[1.0]");
          await page.locator("#priority").fill("3");
          assert.match(payloadIn(await submit(page)), /"body":\[1\.0\]/);
        }));

      test("fields become JSON and fields again, and nothing is lost", () =>
        withPage(browser, options, async (page) => {
          await open(page, "kind=sleep&tags=kept");
          await field(page, "ms").fill(BIG);
          await page.locator("#to-json").click();
          await page.locator("#payload").waitFor();
          assert.match(await page.locator("#payload").inputValue(), new RegExp(`"ms": ${BIG}`));
          await page.locator("#payload").fill(`{"ms": ${BIG}, "progress": true}`);
          await page.locator("#to-fields").click();
          await field(page, "progress").waitFor();
          assert.equal(await field(page, "ms").inputValue(), BIG);
          assert.ok(await field(page, "progress").isChecked());
          assert.equal(await page.locator("#tags").inputValue(), "kept");
          await page.locator("#to-json").click();
          await page.locator("#payload").fill('{"ms": 1, "more": 2}');
          await page.locator("#to-fields").click();
          await page.getByText("cannot show all of this payload").waitFor();
          assert.equal(await page.locator("#payload").inputValue(), '{"ms": 1, "more": 2}');
        }));

      test("another kind brings its fields, and the options stay", () =>
        withPage(browser, options, async (page) => {
          await open(page, "kind=sleep");
          await page.locator(".options summary").click();
          await page.locator("#tags").fill("kept, too");
          await page.locator("#kind").selectOption("http");
          if (!javaScriptEnabled) await page.locator("#show-fields").click();
          await field(page, "url").waitFor();
          assert.equal(await field(page, "ms").count(), 0);
          assert.equal(await page.locator("#tags").inputValue(), "kept, too");
          assert.match(await page.locator("#kind-about").textContent(), /HTTP/);
        }));

      test("a start at a time of day means that time in the zone that is told", () =>
        withPage(browser, options, async (page) => {
          await open(page, "kind=fail");
          await page.locator(".options summary").click();
          await page.locator('[name=when][value=at]').check();
          await page.locator("#at").fill("2031-07-01T08:30");
          await page.locator("#zone").fill("Asia/Tokyo");
          if (!javaScriptEnabled) await page.locator("#show-curl").click();
          await page.locator("#starts").filter({ hasText: /Not before 2031-06-30 (23:30:00|11:30:00 PM) UTC/ }).waitFor();
          assert.equal(JSON.parse(await submit(page)).run_at, "2031-06-30T23:30:00.000Z");
        }));

      test("the command for a terminal makes the same job", () =>
        withPage(browser, options, async (page) => {
          await open(page, "kind=fail");
          await field(page, "times").fill(BIG);
          await field(page, "message").fill("it's \"so\" $HOME\nand `so` \\");
          await page.locator(".options summary").click();
          await page.locator("#tags").fill("from, curl");
          await page.locator("#max_attempts").fill("1");
          await page.locator("[name=when][value=in]").check();
          await page.locator("#delay").fill("1h");
          if (!javaScriptEnabled) await page.locator("#show-curl").click();
          await curlSays(page, '"delay_ms": 3600000');
          const command = await page.locator("#curl").textContent();
          const { stdout } = await run("sh", ["-c", `${command} -s`]);
          const byCurl = await jobOf(JSON.parse(stdout).id);
          const byForm = await submit(page);
          const same = (text) => {
            const { queue, kind, priority, tags, max_attempts, timeout_ms, backoff } = JSON.parse(text);
            return { queue, kind, priority, tags, max_attempts, timeout_ms, backoff, payload: payloadIn(text) };
          };
          assert.deepEqual(same(byCurl), same(byForm));
          assert.match(payloadIn(byCurl), new RegExp(BIG));
        }));

      test("edit and run again fills the fields, and the page fits", () =>
        withPage(browser, options, async (page) => {
          const job = await server.submit({ kind: "sleep", payload: { progress: false, ms: 7 }, tags: ["again"] });
          await open(page, `from=${job.id}`);
          assert.equal(await field(page, "ms").inputValue(), "7");
          assert.ok(!(await field(page, "progress").isChecked()));
          const width = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(width <= viewport.width, `${width} px wide`);
          assert.equal(payloadIn(await submit(page)), '{"ms":7,"progress":false}');
        }));
    });
  }
}

describe("while somebody types", () => {
  test("the command follows, and says beforehand why it would be refused", () =>
    withPage(browser, {}, async (page) => {
      await open(page, "kind=sleep");
      await field(page, "ms").fill("4711");
      await curlSays(page, '"ms": 4711');
      await field(page, "ms").fill("x");
      await page.locator("#refusal").filter({ hasText: "Ms: expected a whole number" }).waitFor();
      await field(page, "ms").fill("5");
      await page.locator("#refusal").filter({ hasText: /^$/ }).waitFor({ state: "hidden" });
      await curlSays(page, '"ms": 5');
    }));

  test("Enter in a field submits, and does not turn the form to JSON", () =>
    withPage(browser, {}, async (page) => {
      await open(page, "kind=sleep");
      await field(page, "ms").fill("1");
      await field(page, "ms").press("Enter");
      await page.waitForURL(/\/jobs\/[0-9a-f-]{36}/);
    }));

  test("what was typed for a kind is there again when it is chosen again", () =>
    withPage(browser, {}, async (page) => {
      await open(page, "kind=sleep");
      await field(page, "ms").fill("4711");
      await page.locator("#kind").selectOption("echo");
      await page.locator("#payload").fill('{"mine": 1}');
      await page.locator("#kind").selectOption("sleep");
      await field(page, "ms").waitFor();
      assert.equal(await field(page, "ms").inputValue(), "4711");
      await curlSays(page, '"ms": 4711');
      await page.locator("#kind").selectOption("echo");
      await page.locator("#payload").waitFor();
      assert.equal(await page.locator("#payload").inputValue(), '{"mine": 1}');
      assert.match(await page.locator("#kind-about").textContent(), /payload/);
    }));

  test("the zone is the browser's own, and typing a time chooses it", () =>
    withPage(browser, { timezoneId: "America/New_York" }, async (page) => {
      await open(page, "kind=sleep");
      assert.equal(await page.locator("#zone").inputValue(), "America/New_York");
      await page.locator(".options summary").click();
      await page.locator("#delay").fill("5m");
      assert.ok(await page.locator("[name=when][value=in]").isChecked());
      await page.locator("#at").fill("2031-07-01T08:30");
      assert.ok(await page.locator("[name=when][value=at]").isChecked());
      await page.locator('#starts time[datetime="2031-07-01T12:30:00.000Z"]').first().waitFor();
      assert.equal(JSON.parse(await submit(page)).run_at, "2031-07-01T12:30:00.000Z");
    }));

  test("what was typed before the script came counts as what is typed after it", () =>
    withPage(browser, { timezoneId: "America/New_York" }, async (page) => {
      const come = await late(page, "new-job.js");
      await page.goto(`${server.origin}/jobs/new?kind=echo`, { waitUntil: "commit" });
      await page.locator("#kind").selectOption("sleep");
      await page.locator(".options summary").click();
      await page.locator("#zone").fill("Europe/Zurich");
      await page.locator("#at").fill("2031-07-01T08:30");
      come();
      await field(page, "ms").fill("1");
      await page.locator('#starts time[datetime="2031-07-01T06:30:00.000Z"]').first().waitFor();
      await curlSays(page, '"kind": "sleep"');
      assert.equal(await page.locator("#zone").inputValue(), "Europe/Zurich");
      assert.ok(await page.locator("[name=when][value=at]").isChecked());
    }));

  test("a zone that was asked for is not replaced by the browser's", () =>
    withPage(browser, { timezoneId: "America/New_York" }, async (page) => {
      await open(page, "kind=sleep&at=2031-07-01T08:30&zone=Europe/Zurich");
      assert.equal(await page.locator("#zone").inputValue(), "Europe/Zurich");
    }));

  test("a server that is gone is told, and typing goes on when it is back", () =>
    withPage(browser, {}, async (page) => {
      await open(page, "kind=sleep");
      await server.stop();
      await field(page, "ms").fill("1");
      await page.locator("#refusal").filter({ hasText: "cannot be reached" }).waitFor();
      await server.again();
      await field(page, "ms").fill("4712");
      await curlSays(page, '"ms": 4712');
    }));

  test("a payload stays when the same kind is chosen again, also while the form of another one is on its way", () =>
    withPage(browser, {}, async (page) => {
      await open(page, "kind=echo");
      let release;
      const held = new Promise((resolve) => (release = resolve));
      await page.route(/\/jobs\/new/, (route) => (route.request().postData()?.includes("kind=sleep") ? held.then(() => route.continue()) : route.continue()));
      const asked = page.waitForRequest((request) => request.postData()?.includes("kind=sleep"));
      const answered = page.waitForResponse((response) => response.request().postData()?.includes("kind=sleep"));
      await page.locator("#kind").selectOption("sleep");
      await asked;
      await page.locator("#kind").selectOption("echo");
      await page.locator("#payload").fill('{"cups": 2}');
      release();
      await answered;
      await curlSays(page, '"cups": 2');
      assert.equal(await page.locator("#payload").inputValue(), '{"cups": 2}');
      assert.equal(await page.locator("#kind").inputValue(), "echo");
    }));
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
    test(`the form is open to everybody: ${colorScheme}, ${size}`, () =>
      withPage(browser, { colorScheme, viewport, reducedMotion: "reduce" }, async (page) => {
        const look = async (what) => {
          assert.deepEqual(await axeViolations(page, what), []);
        };
        for (const query of ["kind=http", "kind=command", "kind=sleep&delay=5m", "kind=sleep&view=json", "kind=echo", "kind=none", "kind=sleep&payload=7"]) {
          await open(page, query);
          await look(query);
        }
        await open(page, "kind=http&payload.url=x&payload.body=%7B&at=2031-01-01T00:00&zone=Nowhere");
        await page.locator("#submit").click();
        await page.getByText("3 fields are marked below").waitFor();
        await look("with errors");
        await until(page, () => document.activeElement.name === "payload.url");
      }));
  }
}
