// Runs nginx and Caddy with the configurations of the documents, each in its own folder and not as a service.
// The variables NGINX and CADDY name other programs.

import { spawn, spawnSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { PATIENCE_MS } from "./page.mjs";
import { program, root } from "./programs.mjs";
import { freePort } from "./server.mjs";

/** The host name in the documents. */
export const HOST = "tools.example.com";

/** Returns the code blocks of a document in a language, in order. */
export async function shown(language, document = "docs/reverse-proxy.md") {
  const text = await readFile(path.join(root, document), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, block]) => block);
}

/** Replaces addresses and files in the document, each of which must occur once, with those of this machine. */
function put(text, pairs) {
  for (const [there, here] of pairs) {
    if (text.split(there).length !== 2) throw new Error(`the document must name ${there} exactly once`);
    text = text.replace(there, () => here);
  }
  return text;
}

/** Quotes a path for the configuration of nginx and of Caddy. */
const quoted = (place) => `"${place.replaceAll(/["\\]/g, "\\$&")}"`;

async function nginx(block, folder, port, upstreams) {
  const [certificate, key] = [path.join(folder, "certificate.pem"), path.join(folder, "key.pem")];
  const made = spawnSync(program("openssl"), ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${HOST}`, "-addext", `subjectAltName=DNS:${HOST}`, "-keyout", key, "-out", certificate]);
  if (made.status !== 0) throw new Error(`cannot create a certificate: ${made.stderr}`);
  const site = put(block, [
    ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
    ["/etc/ssl/certs/tools.example.com.pem", quoted(certificate)],
    ["/etc/ssl/private/tools.example.com.key", quoted(key)],
    ...upstreams,
  ]);
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${quoted(path.join(folder, name))};`);
  const config = path.join(folder, "nginx.conf");
  const user = process.getuid() === 0 ? "user root;" : "";
  const whole = `${user} daemon off; worker_processes 1; pid ${quoted(path.join(folder, "pid"))}; error_log stderr warn;\nevents {}\nhttp { access_log off; ${places.join(" ")}\n${site}}\n`;
  await writeFile(config, whole);
  return [program("nginx"), ["-p", folder, "-e", "stderr", "-c", config]];
}

async function caddy(block, folder, port, upstreams) {
  const site = put(block, upstreams);
  const config = path.join(folder, "Caddyfile");
  // Use self-made certificates, no network, and no files outside the folder.
  const ours = ["admin off", "auto_https disable_redirects", "local_certs", "skip_install_trust", "default_bind 127.0.0.1", `https_port ${port}`, `storage file_system ${quoted(path.join(folder, "storage"))}`];
  await writeFile(config, `{\n\t${ours.join("\n\t")}\n}\n${site}`);
  return [program("caddy"), ["run", "--adapter", "caddyfile", "--config", config]];
}

const KINDS = { nginx, caddy };

export class Proxy {
  /**
   * Starts `kind` with a block of a document, in front of the server on port `upstream`, or of several servers, each given
   * as its address in the document and its port.
   */
  static async start(kind, block, upstream) {
    const servers = Array.isArray(upstream) ? upstream : [["127.0.0.1:8080", upstream]];
    const upstreams = servers.map(([there, port]) => [there, `127.0.0.1:${port}`]);
    const proxy = new Proxy();
    proxy.folder = await mkdtemp(path.join(tmpdir(), "cortado-proxy-"));
    await chmod(proxy.folder, 0o755);
    proxy.port = await freePort();
    const [binary, args] = await KINDS[kind](block, proxy.folder, proxy.port, upstreams);
    const home = { HOME: proxy.folder, XDG_DATA_HOME: proxy.folder, XDG_CONFIG_HOME: proxy.folder };
    const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...home } });
    Object.assign(proxy, { child, said: "", gone: false });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (proxy.said += data));
    proxy.ended = new Promise((resolve) => child.once("exit", resolve).once("error", resolve)).then(() => (proxy.gone = true));
    for (const end = Date.now() + PATIENCE_MS; !(await proxy.ask("/").catch(() => null)); await new Promise((resolve) => setTimeout(resolve, 50))) {
      if (!proxy.gone && Date.now() < end) continue;
      await proxy.remove();
      throw new Error(`${kind} did not start:\n${proxy.said}`);
    }
    return proxy;
  }

  /** Stops the process and removes its folder. */
  async remove() {
    if (!this.gone) this.child.kill("SIGTERM");
    await this.ended;
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Sends a request through the proxy and resolves with the response when its head has arrived. */
  async open(path, { method = "GET", headers = {}, body } = {}) {
    const options = { host: "127.0.0.1", port: this.port, servername: HOST, rejectUnauthorized: false, agent: false, path, method, headers: { host: HOST, ...headers } };
    return new Promise((resolve, reject) => https.request(options, resolve).on("error", reject).end(body));
  }

  /** Sends a request through the proxy and returns the response with its whole body as text. */
  async ask(path, options) {
    const answer = await this.open(path, options);
    const chunks = [];
    for await (const chunk of answer) chunks.push(chunk);
    return { status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() };
  }
}
