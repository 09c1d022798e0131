// The entry point of every page. It opens the event stream and loads the script of the page.

import { Stream } from "./stream.js";
import { startCopying } from "./copy.js";
import { Dashboard } from "./dashboard.js";
import { atMostEvery, fetchPage, say, swapSections } from "./live.js";
import { openAgain, reloadWhenReady } from "./reload.js";
import { startRowLinks } from "./row-link.js";
import { addShortcut, startShortcuts } from "./shortcuts.js";
import { keep, recall } from "./storage.js";
import { DiscardedCounter, addDiscarded } from "./tab-status.js";
import { Gate, showConnection, startUpdates } from "./updates.js";
import { setText, startTicking } from "./time.js";

const body = document.body;
const page = body.dataset.page;
/** Changes of state only. Log lines and progress are shown only on the page of a job. */
const LIFECYCLE = ["enqueued", "available", "started", "completed", "retry_scheduled", "snoozed", "discarded", "cancel_asked", "cancelled", "interrupted", "rescued", "retried", "deleted", "moved", "reprioritised"].map((name) => ["type", `job.${name}`]);
/** With more changes than this in one frame, changed rows are not highlighted. */
const MAX_HIGHLIGHTED = 10;
const QUEUES = [["type", "queue.*"]];
const SCHEDULES = [["type", "schedule.*"]];
const WORKERS = [["type", "worker.*"]];
const ACCESS = ["user", "token", "session"].map((name) => ["type", `${name}.*`]);
/** What people, programs and schedules do. */
const ACTIONS = ["enqueued", "cancel_asked", "cancelled", "retried", "deleted", "moved", "reprioritised"].map((name) => ["type", `job.${name}`]).concat(QUEUES, SCHEDULES, ACCESS, [["type", "link.*"]]);
/** Pages whose sections the server renders again after events, and those events. */
const EVENTS = { users: ACCESS, user: ACCESS, tokens: ACCESS, audit: [["by", body.dataset.by], ["type", body.dataset.types]].filter(([, value]) => value) };
/** Pages whose sections the server renders again, and the parts of a `stats` message that make it necessary. */
const NEWS = {
  queues: null, // its rows decide
  queue: ({ queues }) => queues.find(({ name }) => name === body.dataset.queue),
  kinds: ({ kinds }) => kinds,
  kind: ({ kinds }) => kinds[body.dataset.kind],
  failures: ({ states, second }) => [states.discarded, states.retryable, second.failed && second.at],
  failure: ({ states, second }) => [states.discarded, states.retryable, second.failed && second.at],
  schedules: ({ states, second }) => [states.running, second.completed, second.failed && second.at],
  schedule: ({ states, second }) => [states.running, second.completed, second.failed && second.at],
  workers: ({ cursor }) => cursor,
  wallboard: ({ cursor }) => cursor,
  system: ({ cursor, second }) => [cursor, second.events],
};

/** How often a page that shows the nodes of a cluster is fetched again. */
const HEARTBEATS_MS = 5000;

/** Requests that failed or had to wait. They are repeated when the server is back or the page is visible. */
const owed = new Set();
/** The page has missed events and is about to reload. */
let startsOver = false;

startTicking();
themeButton();
keepFocus();
startShortcuts();
startPalette();
startCopying();
startRowLinks();
if (document.querySelector("[data-auto-reload]")) reloadWhenReady();
// On a phone, the navigation is one row that scrolls.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
// Pages that follow events import their script here. Pages with a form include it themselves.
if (body.dataset.bulk) (await import("./jobs.js")).bulkPage();
else if (body.dataset.cursor) await bringToLife();
else if ("rewind" in body.dataset) (await import("./rewind.js")).rewind();

async function bringToLife() {
  if (page === "home") (await import("./home.js")).home({ open, owe, lifecycle: LIFECYCLE, queues: QUEUES });
  else if (page === "jobs") (await import("./jobs.js")).listPage({ open, owe, lifecycle: LIFECYCLE, maxHighlighted: MAX_HIGHLIGHTED });
  else if (page === "timeline") (await import("./timeline.js")).timeline({ open, owe });
  else if (page === "job") (await import("./job.js")).job(open, owe, body.dataset.job);
  else if (page === "shared-queue") sharedQueue();
  else if (page in NEWS) sectionsOnly();
  else if (page in EVENTS) actionsOnly();
}

/** After a form, returns the focus to the pressed button or its counterpart, which the message above must not take. */
function keepFocus() {
  const key = "cortado-focus";
  const id = recall("sessionStorage", key); // without storage, the message has the focus
  keep("sessionStorage", key, null);
  addEventListener("submit", ({ submitter }) => submitter?.id && keep("sessionStorage", key, submitter.id));
  const flash = document.getElementById("flash");
  if (!flash) return;
  const button = id && [id, id.replace(/^(pause|quiet)/, "resume"), id.replace(/^resume/, "pause"), id.replace(/^resume/, "quiet")].map((it) => document.getElementById(it)).find(Boolean);
  if (!button) return;
  button.focus();
  flash.classList.add("stuck"); // it stays in view for a while if the button is further down
  setTimeout(() => flash.classList.remove("stuck"), 8000);
  say(flash.firstChild.textContent);
}

/** Ctrl-K and the button open the command palette, which is loaded then. */
function startPalette() {
  const link = document.getElementById("open-find");
  if (!link) return;
  const open = async () => (await import("./palette.js")).openPalette();
  const isPlain = ({ ctrlKey, metaKey, shiftKey, altKey }) => !ctrlKey && !metaKey && !shiftKey && !altKey;
  link.addEventListener("click", (event) => {
    if (!isPlain(event)) return; // it opens the page in a tab
    event.preventDefault();
    open();
  });
  document.addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, shiftKey, altKey } = event;
    if (key.toLowerCase() !== "k" || ctrlKey === metaKey || shiftKey || altKey) return;
    event.preventDefault();
    open();
  });
  addShortcut("Ctrl-K", "Find, and act on this page", open);
}

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
    keep("localStorage", "cortado-theme", next);
    show();
  });
}

/** Repeats a request soon, or once the stream is connected and the page is visible. */
function owe(ask) {
  if (isWell() && !document.hidden) setTimeout(ask, 2000);
  else owed.add(ask);
}

function isWell() {
  return ["live", "behind", "paused"].includes(document.getElementById("connection").dataset.state);
}

/** Reloads the page because the log no longer reaches back to its cursor, once the server is ready. */
function startOver() {
  if (startsOver) return;
  startsOver = true;
  showConnection({ name: "connecting" });
  reloadWhenReady("This page has missed events and is not up to date.");
}

/** Reloads the page when the session has ended or its role has changed: it leads to the login, or has other buttons. */
async function askAgain(reason) {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) openAgain("Your login has ended.");
  else if (reason.startsWith("access ")) openAgain("Your role has changed.");
}

function payBack() {
  if (document.hidden || !isWell()) return;
  for (const ask of owed) ask();
  owed.clear();
}

/** Opens the stream of the page. `refresh` fetches the content again; with `onStats`, the stream sends counters too. */
function open(params, onEvents, refresh = startOver, onStats = undefined) {
  const act = (events) => {
    addDiscarded(events.filter((event) => event.type === "job.discarded").length);
    onEvents(events);
  };
  const gate = new Gate({ events: act, stats: onStats, refresh });
  const onState = (state) => {
    if (state.name === "refused") askAgain(state.reason);
    if (body.dataset.stream && (state.name === "refused" || state.name === "reconnecting")) leaveIfEnded();
    showConnection(startsOver && state.name === "live" ? { name: "connecting" } : state);
    payBack();
  };
  startUpdates();
  document.addEventListener("visibilitychange", payBack);
  return new Stream({
    path: new URL(body.dataset.stream ?? "api/v1/ws", document.baseURI),
    cursor: body.dataset.cursor,
    params,
    onEvents: (events) => gate.events(events),
    onGap: startOver,
    onStats: onStats && ((stats) => gate.stats(stats)),
    onState,
  });
}

/** A function that fetches the page again and replaces its sections, at most once in so many milliseconds. */
function refetched(pause, afterwards = () => {}) {
  const sections = atMostEvery(pause, async () => {
    if (document.hidden) return owe(sections);
    const fresh = await fetchPage();
    if (fresh?.page) {
      swapSections(fresh.page);
      afterwards();
    } else if (!fresh) {
      owe(sections);
    }
  });
  return sections;
}

/** Whether the pages about users, tokens and what they do show an event: somebody caused it, or it is about access. */
const isAudited = ({ by, type }) => by || /^(user|token|session|link)\./.test(type);

/** Pages about users, tokens and what they do. */
function actionsOnly() {
  const sections = refetched(2000);
  const params = EVENTS[page];
  const types = params.some(([name]) => name === "type") ? [] : ACTIONS;
  open([...params, ...types], (events) => events.some(isAudited) && sections(), sections);
}

/** Loads the page that says that a share link has ended, if it has. */
const leaveIfEnded = atMostEvery(1000, async () => (await fetchPage())?.gone && openAgain("This link has ended."));

/** The queue of a share link, which has no counters: its sections are fetched again after events. A busy queue is fetched
 * once a second, without its events, and its events are followed again after a while. */
function sharedQueue() {
  const sections = refetched(1000);
  let events = 0;
  let busySeconds = 0;
  const all = [...LIFECYCLE, ...QUEUES];
  const stream = open(all, (fresh) => ((events += fresh.length), sections()), sections);
  setInterval(() => {
    if (busySeconds) {
      sections();
      if (--busySeconds === 0) stream.follow(all);
    } else if (events > body.dataset.busyAt) {
      busySeconds = 30;
      stream.follow(QUEUES);
    }
    events = 0;
  }, 1000);
}

/** Pages whose sections are rendered by the server whenever something that they show has changed. */
function sectionsOnly() {
  let shown = null;
  const sections = refetched(2000, () => dashboard.rescan());
  const { queue, kind } = body.dataset;
  const scope = kind ? `kind:${kind}` : "all";
  // Messages have the seconds of queues, and not those of kinds.
  const wide = atMostEvery(kind ? 5000 : 30_000, sections);
  const dashboard = new Dashboard({ scope, queue, isLive: !kind, onUnknownQueue: page === "queues" ? sections : undefined, onMissed: sections });
  const discarded = new DiscardedCounter();
  const onStats = (stats) => {
    dashboard.update(stats);
    addDiscarded(discarded.update(stats));
    const news = NEWS[page] && JSON.stringify(NEWS[page](stats));
    if (dashboard.isWide || document.getElementById("waits")) wide();
    // The first message shows whether anything has happened since the page was rendered.
    if (shown === null ? stats.cursor !== body.dataset.cursor : news !== shown) sections();
    shown = news;
  };
  open(page === "workers" ? WORKERS : page.startsWith("schedule") ? SCHEDULES : QUEUES, sections, sections, onStats);
  // No event tells of heartbeats.
  const connection = document.getElementById("connection");
  if (document.getElementById("nodes")) setInterval(() => connection.dataset.state === "live" && !document.hidden && sections(), HEARTBEATS_MS);
}
