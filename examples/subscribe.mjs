// Prints every event as a line of JSON and resumes after the cursor that it keeps in a file. Node 18 or newer,
// nothing to install:  node subscribe.mjs http://127.0.0.1:8080 cursor.txt 'type=job.*'
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [base = "http://127.0.0.1:8080", file = "cursor.txt", query = ""] = process.argv.slice(2);
let cursor = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
let retry = 2000;

function take(message) {
  const field = (name) => message.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
  const [event, id, data] = [field("event"), field("id"), JSON.parse(field("data") ?? "{}")];
  if (!event) console.log(JSON.stringify(data));
  if (event === "gap") console.error("gap: fetch a fresh list", data);
  retry = Number(field("retry") ?? retry);
  cursor = id ?? cursor;
}

for (;;) {
  try {
    const headers = { accept: "text/event-stream", "last-event-id": cursor };
    const response = await fetch(`${base}/api/v1/events?${query}`, { headers });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    let text = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const messages = (text + chunk).split("\n\n");
      text = messages.pop(); // the last message is incomplete
      messages.forEach(take);
      writeFileSync(`${file}.new`, cursor); // a kill in between leaves the older cursor whole
      renameSync(`${file}.new`, file);
    }
  } catch (error) {
    console.error(String(error.cause ?? error));
  }
  await sleep(Math.random() * retry); // random, so that clients do not all reconnect at once
}
