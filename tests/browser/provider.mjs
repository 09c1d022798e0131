// An OpenID Connect provider with a login page, for the browser tests. Its RSA key is made at its start.

import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

const base64url = (value) => Buffer.from(value).toString("base64url");

export class Provider {
  /** The claims of the people, by the name that they enter. */
  people = new Map();
  /** The codes that were issued and not used. */
  grants = new Map();
  clientId = "cortado";
  clientSecret = "a secret of the tests";

  static async start() {
    const provider = new Provider();
    provider.key = generateKeyPairSync("rsa", { modulusLength: 2048 });
    provider.server = createServer((request, response) => provider.answer(request, response).catch((error) => response.writeHead(500).end(error.stack)));
    await new Promise((resolve) => provider.server.listen(0, "127.0.0.1", resolve));
    provider.issuer = `http://127.0.0.1:${provider.server.address().port}`;
    return provider;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async answer(request, response) {
    const url = new URL(request.url, this.issuer);
    const json = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json(200, {
          issuer: this.issuer,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          jwks_uri: `${this.issuer}/keys`,
          response_types_supported: ["code"],
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: ["RS256"],
        });
      case "/keys":
        return json(200, { keys: [{ ...this.key.publicKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "one" }] });
      case "/authorize": {
        const form = `<!doctype html><title>The provider</title><form method="get" action="/decide"><input type="hidden" name="query"><input name="name"><button name="answer" value="in">Log in</button><button name="answer" value="cancel">Cancel</button></form>`;
        const query = url.search.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
        return response.writeHead(200, { "content-type": "text/html" }).end(form.replace('name="query"', `name="query" value="${query}"`));
      }
      case "/decide": {
        const query = new URLSearchParams(url.searchParams.get("query"));
        const back = new URL(query.get("redirect_uri"));
        back.searchParams.set("state", query.get("state"));
        if (url.searchParams.get("answer") === "cancel") {
          back.searchParams.set("error", "access_denied");
        } else {
          const code = randomUUID();
          this.grants.set(code, { query, person: this.people.get(url.searchParams.get("name")) });
          back.searchParams.set("code", code);
        }
        return response.writeHead(303, { location: back.href }).end();
      }
      case "/token": {
        const chunks = [];
        for await (const chunk of request) chunks.push(chunk);
        const form = new URLSearchParams(Buffer.concat(chunks).toString());
        const credentials = base64url(`${encodeURIComponent(this.clientId)}:${encodeURIComponent(this.clientSecret).replaceAll("%20", "+")}`);
        if (Buffer.from(request.headers.authorization?.slice("Basic ".length) ?? "", "base64").toString("base64url") !== credentials) return json(401, { error: "invalid_client" });
        const grant = this.grants.get(form.get("code"));
        this.grants.delete(form.get("code"));
        const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
        if (challenge !== grant?.query.get("code_challenge")) return json(400, { error: "invalid_grant" });
        return json(200, { access_token: randomUUID(), token_type: "Bearer", id_token: this.idToken(grant) });
      }
      default:
        return json(404, {});
    }
  }

  idToken({ query, person }) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.issuer, aud: this.clientId, iat: now, exp: now + 300, nonce: query.get("nonce"), ...person };
    const text = [{ alg: "RS256", kid: "one", typ: "JWT" }, claims].map((part) => base64url(JSON.stringify(part))).join(".");
    return `${text}.${sign("sha256", Buffer.from(text), this.key.privateKey).toString("base64url")}`;
  }
}
