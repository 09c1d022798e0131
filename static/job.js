// The page of a job: its sections, its log, and the progress with an estimate of the time left.

import { startJsonViews } from "./json-view.js";
import { atMostEvery, fetchPage, perFrame, say, setBadge, swapSections } from "./live.js";
import { seqOf } from "./stream.js";
import { setTabResult } from "./tab-status.js";
import { grouped, length, serverNow, setText, showTime } from "./time.js";
import { showVisible, visible } from "./visible-text.js";

const MOST_LINES = 2000;
const TOO_EARLY_S = 2;
/** The shortest silence that is shown, once it is also much longer than usual. */
const SILENCE_S = 10;

/** Starts the page. `open` opens its stream, and `owe` repeats a failed request later. */
export function job(open, owe, id) {
  startJsonViews();
  const log = new Log();
  const progressView = new ProgressView();
  const lines = [];
  let report = null;
  let state = null;
  let shown = 0; // the sections include all events up to this one
  const refresh = atMostEvery(500, async () => {
    const fresh = await fetchPage();
    if (!fresh) owe(refresh);
    if (!fresh?.page) return;
    const before = endOf();
    swapSections(fresh.page);
    if (endOf() && !before) {
      say(endOf());
      document.dispatchEvent(new CustomEvent("job-ended", { detail: endOf() }));
      setTabResult(document.querySelector("#head .badge").textContent);
    }
    shown = seqOf(fresh.cursor);
    progressView.swapped(shown);
  });
  const render = perFrame(() => {
    if (lines.length) log.append(lines.splice(0));
    if (report) progressView.show(report);
    if (state) setBadge(document.querySelector("#head .badge"), state);
    report = state = null;
  });
  setInterval(() => (growBar(), growFalls()), 1000);
  const button = document.getElementById("notify");
  if (button) import("./notify.js").then(({ startNotifying }) => startNotifying(button, id));
  open([["job", id]], (events) => {
    for (const event of events) {
      if (event.lines) lines.push(...event.lines.map((line) => ({ ...line, attempt: event.job.attempt })));
      else if (event.progress) report = event;
      else if (event.seq > shown) {
        state = event.type === "job.deleted" ? "deleted" : event.job.state;
        refresh();
      }
    }
    render();
  });
}

/** The end of the job in words; empty while it goes on. */
const endOf = () => document.getElementById("standing").dataset.end ?? "";

/** Lays out the lifetime bar again while its last segment grows, as src/ui/job/lifetime_bar.rs does. Breaks keep their width. */
function growBar() {
  const bar = document.querySelector(".lifetime-bar.open");
  if (!bar || document.hidden) return;
  const rects = [...bar.children];
  const width = (rect) => Number(rect.getAttribute("width"));
  const lengths = rects.map(({ dataset: { ms, since } }) => (since ? Math.max(0, serverNow() - Date.parse(since)) : Number(ms ?? 0)));
  const whole = lengths.reduce((sum, ms) => sum + ms, 0);
  if (!whole) return;
  const rest = rects.reduce((sum, rect) => sum - (rect.dataset.ms ? 0 : width(rect)), Number(bar.dataset.width));
  let [x, broken, gone] = [0, 0, 0];
  rects.forEach((rect, n) => {
    if (!rect.dataset.ms) broken += width(rect);
    gone += lengths[n];
    const end = broken + Math.floor((rest * gone) / whole);
    rect.setAttribute("x", x);
    rect.setAttribute("width", end - x);
    rect.classList.toggle("thin", end - x < Number(bar.dataset.thin));
    x = end;
  });
}

/** Lays out the waterfall again while the job goes on, as src/ui/job/waterfall.rs does. */
function growFalls() {
  const axis = document.querySelector(".axis[data-since]");
  if (!axis || document.hidden) return;
  const whole = Math.max(1, serverNow() - Date.parse(axis.dataset.since));
  const marks = axis.querySelectorAll(".marks span");
  marks.forEach((mark, n) => n && setText(mark, length((whole * n) / (marks.length - 1))));
  for (const rect of document.querySelectorAll(".fall rect")) {
    const { width } = rect.ownerSVGElement.viewBox.baseVal;
    const place = (ms) => Math.floor((width * Math.min(ms, whole)) / whole);
    const [x, end] = [place(Number(rect.dataset.from)), place(Number(rect.dataset.to ?? whole))];
    rect.setAttribute("x", x);
    rect.setAttribute("width", end - x);
  }
}

/** The log. It follows new lines until the reader scrolls up, and again once the reader scrolls to the end. */
class Log {
  #list = document.getElementById("log");
  #button = document.getElementById("follow");
  #follows = true;
  #moved = 0;
  /** The attempt of the last line. */
  #attempt = Number(this.#list.dataset.shown);

  constructor() {
    if (this.#button) {
      this.#button.hidden = false;
      this.#button.addEventListener("click", () => this.#follow(!this.#follows));
    }
    this.#list.addEventListener("scroll", () => {
      // Ignore the scrolling that this class causes itself.
      if (Math.abs(this.#list.scrollTop - this.#moved) > 2) this.#follow(this.#isAtEnd());
    });
    this.#follow(Boolean(this.#button)); // the log of a finished job starts at its beginning
  }

  append(lines) {
    const list = this.#list;
    document.getElementById("log-empty").hidden = true;
    list.hidden = false;
    const rows = document.createDocumentFragment();
    for (const line of lines.slice(-MOST_LINES)) {
      if (line.attempt !== this.#attempt) rows.append(...this.#headings(line.attempt));
      this.#attempt = line.attempt;
      rows.append(rowOf(line, "raw" in this.#list.dataset));
    }
    list.append(rows);
    while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
    if (this.#follows) this.#toEnd();
  }

  /** The heading of the lines of an attempt, as src/ui/job/log_part.rs has it. The first attempt gets one with the second. */
  #headings(attempt) {
    if (attempt < 2) return [];
    const heading = (number) => Object.assign(document.createElement("li"), { className: "log-attempt", textContent: `Attempt ${number}` });
    if (this.#attempt && !this.#list.querySelector(".log-attempt")) this.#list.prepend(heading(this.#attempt));
    return [heading(attempt)];
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < 24;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#moved = this.#list.scrollTop;
  }

  #follow(wanted) {
    this.#follows = wanted;
    this.#button?.setAttribute("aria-pressed", String(wanted));
    if (wanted) this.#toEnd();
    else this.#moved = -Infinity;
  }
}

function rowOf(line, isRaw) {
  const row = document.createElement("li");
  row.className = `from-${line.stream}`;
  const time = document.createElement("time");
  time.dateTime = line.at;
  time.dataset.show = "clock";
  showTime(time);
  const text = span("text", "");
  if (showVisible(text, line.text, isRaw)) document.getElementById("log-raw").hidden = false;
  row.append(time, " ", span("stream", line.stream), " ", text);
  return row;
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

/** The progress of the attempt, with an estimate in the format of src/ui/parts/eta.rs. */
class ProgressView {
  #report = null;
  #heard = 0;
  #count = 0;

  constructor() {
    setInterval(() => !document.hidden && this.#tell(), 1000);
  }

  /** Takes a progress event. */
  show(event) {
    this.#report = event;
    this.#heard = Date.now();
    this.#count += 1;
    this.#draw();
  }

  /** The sections were replaced as of event `seq`; a newer report is shown again. */
  swapped(seq) {
    if (this.#report?.seq > seq) this.#draw();
  }

  #draw() {
    const bar = document.getElementById("progress-bar");
    if (!bar) return;
    const { done, total, message } = this.#report.progress;
    if (total) {
      bar.max = total;
      bar.value = Math.min(done, total);
    } else {
      bar.removeAttribute("value");
    }
    setText(document.getElementById("progress-count"), grouped(done) + (total ? ` of ${grouped(total)}` : ""));
    setText(document.getElementById("progress-message"), visible(message ?? ""));
    this.#tell();
  }

  #tell() {
    const place = document.getElementById("progress-left");
    const started = Date.parse(document.getElementById("progress")?.dataset.started);
    if (!place || !this.#report || !started) return;
    const elapsed = (serverNow() - started) / 1000;
    const silence = (Date.now() - this.#heard) / 1000;
    const { done, total } = this.#report.progress;
    // The silence is twice as long as the average time between the reports of this attempt.
    const late = silence > SILENCE_S && silence > (2 * elapsed) / (this.#count + 1);
    setText(place, late ? `no progress for ${Math.floor(silence)} s` : left(elapsed, done, total));
  }
}

/** Estimates the time left: `about 40 s left`; empty when there is no basis for an estimate. */
export function left(elapsed, done, total) {
  if (!total || done === 0 || done >= total || elapsed < TOO_EARLY_S) return "";
  const seconds = Math.ceil((elapsed * (total - done)) / done);
  const [n, unit] =
    seconds < 90 ? [Math.ceil(seconds / 5) * 5, "s"]
    : seconds < 5400 ? [Math.ceil(seconds / 60), "min"]
    : seconds < 172800 ? [Math.ceil(seconds / 3600), "h"]
    : [Math.ceil(seconds / 86400), "d"];
  return seconds < 5 ? "a few seconds left" : `about ${n} ${unit} left`;
}
