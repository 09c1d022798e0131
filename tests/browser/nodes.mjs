// Two servers on one PostgreSQL behind nginx, configured exactly as docs/several-nodes.md shows: node --test nodes.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PATIENCE_MS, launch, live, withPage } from "./page.mjs";
import { Postgres } from "./postgres.mjs";
import { HOST, Proxy, shown } from "./proxies.mjs";
import { Server } from "./server.mjs";

const ORIGIN = `https://${HOST}`;
const JSON_TYPE = { "content-type": "application/json" };

describe("two nodes behind nginx", () => {
  let browser;
  let nodes = [];
  let postgres;
  let proxy;

  before(async () => {
    postgres = await Postgres.start();
    for (const name of ["one", "two"]) {
      const config = `base_url = "${ORIGIN}"\n[http]\ntrusted_proxies = ["127.0.0.1"]\n`;
      nodes.push(await Server.start({ flags: ["--store", postgres.url, "--node", name], config }));
    }
    const upstreams = nodes.map((node, number) => [`node-${number + 1}.example.com:8080`, node.port]);
    proxy = await Proxy.start("nginx", (await shown("nginx", "docs/several-nodes.md"))[0], upstreams);
    browser = await launch([`--host-resolver-rules=MAP ${HOST}:443 127.0.0.1:${proxy.port}`]);
  });

  after(async () => {
    await browser?.close();
    await proxy?.remove();
    for (const node of nodes) await node.remove();
    await postgres?.remove();
  });

  /** Posts something as a client does, which tries again while nginx takes both nodes for dead. */
  const post = async (where, body) => {
    const headers = body ? JSON_TYPE : { "content-length": "0" };
    for (const end = Date.now() + PATIENCE_MS; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const answer = await proxy.ask(where, { method: "POST", headers, body: body && JSON.stringify(body) });
      if (answer.status < 300) return answer.text;
      assert.ok(answer.status === 502 && Date.now() < end, answer.text);
    }
  };
  const submit = async (queue) => JSON.parse(await post("/api/v1/jobs", { kind: "echo", payload: 1, queue }));

  for (const ends of ["stop", "kill"]) {
    test(`a page stays live when either node ends (${ends})`, () =>
      withPage(browser, { ignoreHTTPSErrors: true }, async (page) => {
        await page.goto(`${ORIGIN}/jobs`);
        await live(page);
        await page.evaluate(() => (window.stillHere = true));
        for (const node of nodes) {
          // A job of before, whose change the page sees afterwards.
          const held = `held-${ends}-${nodes.indexOf(node)}`;
          await post(`/api/v1/queues/${held}/pause`);
          const before = await submit(held);
          await page.locator(`tr[data-job="${before.id}"] .badge.s-available`).waitFor();
          await node[ends]();
          await post(`/api/v1/queues/${held}/resume`);
          const meanwhile = await submit("default");
          for (const job of [before, meanwhile]) {
            await page.locator(`tr[data-job="${job.id}"] .badge.s-completed`).waitFor();
          }
          await live(page);
          await node.again();
        }
        assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
      }));
  }

  test("both nodes show the same page", () =>
    withPage(browser, {}, async (page) => {
      const rows = [];
      for (const node of nodes) {
        await page.goto(`${node.origin}/jobs`);
        await live(page);
        rows.push(await page.locator("tr[data-job]").evaluateAll((all) => all.map((row) => [row.dataset.job, row.querySelector(".badge").textContent])));
      }
      assert.deepEqual(rows[0], rows[1]);
      assert.ok(rows[0].length >= 8);
    }));
});
