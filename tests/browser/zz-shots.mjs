import { launch } from "./page.mjs";
import { addUsers, loggedIn, PASSWORD } from "./people.mjs";
import { Server } from "./server.mjs";
const server = await Server.start();
const browser = await launch();
try {
  await addUsers(server, { anna: "admin", oscar: "operator", sam: "submitter", vera: "viewer" });
  await server.post("/api/v1/tokens", { name: "ci", role: "submitter", queues: ["mail", "webhooks"], expires_at: "2027-03-01T00:00:00Z" });
  await server.post("/api/v1/tokens", { name: "grafana", role: "viewer" });
  const job = await server.submit({ kind: "echo", delay_ms: 3600000, queue: "mail" });
  await loggedIn(server, "oscar"); await loggedIn(server, "vera"); await loggedIn(server, "anna");
  const states = { anna: await loggedIn(server, "anna"), vera: await loggedIn(server, "vera") };
  const only = process.argv.slice(2);
  for (const colorScheme of ["light", "dark"]) for (const width of [360, 768, 1440]) {
    if (only.length && !only.includes(`${width}${colorScheme}`)) continue;
    for (const [who, pages] of [["anna", { users: "/users", user: "/users/vera", tokens: "/tokens", account: "/account", home: "/" }], ["vera", { home: "/", job: `/jobs/${job.id}`, queue: "/queues/mail", jobs: "/jobs", denied: "/users" }], [null, { login: "/jobs" }]]) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 }, ...(who && { storageState: states[who] }) });
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(server.origin + path);
        if (who === "anna" && name === "home") await page.locator("#who > summary").click();
        await page.screenshot({ path: `/tmp/shots-pages14/${width}-${colorScheme}-${who}-${name}.png`, fullPage: name !== "home" });
      }
      if (who === "anna") {
        await page.goto(server.origin + "/tokens");
        await page.locator("#name").fill(`t${width}${colorScheme}`);
        await page.locator("#create-token").click();
        await page.locator("#secret").waitFor();
        await page.screenshot({ path: `/tmp/shots-pages14/${width}-${colorScheme}-secret.png` });
      }
      await page.close();
    }
  }
} finally { await browser.close(); await server.remove(); }
