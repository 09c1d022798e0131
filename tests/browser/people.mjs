// Users of a server, and browsers that are logged in as one of them.

import assert from "node:assert/strict";

export const PASSWORD = "correct horse battery staple";

/** Makes the requests of the test to a server use these credentials. */
export function actAs(server, name, password = PASSWORD) {
  server.headers = { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}` };
}

/** Adds users by name and role. The first one is an admin, in whose name the others are added. */
export async function addUsers(server, users) {
  for (const [name, role] of Object.entries(users)) {
    await server.post("/api/v1/users", { name, role, password: PASSWORD });
    if (!server.headers) actAs(server, name);
  }
}

/** Logs in without a browser. Returns the state of a browser that is logged in. */
export async function loggedIn(server, name, password = PASSWORD) {
  const body = new URLSearchParams({ name, password, next: "" });
  const answer = await fetch(`${server.origin}/login`, { method: "POST", redirect: "manual", body });
  assert.equal(answer.status, 303, await answer.text());
  const [cookie, value] = answer.headers.get("set-cookie").split(";")[0].split("=");
  return { cookies: [{ name: cookie, value, domain: "127.0.0.1", path: "/", expires: -1, httpOnly: true, secure: false, sameSite: "Lax" }], origins: [] };
}
