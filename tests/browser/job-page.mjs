// What the page of a job shows of its life, its texts and the actions on it: node --test job-page.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, live, until, withPage } from "./page.mjs";
import { Server } from "./server.mjs";

/** What the program of a test writes: escapes, hidden characters, and what only looks like an escape. */
const LINES = ["gr\\u00fc\\u00df", "\\ud83e\\udd80", "lone \\ud83e", "a\\\\u00e4", "\u202eevil\u200b", "\u001b[31mred", "C:\\users\\x", "\\u000a\\u202e"];

let browser;
let server;

before(async () => {
  const script = LINES.map((line) => `printf '%s\\n' '${line}'`).join("; ");
  server = await Server.start({ config: `[commands.lines]\nprogram = "/bin/sh"\nargs = ["-c", ${JSON.stringify(script)}]\n` });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const WIDTHS = [320, 360, 768, 1024, 1440, 2560];
const address = (job) => `${server.origin}/jobs/${job.id}`;
const badge = (page, state) => page.locator(`#head .badge.s-${state}`);
const off = { javaScriptEnabled: false };
const FAILS_60 = { kind: "fail", payload: { times: 60, message: "connection refused\n".repeat(40) }, max_attempts: 60, backoff: { base_ms: 10, cap_ms: 10 } };

/** Runs a job, retries it after a while, and waits for its second end. */
async function retriedJob(idleMs) {
  const job = await server.submit({ kind: "sleep", payload: { ms: 600 } });
  const { finished_at: end } = await server.until(job.id, "completed");
  while (Date.now() < Date.parse(end) + idleMs) await new Promise((resolve) => setTimeout(resolve, 50));
  await server.post(`/api/v1/jobs/${job.id}/retry`);
  for (;;) {
    const now = await (await fetch(`${server.origin}/api/v1/jobs/${job.id}`)).json();
    if (now.state === "completed" && now.finished_at !== end) return job;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const segments = (page) =>
  page.locator(".lifetime-bar rect").evaluateAll((rects) => rects.map((rect) => ({ name: rect.classList[0], ms: Number(rect.dataset.ms), width: Number(rect.getAttribute("width")), pixels: rect.getBoundingClientRect().width, title: rect.textContent })));

test("the list of attempts fits into every width", async () => {
  const job = await server.submit({ kind: "fail", payload: { times: 3, message: "connection refused" }, max_attempts: 3, backoff: { base_ms: 10, cap_ms: 10 } });
  await server.until(job.id, "discarded");
  await withPage(browser, off, async (page) => {
    await page.goto(address(job));
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      // The arrow at the end of a line belongs to it, so a line that is too narrow for it overflows.
      const lines = await page.locator(".attempt-line:not(.axis)").evaluateAll((lines) => lines.map((line) => [line.scrollWidth, line.clientWidth]));
      assert.equal(lines.length, 3);
      for (const [needed, given] of lines) assert.ok(needed <= given, `${width} px: a line needs ${needed} of ${given} px`);
      // The longest outcome leaves room before the duration.
      const room = await page.locator(".attempt-line:not(.axis)").first().evaluate((line) => {
        line.querySelector(".badge").textContent = "interrupted";
        return line.querySelector(".attempt-took").getBoundingClientRect().left - line.querySelector(".badge").getBoundingClientRect().right;
      });
      assert.ok(room >= 4, `${width} px: ${room} px between outcome and duration`);
    }
  });
});

describe("the lifetime bar", () => {
  test("segments are as long as their time, a short wait is a thin line, and idle time is a break", async () => {
    const job = await retriedJob(2_000);
    await withPage(browser, off, async (page) => {
      await page.goto(address(job));
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const shown = await segments(page);
        assert.deepEqual(shown.map(({ name }) => name), ["p-queued", "p-completed", "p-idle", "p-queued", "p-completed"]);
        assert.match(shown[2].title, /^finished, idle for 2(\.\d)? s \(not to scale\)$/);
        const bar = await page.locator(".lifetime-bar").evaluate((svg) => svg.getBoundingClientRect().width);
        const timed = shown.filter(({ name }) => name !== "p-idle");
        const whole = timed.reduce((sum, { ms }) => sum + ms, 0);
        for (const { ms, pixels, name } of timed) {
          const want = (ms / whole) * bar * 0.98;
          assert.ok(Math.abs(pixels - want) <= 3, `${name} of ${ms} ms has ${pixels} px instead of ${want} at ${width} px`);
        }
        assert.ok(shown[2].pixels < bar * 0.05);
      }
    });
  });

  for (const [name, options] of [["light", { colorScheme: "light" }], ["dark", { colorScheme: "dark" }], ["forced colours", { forcedColors: "active" }]]) {
    test(`the legend has the colours of the segments: ${name}`, async () => {
      const retried = await retriedJob(100);
      const failed = await server.submit({ kind: "fail", payload: { times: 9 }, max_attempts: 3, backoff: { base_ms: 50, cap_ms: 50 } });
      const running = await server.submit({ kind: "sleep", payload: { ms: 600_000 } });
      await server.until(failed.id, "discarded");
      await server.until(running.id, "running");
      await withPage(browser, options, async (page) => {
        for (const job of [retried, failed, running]) {
          await page.goto(address(job));
          const { rects, legend } = await page.evaluate(() => {
            const colours = (selector, read) => Object.fromEntries([...document.querySelectorAll(selector)].map((it) => [[...it.classList].find((name) => name.startsWith("p-")), read(it)]));
            return {
              rects: colours(".lifetime-bar rect", (rect) => getComputedStyle(rect).fill),
              legend: colours(".total", (entry) => getComputedStyle(entry, "::before").backgroundColor),
            };
          });
          assert.deepEqual(legend, rects);
          assert.ok(Object.keys(rects).length >= 2);
          assert.equal(new Set(Object.values(rects)).size, Object.keys(rects).length, "two phases have one colour");
        }
      });
      await server.post(`/api/v1/jobs/${running.id}/cancel`);
    });
  }

  test("the bar of a running job grows as the server draws it", () =>
    withPage(browser, {}, async (page) => {
      const queue = "grows";
      await server.post(`/api/v1/queues/${queue}/pause`);
      const job = await server.submit({ kind: "sleep", payload: { ms: 600_000 }, queue });
      await page.goto(address(job));
      await live(page);
      await until(page, () => document.querySelector(".life-totals time").textContent === "2 s");
      await server.post(`/api/v1/queues/${queue}/resume`);
      await page.locator(".lifetime-bar .p-running").waitFor({ state: "attached" });
      const queued = () => page.locator(".lifetime-bar .p-queued").evaluate((rect) => Number(rect.getAttribute("width")));
      const first = await queued();
      await until(page, (width) => Number(document.querySelector(".lifetime-bar .p-queued").getAttribute("width")) < width / 2, first);
      const fresh = await page.evaluate(async () => new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html").querySelector(".lifetime-bar .p-queued").getAttribute("width"));
      const shown = await queued();
      // The server drew it at most a second after the page.
      assert.ok(Number(fresh) <= shown + 50 && Number(fresh) > shown * 0.6, `${fresh}, ${shown}`);
      await server.post(`/api/v1/jobs/${job.id}/cancel`);
      await badge(page, "cancelled").waitFor();
    }));
});

describe("texts of a job", () => {
  const payload = '{"gr\\u00fc\\u00df": "\\ud83e\\udd80 \\u202e\\u200b", "\\u4f60\\u597d": ["\\u0022"]}';
  const submitRaw = async () => {
    const answer = await fetch(`${server.origin}/api/v1/jobs`, { method: "POST", headers: { "content-type": "application/json" }, body: `{"kind": "echo", "payload": ${payload}}` });
    return answer.json();
  };

  for (const javaScriptEnabled of [true, false]) {
    test(`escapes are decoded, hidden characters are marked, and raw is one click away ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        const job = await submitRaw();
        await server.until(job.id, "completed");
        await page.goto(address(job));
        for (const box of ["section[aria-labelledby=payload-title] .json", "#result .json"]) {
          const text = await page.locator(box).first().textContent();
          assert.equal(text, '{\n  "grüß": "🦀 \\u202e\\u200b",\n  "你好": [\n    "\\""\n  ]\n}');
          assert.deepEqual(await page.locator(box).first().locator(".j-mark").allTextContents(), ["\\u202e\\u200b"]);
        }
        await page.getByRole("link", { name: "show raw" }).first().click();
        await page.waitForURL(/\?raw=1#payload-title$/);
        const raw = await page.locator("section[aria-labelledby=payload-title] .json").first().textContent();
        assert.deepEqual(JSON.parse(raw), JSON.parse(payload));
        assert.match(raw, /gr\\u00fc\\u00df/);
        await page.getByRole("link", { name: "decode escapes" }).first().click();
        await page.waitForURL(/\/jobs\/[0-9a-f-]+#payload-title$/);
      }));
  }

  test("log lines that arrive later are decoded as the server decodes them", () =>
    withPage(browser, {}, async (page) => {
      const queue = "log-text";
      await server.post(`/api/v1/queues/${queue}/pause`);
      const job = await server.submit({ kind: "command", payload: { name: "lines" }, queue });
      await page.goto(address(job));
      await live(page);
      await server.post(`/api/v1/queues/${queue}/resume`);
      await page.locator("#log li").nth(LINES.length - 1).waitFor();
      await badge(page, "completed").waitFor();
      await page.locator("#log-raw").waitFor();
      const html = () => page.locator("#log .text").evaluateAll((texts) => texts.map((text) => text.innerHTML));
      const arrived = await html();
      assert.deepEqual(arrived.slice(0, 3), ["grüß", "🦀", "lone \\ud83e"]);
      assert.equal(arrived[4], '<span class="j-mark">\\u202e</span>evil<span class="j-mark">\\u200b</span>');
      await page.reload();
      assert.deepEqual(arrived, await html());
    }));

  test("a long line of JSON continues at its own indent, and a copy of the text is the text", () =>
    withPage(browser, {}, async (page) => {
      const deep = { a: { b: { c: { d: { text: "word ".repeat(200) } } } } };
      const job = await server.submit({ kind: "echo", payload: deep });
      await page.goto(address(job));
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        for (const box of ["section[aria-labelledby=payload-title] .json", "#curl"]) {
          const { lefts, first } = await page.locator(box).first().evaluate((pre) => {
            const line = [...pre.querySelectorAll(".line")].find((line) => line.textContent.includes("word word"));
            const range = document.createRange();
            range.selectNodeContents(line);
            const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
            let node = walker.nextNode();
            while (!/\S/.test(node.data)) node = walker.nextNode();
            const head = document.createRange();
            head.setStart(node, node.data.search(/\S/));
            head.setEnd(node, node.data.search(/\S/) + 1);
            return { lefts: [...range.getClientRects()].filter((rect) => rect.width > 20).map((rect) => rect.left), first: head.getBoundingClientRect().left };
          });
          const wrapped = lefts.slice(1);
          assert.ok(wrapped.some((left) => left > first), `${box} does not wrap at ${width} px`);
          assert.ok(wrapped.every((left) => left >= first - 1 || left === lefts[0]), `${box} at ${width} px: ${lefts}, ${first}`);
        }
      }
      const copied = await page.locator("section[aria-labelledby=payload-title] .json").first().evaluate((pre) => {
        getSelection().selectAllChildren(pre);
        return getSelection().toString();
      });
      assert.equal(copied.trim(), JSON.stringify(deep, null, 2));
    }));
});

describe("long histories", () => {
  let job;
  before(async () => {
    job = await server.submit(FAILS_60);
    await server.until(job.id, "discarded");
  });

  for (const javaScriptEnabled of [true, false]) {
    test(`60 failed attempts fit a page, and all are one click away ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        await page.goto(address(job));
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          const { height, wide, clipped } = await page.evaluate(() => ({
            height: document.documentElement.scrollHeight,
            wide: document.getElementById("main").scrollWidth,
            clipped: document.getElementById("attempts").scrollHeight - document.getElementById("attempts").clientHeight,
          }));
          assert.ok(wide <= width, `${wide} px wide at ${width}`);
          assert.ok(height < 4_500, `${height} px high at ${width}`);
          assert.equal(clipped, 0);
        }
        assert.equal(await page.locator("#attempts .attempt:visible").count(), 5);
        assert.equal(await page.locator("#attempts .failure pre:visible").count(), 1);
        assert.match(await page.locator("#attempts .failure pre:visible").textContent(), /^(connection refused\n){39}/);
        assert.equal(await page.locator("#timeline .line-error pre:visible").count(), 0);
        await page.locator("#timeline .line-error summary:visible").last().click();
        assert.equal(await page.locator("#timeline .line-error pre:visible").count(), 1);
        await page.getByText("Show all 60 attempts").click();
        assert.equal(await page.locator("#attempts .attempt:visible").count(), 60);
        await page.getByText("Show all 180 events").click();
        assert.equal(await page.locator("#timeline li:visible").count(), 180);
      }));
  }
});

describe("actions", () => {
  const cancelled = async (queue = "default") => {
    const job = await server.submit({ kind: "echo", payload: 1, delay_ms: 3_600_000, queue });
    await server.post(`/api/v1/jobs/${job.id}/cancel`);
    return job;
  };

  for (const javaScriptEnabled of [true, false]) {
    test(`the page after an action says what was done, once, and has the focus there ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
      withPage(browser, { javaScriptEnabled }, async (page) => {
        const flash = page.locator("#flash");
        const focused = () => page.evaluate(() => document.activeElement.id);
        await server.post("/api/v1/queues/held/pause"); // the retried job stays available, so the button is gone
        const job = await cancelled("held");
        await page.goto(address(job));
        await page.locator("#retry").press("Enter");
        await flash.getByText(/^Job echo .* was retried\. It is available again\.$/).waitFor();
        assert.equal(await focused(), "flash");
        await page.reload();
        await page.locator("#head").waitFor();
        assert.equal(await flash.count(), 0);
        const other = await cancelled();
        await page.goto(address(other));
        await page.locator("#ask-delete summary").click();
        await page.locator("#delete").click();
        await page.waitForURL(`${server.origin}/jobs`);
        await flash.getByText("was deleted with its log and history.").waitFor();
        assert.equal(await focused(), "flash");
        const later = await server.submit({ kind: "echo", payload: 1, delay_ms: 3_600_000 });
        await page.goto(address(later));
        await page.locator("#cancel").click();
        await flash.getByText("was cancelled.").waitFor();
      }));
  }

  test("a button in a list keeps the focus, and the message is read out", () =>
    withPage(browser, {}, async (page) => {
      const queue = "focus-kept";
      await server.submit({ kind: "echo", payload: 1, queue });
      await page.goto(`${server.origin}/queues`);
      await live(page);
      await page.locator(`#pause-${queue}`).press("Enter");
      await page.locator("#said").getByText(`Queue ${queue} was paused.`).waitFor({ state: "attached" });
      assert.equal(await page.evaluate(() => document.activeElement.id), `resume-${queue}`);
      await page.locator("#flash").waitFor();
    }));

  test("a page in another tab does not take the message away", () =>
    withPage(browser, {}, async (page) => {
      const job = await cancelled();
      const other = await page.context().newPage();
      await other.goto(address(job));
      await live(other);
      await page.goto(address(job));
      await page.locator("#retry").click();
      await page.locator("#flash").getByText("was retried").waitFor();
      await badge(other, "completed").waitFor();
      assert.equal(await other.locator("#flash").count(), 0);
    }));

  test("the end of a watched job is announced in words, in the title and in the icon", () =>
    withPage(browser, {}, async (page) => {
      for (const [life, words, mark, icon] of [
        [{ kind: "sleep", payload: { ms: 10 } }, /^Job completed after \d/, "✓ ", "favicon-done.svg"],
        [{ kind: "fail", payload: { times: 9 }, max_attempts: 1 }, /^Job discarded after \d/, "✗ ", "favicon-discarded.svg"],
      ]) {
        const queue = `watched-${life.kind}`;
        await server.post(`/api/v1/queues/${queue}/pause`);
        const job = await server.submit({ ...life, queue });
        await page.goto(address(job));
        await live(page);
        assert.equal(await page.locator("#said").textContent(), "");
        await server.post(`/api/v1/queues/${queue}/resume`);
        await page.locator("#said").getByText(words).waitFor({ state: "attached" });
        assert.ok((await page.title()).includes(mark), await page.title());
        assert.ok((await page.locator("link[rel=icon]").getAttribute("href")).endsWith(icon));
        await page.goto(address(job)); // a job that had ended before is not announced
        await live(page);
        assert.equal(await page.locator("#said").textContent(), "");
      }
    }));
});
