// Helpers that update an open page: rows, counters and sections. Texts are always inserted as text, and elements are
// cloned from what the server rendered.

import { isOtherChoice } from "./reload.js";
import { setTabTitle } from "./tab-status.js";
import { grouped, relative, setText, setTime, showTimes } from "./time.js";
import { visible } from "./visible-text.js";

const ERROR_EXCERPT = Number(document.body.dataset.errorExcerpt);
const ENDS = new Set(["completed", "retry_scheduled", "snoozed", "discarded", "cancelled", "interrupted", "rescued"]);
const WAITS_FOR_ITS_TIME = new Set(["scheduled", "retryable"]);

/** Returns a function that runs `work` at most once per animation frame. */
export function perFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const run = () => {
      asked = false;
      work();
    };
    // A hidden tab has no frames; a slow timer keeps changes from piling up.
    if (document.hidden) setTimeout(run, 1000);
    else requestAnimationFrame(run);
  };
}

/** Returns a function that runs `work` soon, but at most once in `ms`. Calls in between are deferred, not lost. */
export function atMostEvery(ms, work) {
  let last = -Infinity;
  let timer = 0;
  let running = false;
  const run = async () => {
    timer = 0;
    if (running) return ask();
    running = true;
    try {
      await work();
    } finally {
      last = performance.now();
      running = false;
    }
  };
  const ask = () => {
    if (!timer) timer = setTimeout(run, Math.max(60, last + ms - performance.now()));
  };
  return ask;
}

/** Dispatches events for fields that were changed before the script was loaded, by a fast reader or by the browser. */
export function typeAgain(form) {
  for (const control of form.querySelectorAll("input, select, textarea")) {
    const isChanged = control.options
      ? isOtherChoice(control)
      : control.checked !== control.defaultChecked || control.value !== control.defaultValue;
    if (isChanged) for (const type of ["input", "change"]) control.dispatchEvent(new Event(type, { bubbles: true }));
  }
}

/** Fetches the page as the server renders it now; `null` when the server cannot be reached. */
export async function fetchPage() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.status === 404) return { gone: true };
    if (!answer.ok) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { page, cursor: page.body.dataset.cursor };
  } catch {
    return null;
  }
}

/** Makes screen readers read a text. */
export const say = (text) => setText(document.getElementById("said"), text);

/** Replaces every `data-live` section that differs, or those with these ids. Keeps the focus and open details. A section that
 * the reader is using is left alone (`data-held`), and notes that it has missed something. */
export function swapSections(page, ids) {
  const sections = ids ? ids.map((id) => document.getElementById(id)) : document.querySelectorAll("[data-live]");
  for (const old of sections) {
    const fresh = page.getElementById(old.id);
    if (!fresh || fresh.innerHTML === old.dataset.rendered) continue;
    if ("held" in old.dataset) {
      old.dataset.missed = "";
      continue;
    }
    const rendered = fresh.innerHTML;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...old.querySelectorAll("details[open][id]")].map((details) => details.id);
    old.replaceChildren(...[...fresh.childNodes].map((node) => document.importNode(node, true)));
    old.dataset.rendered = rendered;
    showTimes(old);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) (document.getElementById(focused) ?? document.getElementById("main")).focus({ preventScroll: true });
  }
  setTabTitle(page.title);
}

function setBadge(badge, state) {
  if (badge.textContent === state) return;
  badge.className = `badge s-${state}`;
  badge.textContent = state;
}

/** Returns the line of an error that says what happened, with its escapes decoded, cut to the length that a row shows. */
export function excerpt({ message, summary }) {
  const text = message.trim();
  const line = (summary ?? text.split("\n", 1)[0]).slice(0, 12 * ERROR_EXCERPT);
  const shown = visible(line);
  const short = [...shown].slice(0, ERROR_EXCERPT).join("");
  return short.length < shown.length || line.length < text.length ? `${short}…` : short;
}

/** Merges an event into the pending change of a row. */
export function fold(older, event) {
  const state = event.type === "job.deleted" ? "deleted" : event.job.state;
  const waits = WAITS_FOR_ITS_TIME.has(state) && event.run_at;
  const stays = event.type === "job.moved" || event.type === "job.reprioritised";
  const clears = event.type === "job.completed" || event.type === "job.retried";
  return {
    job: event.job,
    state,
    at: stays ? older?.at : waits ? event.run_at : event.at,
    max: event.max_attempts ?? older?.max,
    error: event.error ? excerpt(event.error) : clears ? "" : older?.error,
    startedAt: event.type === "job.started" ? event.at : older?.startedAt,
    endedAt: ENDS.has(event.type.slice(4)) ? event.at : event.type === "job.started" ? undefined : older?.endedAt,
    seq: event.seq,
    enqueuedAt: event.type === "job.enqueued" ? event.seq : older?.enqueuedAt,
  };
}

/** Applies a change to a row and highlights the row, unless many rows change at once. */
export function patchRow(row, change, isHighlighted = true) {
  const field = (name) => row.querySelector(`[data-f=${name}]`);
  setBadge(field("state"), change.state);
  setText(field("attempt"), String(change.job.attempt));
  if (change.at) setTime(row.querySelector("time[data-rel]"), change.at);
  if (field("queue").textContent !== change.job.queue) {
    setText(field("queue"), change.job.queue);
    field("queue").href = `jobs?queue=${encodeURIComponent(change.job.queue)}`;
  }
  if (change.error !== undefined) setText(field("error"), change.error);
  if (row.dataset.state !== change.state) {
    row.dataset.state = change.state;
    // Two classes for one highlight: switching between them restarts the animation.
    if (isHighlighted) row.className = row.className === "changed" ? "changed-again" : "changed";
  }
}

/** Creates a row from the template that the server rendered. */
export function makeRow(change) {
  const row = document.getElementById("row").content.firstElementChild.cloneNode(true);
  const { job } = change;
  const field = (name) => row.querySelector(`[data-f=${name}]`);
  row.dataset.job = job.id;
  row.querySelector(".job-link").href = `jobs/${job.id}`;
  setText(field("kind"), job.kind);
  setText(field("short"), job.id.slice(-8));
  setText(field("queue"), job.queue);
  field("queue").href = `jobs?queue=${encodeURIComponent(job.queue)}`;
  for (const tag of job.tags ?? []) {
    const link = document.createElement("a");
    link.className = "tag";
    link.href = `jobs?tag=${encodeURIComponent(tag)}`;
    link.textContent = tag;
    field("tags").append(link);
  }
  if (change.max) setText(field("of"), `/${change.max}`);
  patchRow(row, change, false);
  return row;
}

/** Updates every element that shows a counter. */
export function showStats(stats, scope) {
  const counts = countsOf(stats, scope);
  if (counts) {
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    for (const element of document.querySelectorAll("[data-count]:not(time)")) {
      const name = element.dataset.count;
      const count = name ? (counts[name] ?? 0) : total;
      setText(element, grouped(count));
      element.closest(".card")?.classList.toggle("zero", count === 0);
    }
  }
}

/** Returns the counters of a scope: `all`, `queue:NAME` or `kind:NAME`; nothing when no counters match the filter. */
export function countsOf(stats, scope) {
  if (scope === "all") return stats.states;
  if (scope.startsWith("queue:")) return stats.queues.find(({ name }) => name === scope.slice(6))?.states;
  if (scope.startsWith("kind:")) return stats.kinds[scope.slice(5)];
  return undefined;
}

export { relative, setBadge };
