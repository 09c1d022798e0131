// Users, roles, tokens, sessions and the audit log in the browser: node --test login.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeViolations, launch, live, until, withPage } from "./page.mjs";
import { PASSWORD, actAs, addUsers, loggedIn } from "./people.mjs";
import { Server } from "./server.mjs";

let browser;
let server;
let waiting;
const people = { anna: "admin", oscar: "operator", sam: "submitter", vera: "viewer" };

before(async () => {
  server = await Server.start();
  browser = await launch();
  await addUsers(server, people);
  waiting = await server.submit({ kind: "echo", delay_ms: 3_600_000, queue: "mail" });
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Runs `work` with a page on which somebody is logged in. */
const asUser = async (name, work, options = {}) => withPage(browser, { storageState: await loggedIn(server, name), ...options }, work);

/** Posts a form from the open page, as a script of the reader could. Returns the status. */
const post = (page, path, fields = {}) =>
  page.evaluate(async ([path, fields]) => {
    const body = new URLSearchParams(fields);
    return (await fetch(new URL(path, document.baseURI), { method: "POST", body, redirect: "manual" })).status;
  }, [path, fields]);

/** Waits until a page shows the login. */
const loginShown = (page) => page.locator("form[action=login] #password").waitFor();

for (const javaScriptEnabled of [true, false]) {
  test(`a person logs in by name and password and out again ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
    withPage(browser, { javaScriptEnabled }, async (page) => {
      await page.goto(`${server.origin}/queues/mail`);
      await page.locator("#name").fill("oscar");
      await page.locator("#password").fill("not the password");
      await page.locator("#log-in").click();
      await page.getByText("The name or the password is not correct.").waitFor();
      assert.equal(await page.locator("#name").inputValue(), "oscar");
      assert.equal(await page.locator("#password").inputValue(), "");
      assert.equal(await page.locator("#password").getAttribute("aria-invalid"), "true");
      await page.locator("#password").fill(PASSWORD);
      await page.locator("#log-in").click();
      await page.waitForURL(`${server.origin}/queues/mail`);
      assert.equal(await page.locator("#who-name").textContent(), "Logged in as oscar");
      await page.locator("#who > summary").click();
      await page.locator("#who .hint").getByText("operator").waitFor();
      await page.locator("#log-out").click();
      await page.waitForURL(`${server.origin}/login`);
      await page.goto(`${server.origin}/queues/mail`);
      await loginShown(page);
    }));
}

test("a role sees the buttons that it may use, and the server refuses the rest", async () => {
  const may = {
    vera: { submit: false, operate: false, administer: false },
    sam: { submit: true, operate: false, administer: false },
    oscar: { submit: true, operate: true, administer: false },
    anna: { submit: true, operate: true, administer: true },
  };
  for (const [name, { submit, operate, administer }] of Object.entries(may)) {
    await asUser(name, async (page) => {
      const shown = async (path, expected) => {
        await page.goto(server.origin + path);
        for (const [selector, isExpected] of Object.entries(expected)) assert.equal((await page.locator(selector).count()) > 0, isExpected, `${name} on ${path}: ${selector}`);
      };
      await shown("/", { ".right a[href='jobs/new']": submit, "#pause-mail": operate, ".foot a[href=system]": operate, ".foot a[href=users]": administer, ".foot a[href=audit]": administer });
      await live(page);
      await shown("/jobs", { "#bulk": operate, "#pick-all": operate });
      await live(page);
      await shown(`/jobs/${waiting.id}`, { "#retry": operate, "#cancel": operate, "#ask-delete": operate, "#again": submit });
      await shown("/queues/mail", { "#pause": operate, "#concurrency": operate });
      await shown("/schedules", { "a[href='schedules/new']": operate });
      const answers = {
        "jobs/new": submit,
        [`jobs/${waiting.id}/cancel`]: false, // no one cancels it: the body is refused, or the role
        "queues/none/pause": operate,
        users: administer,
        tokens: administer,
      };
      for (const [path, isAllowed] of Object.entries(answers)) {
        // Fields that no form has, so that nothing is changed.
        const status = await post(page, path, { nothing: "" });
        assert.equal(status === 403, !(isAllowed || (path.endsWith("cancel") && operate)), `${name} posts to ${path}: ${status}`);
      }
      for (const path of ["/users", "/tokens", "/audit", "/users/anna"]) {
        const answer = await page.goto(server.origin + path);
        assert.equal(answer.status(), administer ? 200 : 403, `${name} opens ${path}`);
        if (!administer) {
          await page.locator("h1", { hasText: "This is not allowed" }).waitFor();
          await page.getByText(`You need the role admin for this. You are logged in as ${name} with the role ${people[name]}`).waitFor();
          await page.getByText("Ask an admin of this server for the role.").waitFor();
        }
      }
    });
  }
});

test("a row that arrives while a viewer reads the list has no checkbox", () =>
  asUser("vera", async (page) => {
    await page.goto(`${server.origin}/jobs`);
    await live(page);
    const job = await server.submit({ kind: "echo" });
    await page.locator(`tr[data-job="${job.id}"] .badge.s-completed`).waitFor();
    assert.equal(await page.locator("tbody input").count(), 0);
  }));

test("a token is shown once, works until it is revoked, and its uses are shown", () =>
  asUser("anna", async (page) => {
    await page.goto(`${server.origin}/tokens`);
    await page.locator("#name").fill("ci");
    await page.locator("#role").selectOption("submitter");
    await page.locator("#queues").fill("mail");
    await page.locator("#create-token").click();
    const text = await page.locator("#secret").textContent();
    assert.match(text, /^cortado_[\w-]{43}$/);
    await page.locator("[data-copy=secret]:not([hidden])").waitFor();
    const submit = (queue) => {
      const headers = { authorization: `Bearer ${text}`, "content-type": "application/json" };
      return fetch(`${server.origin}/api/v1/jobs`, { method: "POST", headers, body: JSON.stringify({ kind: "echo", queue }) });
    };
    assert.equal((await submit("mail")).status, 202);
    assert.equal((await submit("other")).status, 403);
    await page.goto(`${server.origin}/tokens`);
    assert.ok(!(await page.content()).includes(text));
    await page.goBack();
    await page.locator("#create-token").waitFor();
    assert.ok(!(await page.content()).includes(text), "the back button shows the token again");
    await page.goto(`${server.origin}/tokens`);
    const row = page.locator("tr", { hasText: "ci" });
    await row.getByText("Revoke…").click();
    await row.getByText("Revoke token").click();
    await page.locator("#flash", { hasText: "Token ci was revoked." }).waitFor();
    assert.equal((await submit("mail")).status, 401);
  }));

for (const javaScriptEnabled of [true, false]) {
  test(`the password of the first admin stays on the page ${javaScriptEnabled ? "with" : "without"} JavaScript, although everybody has to log in from then on`, async () => {
    const open = await Server.start();
    await withPage(browser, { javaScriptEnabled }, async (page) => {
      const streams = [];
      page.on("websocket", (socket) => streams.push(socket.url()));
      await page.goto(`${open.origin}/users`);
      if (javaScriptEnabled) await live(page);
      streams.length = 0;
      await page.locator("#name").fill("anna");
      await page.locator("#add-user").click();
      const password = await page.locator("#secret").textContent();
      // The page is complete when its scripts have run.
      if (javaScriptEnabled) await page.locator("[data-copy=secret]:not([hidden])").waitFor();
      await page.waitForLoadState("networkidle");
      await loggedIn(open, "anna", password);
      actAs(open, "anna", password);
      await open.post("/api/v1/users", { name: "vera", role: "viewer", password: PASSWORD });
      assert.deepEqual(streams, [], "the page follows events");
      assert.equal(await page.locator("#secret").textContent(), password);
      assert.equal(await page.locator("#connection").isVisible(), false);
    });
    await open.remove();
  });
}

test("a page that answers a form is opened again without sending the form again", () =>
  asUser("anna", async (page) => {
    await page.goto(`${server.origin}/users/anna`);
    await page.locator("#disable").click();
    await page.locator("#problem", { hasText: "the only user with the role admin" }).waitFor();
    await live(page);
    const sent = [];
    page.on("request", (request) => request.isNavigationRequest() && sent.push(request.method()));
    await server.post("/api/v1/users", { name: "adam", role: "admin", password: PASSWORD });
    const change = (role) => fetch(`${server.origin}/api/v1/users/anna`, { method: "PUT", headers: { authorization: `Basic ${btoa(`adam:${PASSWORD}`)}`, "content-type": "application/json" }, body: JSON.stringify({ role }) });
    assert.equal((await change("operator")).status, 200);
    await page.locator("h1", { hasText: "This is not allowed" }).waitFor();
    assert.equal((await change("admin")).status, 200);
    assert.deepEqual([...new Set(sent)], ["GET"]);
    assert.equal((await fetch(`${server.origin}/api/v1/users/adam`, { method: "DELETE", headers: server.headers })).status, 204);
  }));

test("what was typed into a form stays on the page when the role of its reader changes", () =>
  asUser("anna", async (page) => {
    await server.post("/api/v1/users", { name: "adam", role: "admin", password: PASSWORD });
    const headers = { authorization: `Basic ${btoa(`adam:${PASSWORD}`)}`, "content-type": "application/json" };
    const change = async (role) => assert.equal((await fetch(`${server.origin}/api/v1/users/anna`, { method: "PUT", headers, body: JSON.stringify({ role }) })).status, 200);
    const notice = page.getByText("Your role has changed. What you have typed stays here until you leave this page.");
    // A form that is shown again with its errors, and one that was not sent yet.
    const forms = {
      "/tokens": async () => {
        await page.locator("#name").fill("not a name!");
        await page.locator("#queues").fill("mail");
        await page.locator("#create-token").click();
        await page.locator("#name-error", { hasText: /./ }).waitFor();
        return { "#name": "not a name!", "#queues": "mail" };
      },
      "/users": async () => {
        await page.locator("#name").fill("nina");
        await page.locator("#password").fill("short");
        await page.locator("#add-user").click();
        await page.locator("#password-error", { hasText: /./ }).waitFor();
        return { "#name": "nina" };
      },
      "/users/vera": async () => {
        await page.locator("#password").fill(PASSWORD);
        return { "#password": PASSWORD };
      },
    };
    for (const [path, fill] of Object.entries(forms)) {
      await page.goto(server.origin + path);
      await live(page);
      const typed = await fill();
      await live(page);
      await change("operator");
      await notice.waitFor();
      for (const [field, value] of Object.entries(typed)) assert.equal(await page.locator(field).inputValue(), value, `${path}: ${field}`);
      await page.locator("#reload").click();
      await page.locator("h1", { hasText: "This is not allowed" }).waitFor();
      await change("admin");
    }
    assert.equal((await fetch(`${server.origin}/api/v1/users/adam`, { method: "DELETE", headers: server.headers })).status, 204);
  }));

test("a session that is revoked in one browser ends the page and its connection in the other", () =>
  asUser("oscar", async (left) => {
    await left.goto(`${server.origin}/jobs`);
    await live(left);
    let closed = false;
    // The stream of a new page is watched from its beginning.
    left.on("websocket", (socket) => socket.on("close", () => (closed = true)));
    await left.reload();
    await live(left);
    await asUser("oscar", async (right) => {
      await right.goto(`${server.origin}/account`);
      await right.locator(".sessions .pill", { hasText: "this session" }).waitFor();
      const others = right.locator(".sessions tr", { hasText: "Revoke" });
      const count = await others.count();
      assert.ok(count >= 1, "the other session is listed");
      await right.locator("#log-out-others").click();
      await right.locator("#flash", { hasText: "Sessions of oscar were revoked." }).waitFor();
      assert.equal(await others.count(), 0);
    });
    await loginShown(left);
    assert.ok(closed, "the connection is open");
  }));

test("a person logs out by the row of the own session", () =>
  asUser("oscar", async (page) => {
    await page.goto(`${server.origin}/account`);
    await page.locator(".sessions tr", { hasText: "this session" }).getByRole("button").click();
    await page.waitForURL(`${server.origin}/login`);
    await loginShown(page);
    assert.deepEqual(await page.context().cookies(), [], "the browser keeps a cookie");
  }));

test("the audit log shows who did what, as it happens and by person", async () => {
  await asUser("anna", async (page) => {
    await page.goto(`${server.origin}/audit?by=user:oscar`);
    await live(page);
    await page.evaluate(() => (window.stillHere = true));
    await asUser("oscar", async (other) => {
      await other.goto(`${server.origin}/queues/mail`);
      await other.locator("#pause").click();
      await other.locator("#resume").waitFor();
    });
    const row = page.locator("#events tr", { hasText: "Paused queue" }).first();
    await row.waitFor();
    assert.equal(await row.locator("a").first().getAttribute("href"), "queues/mail");
    assert.match(await row.textContent(), /oscar.*user.*queue\.paused/s);
    assert.equal(await page.evaluate(() => window.stillHere), true, "the page was reloaded");
    await page.goto(`${server.origin}/audit?by=user:sam&type=queue.*`);
    await page.getByText("No events match this filter.").waitFor();
  });
  await asUser("anna", async (page) => {
    await page.goto(`${server.origin}/audit`);
    await page.locator("input[name=by]").fill("user:anna");
    await page.locator("form.filter button").click();
    await page.locator("#events tr", { hasText: "Added user" }).first().waitFor();
    await page.locator("#events a", { hasText: "vera" }).first().click();
    await page.waitForURL(`${server.origin}/users/vera`);
  }, { javaScriptEnabled: false });
});

test("an admin adds a user with a generated password, changes the role, and ends what the user may do", () =>
  asUser("anna", async (page) => {
    await page.goto(`${server.origin}/users`);
    await page.locator("#name").fill("nina");
    await page.locator("#role").selectOption("viewer");
    await page.locator("#add-user").click();
    const password = await page.locator("#secret").textContent();
    await withPage(browser, { storageState: await loggedIn(server, "nina", password) }, async (hers) => {
      await hers.goto(`${server.origin}/queues/mail`);
      await live(hers);
      assert.equal(await hers.locator("#pause, #resume").count(), 0);
      await page.goto(`${server.origin}/users/nina`);
      await page.locator("#role").selectOption("operator");
      await page.locator("#set-role").click();
      await page.locator("#flash", { hasText: "The role of user nina was changed." }).waitFor();
      // Her open page gets the buttons of the new role without being logged out.
      await hers.locator("#pause, #resume").waitFor();
      await page.locator("#disable").click();
      await page.locator("#flash", { hasText: "User nina was disabled." }).waitFor();
      await loginShown(hers);
    });
    const refused = await fetch(`${server.origin}/login`, { method: "POST", redirect: "manual", body: new URLSearchParams({ name: "nina", password }) });
    assert.equal(refused.status, 401);
    await page.goto(`${server.origin}/users/anna`);
    await page.locator("#disable").click();
    await page.locator("#problem", { hasText: "the only user with the role admin" }).waitFor();
  }));

test("a person changes the password and stays logged in, but nowhere else", () =>
  asUser("sam", async (page) => {
    const elsewhere = await loggedIn(server, "sam");
    await page.goto(`${server.origin}/account`);
    const change = async (current, password) => {
      await page.locator("#current").fill(current);
      await page.locator("#password").fill(password);
      await page.locator("#change-password").click();
    };
    await change("not the password", "another long password");
    await page.getByText("The current password is not correct.").waitFor();
    await change(PASSWORD, "short");
    await page.getByText("The password is too short").waitFor();
    await change(PASSWORD, "another long password");
    await page.locator("#flash", { hasText: "The password of user sam was set." }).waitFor();
    assert.equal(await page.locator(".sessions tbody tr").count(), 1);
    await withPage(browser, { storageState: elsewhere }, async (other) => {
      await other.goto(server.origin);
      await loginShown(other);
    });
    await loggedIn(server, "sam", "another long password");
  }));

test("the pages about access fit every width, and cut no role and no name", () =>
  asUser("anna", async (page) => {
    const name = "n".repeat(64);
    await server.post("/api/v1/users", { name, role: "viewer", password: PASSWORD });
    await server.post("/api/v1/tokens", { name: "t".repeat(64), role: "operator", queues: Array.from({ length: 6 }, (_, n) => `a-queue-with-number-${n}`) });
    await server.post("/api/v1/links", { queue: "mail", expires_in: "1h" });
    for (const path of ["/login", "/account", "/users", `/users/${name}`, "/tokens", "/audit", "/links"]) {
      await page.goto(server.origin + path);
      for (const width of [320, 360, 768, 1024, 1440, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        const faults = await page.evaluate(() => {
          const root = document.documentElement;
          const faults = root.scrollWidth > root.clientWidth ? [`the page scrolls: ${root.scrollWidth}`] : [];
          const canvas = document.createElement("canvas").getContext("2d");
          for (const select of document.querySelectorAll("select")) {
            canvas.font = getComputedStyle(select).font;
            const longest = Math.max(...[...select.options].map(({ text }) => canvas.measureText(text).width));
            const arrowAndEdges = 45;
            if (longest + arrowAndEdges > select.clientWidth) faults.push(`${select.id} is cut`);
          }
          for (const inner of document.querySelectorAll("td > *, td .hint")) {
            const [box, cell] = [inner, inner.closest("td")].map((it) => it.getBoundingClientRect());
            if (!inner.closest(".sr") && (box.left < cell.left - 1 || box.right > cell.right + 1)) faults.push(`${inner.textContent.slice(0, 20)} leaves its cell`);
          }
          return faults;
        });
        assert.deepEqual(faults, [], `${path} at ${width} px`);
      }
    }
  }));

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
    test(`the pages about access are open to everybody: ${colorScheme}, ${size}`, () =>
      asUser("anna", async (page) => {
        for (const path of ["/users", "/users/vera", "/tokens", "/account", "/audit", "/audit?by=wrong", "/login", "/"]) {
          await page.goto(server.origin + path);
          if (path === "/") await page.locator("#who > summary").click();
          await until(page, () => document.readyState === "complete");
          assert.deepEqual(await axeViolations(page), []);
        }
      }, { colorScheme, viewport, reducedMotion: "reduce" }));
  }
}
