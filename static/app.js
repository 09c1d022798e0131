// Brings the server's pages to life: one stream, and what each page does with its events.

import { Stream } from "./stream.js";
import { startCopying } from "./copy.js";
import { job } from "./job.js";
import { atMostEvery, fetchPage, fold, makeRow, patchRow, perFrame, showStats, swapSections } from "./live.js";
import { heal } from "./heal.js";
import { bulkPage, listPage } from "./jobs.js";
import { startKeys } from "./keys.js";
import { newJob } from "./new-job.js";
import { addDead, setConnection } from "./trouble.js";
import { setServerNow, setText, startTicking } from "./when.js";

const body = document.body;
const page = body.dataset.page;
/** Changes of state only; log lines and progress are for the job's own page. */
const LIFECYCLE = ["enqueued", "available", "started", "completed", "retry_scheduled", "snoozed", "discarded", "cancel_asked", "cancelled", "interrupted", "rescued", "retried", "deleted", "moved", "reprioritised"].map((name) => ["type", `job.${name}`]);
/** More changes than this in one frame are not lit up one by one. */
const CALM = 10;
const QUEUES = [["type", "queue.*"]];

/** What could not be fetched, to be asked for again when the server is back. */
const owed = new Set();
/** The page misses events, and will be shown anew. */
let behind = false;

setServerNow(Number(body.dataset.now));
startTicking();
themeButton();
startKeys();
startCopying();
if (document.querySelector("[data-heal]")) heal();
if (body.dataset.cursor) {
  if (page === "home") home();
  else if (page === "jobs") listPage({ open, statsReader, lifecycle: LIFECYCLE, calm: CALM });
  else if (page === "job") job(open, owe, body.dataset.job);
  else if (["queues", "queue", "failures", "failure", "workers"].includes(page)) sectionsOnly();
}
if (body.dataset.bulk) bulkPage();
if (page === "new-job") newJob();

function themeButton() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const order = ["system", "light", "dark"];
  const show = () => setText(document.getElementById("theme-name"), `Theme: ${root.dataset.theme ?? "system"}`);
  button.hidden = false;
  show();
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme ?? "system") + 1) % order.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("cortado-theme", next);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
    show();
  });
}

function showConnection({ name, seconds, reason }) {
  const chip = document.getElementById("connection");
  const texts = {
    live: "live",
    connecting: "connecting",
    reconnecting: `reconnecting in ${seconds} s`,
    stale: "stale",
    paused: "paused",
    draining: "server stopping",
    refused: reason || "not allowed",
    behind: "catching up",
  };
  const shown = behind && name === "live" ? "behind" : name;
  chip.hidden = false;
  chip.dataset.state = shown;
  setConnection(name);
  setText(document.getElementById("connection-text"), texts[shown] ?? shown);
  if (name === "live") {
    for (const ask of owed) ask();
    owed.clear();
  }
}

/** Asks again: in a moment when the stream is well, else when it is back. */
function owe(ask) {
  if (document.getElementById("connection").dataset.state === "live") setTimeout(ask, 2000);
  else owed.add(ask);
}

/** The log reaches no longer back to what the page shows. The server may be gone again: it is asked first. */
function startOver() {
  if (behind) return;
  behind = true;
  showConnection({ name: "live" });
  heal();
}

function open(params, act) {
  const onEvents = (events) => {
    addDead(events.filter((event) => event.type === "job.discarded").length);
    act(events);
  };
  return new Stream({ path: new URL("api/v1/ws", document.baseURI), cursor: body.dataset.cursor, params, onEvents, onGap: startOver, onState: showConnection });
}

/** Reads counters after events, at most twice a second. */
function statsReader(scope, onUnknown) {
  const ask = atMostEvery(500, async () => {
    try {
      const answer = await fetch("api/v1/stats", { headers: { accept: "application/json" } });
      if (answer.ok && !showStats(await answer.json(), scope)) onUnknown?.();
      else if (!answer.ok) owe(ask);
    } catch {
      owe(ask);
    }
  });
  return ask;
}

function home() {
  const rows = document.querySelector("#recent tbody");
  const most = Number(document.getElementById("recent").dataset.max);
  let changes = new Map();
  let arrived = new Map();
  const sections = atMostEvery(2000, async () => {
    const fresh = await fetchPage();
    if (fresh?.page) swapSections(fresh.page);
    else owe(sections);
  });
  const counts = statsReader("all", sections);
  const insert = atMostEvery(1000, () => {
    // Nothing moves under a pointer that is about to click, nor under the focus.
    if (rows.matches(":hover, :focus-within") && rows.childElementCount >= most) return void setTimeout(insert, 1000);
    const newest = [...arrived.values()].slice(-most);
    arrived = new Map();
    document.getElementById("recent-empty").hidden = true;
    document.getElementById("recent-panel").hidden = false;
    for (const change of newest) {
      if (!rowOf(change.job.id)) rows.prepend(makeRow(change));
    }
    while (rows.childElementCount > most) rows.lastElementChild.remove();
  });
  const rowOf = (id) => rows.querySelector(`[data-job="${id}"]`);
  const render = perFrame(() => {
    const batch = changes;
    changes = new Map();
    for (const [id, change] of batch) {
      const row = rowOf(id);
      if (row) patchRow(row, change, batch.size <= CALM);
      else if (arrived.has(id) || change.enqueued) {
        const older = arrived.get(id);
        arrived.set(id, { ...change, max: change.max ?? older?.max, error: change.error ?? older?.error });
        if (arrived.size > 4 * most) arrived.delete(arrived.keys().next().value);
      }
    }
    if (arrived.size) insert();
  });
  const onEvents = (events) => {
    for (const event of events) {
      if (event.job) changes.set(event.job.id, fold(changes.get(event.job.id), event));
      else sections();
    }
    render();
    counts();
    sections();
  };
  open([...LIFECYCLE, ...QUEUES], onEvents);
}

/** Pages whose sections the server draws anew when something has happened. */
function sectionsOnly() {
  const sections = atMostEvery(2000, async () => {
    const fresh = await fetchPage();
    if (fresh?.page) swapSections(fresh.page);
    else if (!fresh) owe(sections);
  });
  const { queue } = body.dataset;
  const filter = queue ? [["queue", queue]] : [];
  open([...LIFECYCLE, ...QUEUES, ...filter], sections);
}
