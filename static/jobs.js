// The job list: it updates rows in place, adds new jobs unless that would move what somebody reads, keeps the selection,
// continues long searches and has shortcuts for rows. Also the page of a bulk run.

import { Load } from "./load.js";
import { addShortcut } from "./shortcuts.js";
import { atMostEvery, countsOf, fetchPage, fold, makeRow, patchRow, perFrame, showStats, swapSections } from "./live.js";
import { seqOf } from "./stream.js";
import { grouped, length, serverNow, setText, showTime, showTimes } from "./time.js";
import { startViewMenu } from "./view-menu.js";

const byId = (id) => document.getElementById(id);
/** The number of rows of a full page. */
const FULL = Number(document.body.dataset.limit);
/** New jobs are added to the rows at this interval, unless there are too many to follow. */
const ADD_EVERY_MS = 1_000;
const MAX_ADDED = 20;
/** Payloads of added rows are read at most this often. */
const FILL_EVERY_MS = 2_000;

/** Starts the list. `open` opens its stream, and `owe` repeats a failed request later. */
export function listPage({ open, owe, lifecycle, maxHighlighted }) {
  const { state, queue, kind, tag, scope } = document.body.dataset;
  const searches = "searches" in document.body.dataset;
  const states = new Set(state ? state.split(",") : []);
  const rows = document.querySelector("#list tbody");
  const rowOf = (id) => rows.querySelector(`tr[data-job="${id}"]`);
  document.querySelector(".tab[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  const selection = startSelection(rows);
  const news = startNews(rows, selection, searches);
  const rowsInUse = () => rows.matches(":hover, :focus-within") || selection.isInUse() || scrollY > 8 || !getSelection().isCollapsed || document.querySelector("dialog[open]");
  startRowShortcuts(rows, selection);
  startSuggestions();
  startViewMenu();

  let changes = new Map();
  const load = new Load();
  const render = perFrame(() => {
    const batch = changes;
    changes = new Map();
    for (const [id, change] of batch) {
      const row = rowOf(id);
      if (row) {
        patchRow(row, change, batch.size <= maxHighlighted);
        patchRun(row, change);
      } else if (states.size ? states.has(change.state) : change.enqueuedAt || news.has(id)) news.add(id, change, states.size ? change.seq : change.enqueuedAt);
      else if (states.size) news.remove(id);
    }
    news.show();
    if ("newest" in document.body.dataset) addNew();
  });
  /** Adds the new jobs to the newest page, later if somebody uses the rows. Too many of them stay behind the button. */
  const addNew = atMostEvery(ADD_EVERY_MS, () => {
    if (load.isBusy || !news.isFew()) return;
    if (document.hidden || rowsInUse()) return addNew();
    news.addRows();
    fillPayloads();
  });
  /** Events have no payloads, so those of added rows are read from the page as the server renders it. */
  const fillPayloads = atMostEvery(FILL_EVERY_MS, async () => {
    if (!rows.querySelector("[data-unknown]")) return;
    const answer = await fetchPage();
    if (!answer?.page) return owe(fillPayloads);
    for (const cell of rows.querySelectorAll("[data-unknown]")) {
      const fresh = answer.page.querySelector(`#list tr[data-job="${cell.closest("tr").dataset.job}"] [data-f=payload]`);
      if (fresh) cell.replaceWith(document.importNode(fresh, true));
    }
  });
  const onEvents = (events) => {
    for (const event of events) {
      if (event.job) changes.set(event.job.id, fold(changes.get(event.job.id), event));
    }
    render();
  };
  const narrow = [["queue", queue], ["kind", kind], ["tag", tag]].filter(([, value]) => value);
  const idsHere = () => [...rows.querySelectorAll("tr[data-job]")].map((row) => row.dataset.job);
  let followed = "";
  /** On a busy server a page follows only the jobs that it shows; without any, it follows no job events. */
  const filter = () => {
    if (!load.isBusy) return [...lifecycle, ...narrow];
    const ids = idsHere();
    followed = ids.join();
    return ids.length ? [...lifecycle, ...ids.map((id) => ["job", id])] : [["type", "queue.*"]];
  };
  /** Follows the rows that the server rendered as of `cursor`. */
  const shown = (cursor) => load.isBusy && idsHere().join() !== followed && stream.follow(filter(), cursor);
  let before = null;
  const onStats = (stats) => {
    showStats(stats, scope ?? "");
    const only = (scope ?? "").startsWith("queue:") ? queue : "";
    if (load.update(stats, stream.cursor, only)) stream.follow(filter());
    // On a busy server new jobs are not counted; the counters show that there are some.
    const counts = countsOf(stats, scope ?? "") ?? stats.states;
    const here = [...states].reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    const { enqueued } = ((only && stats.queues.find(({ name }) => name === only)) || stats).second;
    if (load.isBusy && (states.size ? before !== null && here > before : enqueued > 0)) news.flood(seqOf(stats.cursor));
    before = here;
  };
  const refresh = atMostEvery(1_000, async () => {
    const answer = await fetchPage();
    if (!answer?.page) return owe(refresh);
    const focused = document.activeElement?.closest?.("tr[data-job]")?.dataset.job;
    replaceRows(rows, answer.page);
    selection.restore();
    if (focused) rowOf(focused)?.querySelector(".job-link").focus({ preventScroll: true });
    news.shownUpTo(answer.cursor);
    shown(answer.cursor);
  });
  news.onShown(shown);
  searchOn(rows, selection, shown);
  const stream = open(filter(), onEvents, refresh, onStats);
}

/** The new jobs that are not shown yet, and the button that shows them. */
function startNews(rows, selection, searches) {
  const button = byId("news");
  /** The changes of new jobs by id, each with the number of the event that announced it. */
  const fresh = new Map();
  /** The list was rendered after this event. Jobs announced by an older one are in the list, or on a later page of it. */
  let shownUpTo = seqOf(document.body.dataset.cursor);
  const past = "past" in document.body.dataset;
  let isFlooded = false;
  let onShown = () => {};
  const show = () => {
    button.hidden = fresh.size === 0 && !isFlooded;
    const isMany = isFlooded || fresh.size > 9999;
    setText(byId("news-count"), isMany ? "" : grouped(fresh.size));
    // Only the server can tell whether new jobs match a search.
    setText(byId("news-what"), `${isMany ? "New jobs" : fresh.size === 1 ? "new job" : "new jobs"} · ${searches ? "search again" : isMany ? "refresh" : "show"}`);
  };
  const forgetUpTo = (cursor) => {
    shownUpTo = seqOf(cursor);
    isFlooded = false;
    for (const [id, { announcedAt }] of fresh) if (announcedAt <= shownUpTo) fresh.delete(id);
    show();
  };
  button.addEventListener("click", async (event) => {
    const firstPage = !new URLSearchParams(location.search).has("after");
    if (!firstPage || searches || event.ctrlKey || event.metaKey || event.shiftKey) return; // follow it as a link
    event.preventDefault();
    const answer = await fetchPage();
    if (!answer?.page) return;
    replaceRows(rows, answer.page);
    selection.restore();
    forgetUpTo(answer.cursor);
    onShown(answer.cursor);
    rows.querySelector(".job-link")?.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  });
  return {
    has: (id) => fresh.has(id),
    add: (id, change, seq) => {
      const older = fresh.get(id);
      const announcedAt = seq ?? older.announcedAt;
      if (past || announcedAt <= shownUpTo) return;
      fresh.set(id, { ...change, announcedAt, max: change.max ?? older?.max, error: change.error ?? older?.error });
    },
    remove: (id) => fresh.delete(id),
    isFew: () => !isFlooded && fresh.size > 0 && fresh.size <= MAX_ADDED,
    /** Adds the new jobs to the rows, which are ordered by id, newest first. */
    addRows: () => {
      for (const [id, change] of fresh) {
        if (change.state !== "deleted") rows.insertBefore(newRow(change), [...rows.children].find((row) => row.dataset.job < id) ?? null);
      }
      fresh.clear();
      trimRows(rows);
      selection.restore();
      show();
    },
    /** Notes that there are many new jobs, up to that event. */
    flood: (seq) => {
      if (seq <= shownUpTo) return;
      isFlooded = !past;
      fresh.clear();
      show();
    },
    shownUpTo: forgetUpTo,
    onShown: (listener) => (onShown = listener),
    show,
  };
}

function newRow(change) {
  const row = makeRow(change);
  const box = row.querySelector("input[name=id]");
  if (box) {
    box.value = change.job.id;
    box.setAttribute("aria-label", `Select ${change.job.kind} ${change.job.id.slice(-8)}`);
  }
  patchRun(row, change);
  row.className = "changed";
  return row;
}

/** Shows how long the newest attempt has been running, or ran. */
function patchRun(row, { startedAt, endedAt, state }) {
  const cell = row.querySelector("[data-f=run]");
  const began = startedAt ?? cell.querySelector("time")?.dateTime;
  if (!began) return;
  if (endedAt) {
    const ms = Math.max(0, Date.parse(endedAt) - Date.parse(began));
    cell.textContent = ms < 1000 ? `${ms} ms` : ms < 60_000 ? `${Math.floor(ms / 100) / 10} s` : length(ms);
  } else if (startedAt && state === "running") {
    const time = document.createElement("time");
    time.dateTime = began;
    time.dataset.for = "";
    time.textContent = length(serverNow() - Date.parse(began));
    showTime(time);
    cell.replaceChildren(time);
  }
}

/** Shows or hides the table and the bulk actions, which a reader who may not use them does not have. */
function showList(isShown) {
  for (const id of ["list", "list-tools", "bulk"]) if (byId(id)) byId(id).hidden = !isShown;
}

/** Moves the rows that no longer fit to the next page. */
function trimRows(rows) {
  showList(true);
  byId("none").hidden = true;
  if (rows.childElementCount <= FULL) return;
  while (rows.childElementCount > FULL) rows.lastElementChild.remove();
  let next = document.querySelector("#pager [rel=next]");
  if (!next) byId("pager").append((next = byId("next-page").content.firstElementChild.cloneNode(true)));
  next.href = `jobs?after=${rows.lastElementChild.dataset.job}`;
}

function replaceRows(rows, page) {
  const fresh = [...page.querySelectorAll("#list tbody tr")].map((row) => document.importNode(row, true));
  rows.replaceChildren(...fresh);
  showTimes(rows);
  showList(fresh.length > 0);
  byId("none").hidden = fresh.length > 0;
  byId("pager").replaceChildren(...[...page.getElementById("pager").childNodes].map((node) => document.importNode(node, true)));
}

/** The selected jobs, by id, so that a row can disappear and come back. */
function startSelection(rows) {
  const picked = new Set();
  const all = byId("pick-all");
  const form = byId("bulk");
  if (!form) return { isInUse: () => false, restore: () => {} };
  const scope = byId("scope");
  const boxes = () => [...rows.querySelectorAll("input[name=id]")];
  let last = null;
  all.hidden = false;

  const show = () => {
    const here = boxes();
    const ticked = here.filter((box) => box.checked).length;
    all.checked = here.length > 0 && ticked === here.length;
    all.indeterminate = ticked > 0 && ticked < here.length;
    const n = picked.size;
    const away = n - ticked;
    setText(byId("scope-selected"), n === 0 ? "Selected jobs" : `${n} selected${away > 0 ? ` (${away} not shown)` : ""}`);
    const nothing = scope.value === "selected" && n === 0;
    for (const button of form.querySelectorAll("button")) button.disabled = nothing;
    form.classList.toggle("on", n > 0);
    for (const box of here) box.closest("tr").classList.toggle("picked", box.checked);
  };
  const set = (box, on) => {
    box.checked = on;
    if (on) picked.add(box.value);
    else picked.delete(box.value);
  };
  const read = () => {
    for (const box of boxes()) set(box, box.checked);
    show();
  };
  rows.addEventListener("click", (event) => {
    if (!event.target.matches("input[name=id]")) return;
    const here = boxes();
    const [from, to] = [here.indexOf(last), here.indexOf(event.target)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) for (const box of here.slice(from, to + 1)) set(box, event.target.checked);
    last = event.target;
    set(event.target, event.target.checked);
    show();
  });
  all.addEventListener("change", () => {
    for (const box of boxes()) set(box, all.checked);
    show();
  });
  scope.addEventListener("change", show);
  const clear = byId("clear-selection");
  clear.hidden = false;
  clear.addEventListener("click", () => {
    const first = rows.querySelector("tr.picked") ?? rows.firstElementChild;
    picked.clear();
    scope.value = "selected";
    for (const box of boxes()) box.checked = false;
    show();
    first?.querySelector("input[name=id]").focus({ preventScroll: true }); // the button is hidden now
  });
  form.addEventListener("submit", () => {
    form.querySelectorAll("input[data-away]").forEach((input) => input.remove());
    const here = new Set(boxes().map((box) => box.value));
    for (const id of picked) {
      if (here.has(id)) continue;
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name: "id", value: id });
      input.dataset.away = "";
      form.append(input);
    }
  });
  addEventListener("pageshow", read); // browsers restore checkboxes when going back
  read();
  return {
    isInUse: () => picked.size > 0 || form.contains(document.activeElement),
    toggle: (row) => {
      const box = row.querySelector("input[name=id]");
      last = box;
      set(box, !box.checked);
      show();
    },
    restore: () => {
      for (const box of boxes()) box.checked = picked.has(box.value);
      show();
    },
  };
}

/** The shortcuts j, k and x. The focus moves from job to job, so that Enter opens the focused one. */
function startRowShortcuts(rows, selection) {
  const links = () => [...rows.querySelectorAll(".job-link")];
  const here = () => document.activeElement?.closest?.("tr[data-job]");
  const go = (step) => {
    const all = links();
    const at = all.indexOf(here()?.querySelector(".job-link"));
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
    all[next]?.focus();
    all[next]?.scrollIntoView({ block: "nearest" });
  };
  addShortcut("j", "Next job (Enter opens it)", () => go(1));
  addShortcut("k", "Previous job", () => go(-1));
  const select = () => {
    if (!here()) go(1);
    if (here()) selection.toggle(here());
  };
  if (selection.toggle) addShortcut("x", "Select or deselect the job", select);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (!here() || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    go(event.key === "ArrowDown" ? 1 : -1);
  });
}

/** Browsers compare suggestions with the whole field, so each suggestion starts with the text before the last word. */
function startSuggestions() {
  const field = byId("q");
  const list = byId("suggestions");
  const words = [...list.options].map((option) => option.value);
  let shown = "";
  field.addEventListener("input", () => {
    const before = field.value.replace(/\S*$/, "");
    if (before === shown) return;
    shown = before;
    list.replaceChildren(...words.map((word) => Object.assign(document.createElement("option"), { value: before + word })));
  });
}

/** Continues a search until the page is full or the reader stops it. */
async function searchOn(rows, selection, onShown) {
  const progress = byId("search-progress");
  let next = progress?.dataset.next;
  // Rows of several requests would not be in the order of one page.
  if (!next || "sorted" in document.body.dataset) return;
  const link = byId("search-more");
  let stopped = false;
  const stop = document.createElement("button");
  Object.assign(stop, { type: "button", className: "button small", id: "search-stop", textContent: "Stop" });
  const pause = () => {
    stopped = true;
    stop.replaceWith(link);
  };
  stop.addEventListener("click", () => {
    pause();
    link.focus();
  });
  link.replaceWith(stop);
  while (next && rows.childElementCount < FULL && !stopped) {
    const page = await pageAt(next);
    if (stopped) return;
    if (!page) return pause(); // the link continues the search
    const part = page.getElementById("search-progress");
    for (const row of page.querySelectorAll("#list tbody tr")) {
      if (!rows.querySelector(`tr[data-job="${row.dataset.job}"]`)) rows.append(document.importNode(row, true));
    }
    showTimes(rows);
    onShown(page.body.dataset.cursor);
    const found = rows.childElementCount > 0;
    showList(found);
    next = part?.dataset.next;
    if (part) {
      progress.querySelector("progress").value = part.querySelector("progress").value;
      progress.querySelector("p").replaceChildren(...[...part.querySelector("p").childNodes].map((node) => document.importNode(node, true)));
    }
    if (next) link.href = next;
    else byId("none").replaceChildren(...[...page.getElementById("none").childNodes].map((node) => document.importNode(node, true)));
    byId("none").hidden = found;
    selection.restore();
    if (!next || rows.childElementCount >= FULL) {
      byId("pager").replaceChildren(...[...page.getElementById("pager").childNodes].map((node) => document.importNode(node, true)));
    }
  }
  if (next) stop.replaceWith(link);
  else stop.remove();
}

async function pageAt(address) {
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

/** The page of a bulk run, which is fetched again while the run continues, at most twice a second. */
export function bulkPage() {
  const section = byId("run");
  const look = atMostEvery(500, async () => {
    if (!document.hidden) {
      const fresh = await fetchPage();
      if (fresh?.gone) return location.reload(); // the error page explains why
      if (fresh?.page) {
        swapSections(fresh.page);
        if (!("running" in fresh.page.getElementById("run").dataset)) delete section.dataset.running;
      }
    }
    if ("running" in section.dataset) look();
  });
  if ("running" in section.dataset) look();
}
