// The timeline. It continues the drawing of the server: each event of an attempt adds or changes one bar, and the browser
// moves the drawing without a script. The rules are those of src/ui/timeline/lanes.rs.

import { atMostEvery, fetchPage, perFrame, swapSections } from "./live.js";
import { Load } from "./load.js";
import { seqOf } from "./stream.js";
import { grouped, length, onZoneChange, serverNow, setText, zoneName } from "./time.js";
import { onConnection } from "./updates.js";

/** The outcome of an attempt by the type of the event that ends it. */
const OUTCOMES = { completed: "completed", retry_scheduled: "failed", discarded: "discarded", cancelled: "cancelled", snoozed: "snoozed", interrupted: "interrupted", rescued: "interrupted" };
const EVENTS = ["started", "deleted", ...Object.keys(OUTCOMES)].map((name) => ["type", `job.${name}`]);
/** While nothing else is followed, the stream only reports its position. */
const NOTHING = [["type", "queue.paused"]];
/** How often the list is fetched again, and on a busy server the whole picture. */
const LIST_MS = 3_000;
const PICTURE_MS = 3_000;
/** How long events are kept, because a fetched picture may be older than they are. */
const KEPT_EVENTS = 1_000;
/** Where motion is unwelcome, the picture moves in steps of this length. */
const STEP_MS = 2_000;
const SVG = "http://www.w3.org/2000/svg";

const reducesMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** Starts the page. `open` opens its stream, and `owe` repeats a failed request later. */
export function timeline({ open, owe }) {
  const load = new Load();
  const picture = new Picture();
  let kept = [];
  const fetched = (ids, afterwards) => async function again() {
    if (document.hidden) return owe(again);
    const fresh = await fetchPage();
    if (!fresh?.page) return owe(again);
    swapSections(fresh.page, ids);
    afterwards(fresh);
  };
  const list = atMostEvery(LIST_MS, fetched(["attempts"], () => {}));
  const whole = atMostEvery(PICTURE_MS, fetched(["lanes", "attempts"], (fresh) => {
    picture.read();
    const seq = seqOf(fresh.cursor);
    if (!load.isBusy) take(kept.filter((event) => event.seq > seq));
  }));
  const take = (events) => {
    const isKnown = events.map((event) => picture.take(event));
    if (isKnown.includes(false)) whole();
  };
  const onEvents = (events) => {
    if (load.isBusy) return;
    kept = [...kept, ...events].slice(-KEPT_EVENTS);
    take(events);
    list();
  };
  const onStats = (stats) => {
    if (load.update(stats, stream.cursor)) {
      if (load.isBusy) {
        kept = [];
        stream.moveTo(stats.cursor);
      }
      stream.follow(load.isBusy ? NOTHING : EVENTS);
      whole();
    }
    if (load.isBusy || picture.isOld) whole();
  };
  const stream = open(load.isBusy ? NOTHING : EVENTS, onEvents, whole, onStats);
}

/** The bars of all lanes. */
class Picture {
  #lanes = new Map();
  /** The bars of running attempts by the ids of their jobs. */
  #running = new Map();
  #animations = [];
  /** The time at the right edge when the drawing was made. */
  #now = 0;
  #span = 0;
  #isCurrent = true;
  #stoppedAt = 0;
  #root;
  #showNotes = perFrame(() => {
    for (const lane of this.#lanes.values()) lane.showNote();
  });

  constructor() {
    this.read();
    onConnection((isCurrent, lastData) => this.#setCurrent(isCurrent, lastData));
    onZoneChange(() => this.#showZone());
    reducesMotion.addEventListener("change", () => this.#move());
    setInterval(() => this.#step(), STEP_MS);
  }

  /** Whether the drawing will soon end. */
  get isOld() {
    return serverNow() - this.#now > this.#span / 2;
  }

  /** Reads what the server has drawn. */
  read() {
    this.#root = document.querySelector(".lanes");
    const { now, span } = this.#root.dataset;
    [this.#now, this.#span] = [Number(now), Number(span)];
    this.#lanes = new Map();
    this.#running = new Map();
    for (const element of this.#root.querySelectorAll("[data-lane]")) {
      const lane = new Lane(element, this.#root.dataset);
      this.#lanes.set(element.dataset.lane, lane);
      for (const bar of lane.bars) if (!bar.dataset.end) this.#running.set(bar.dataset.job, { bar, lane });
    }
    this.#showZone();
    this.#move();
  }

  /** Takes an event. Returns whether there is a lane for it. */
  take({ type, at, job, worker }) {
    const name = type.slice(4);
    if (name === "started") return this.#start(job, worker, Date.parse(at));
    if (name === "deleted") for (const lane of this.#lanes.values()) lane.remove(job.id);
    else this.#end(job, Date.parse(at), OUTCOMES[name]);
    return true;
  }

  #start(job, worker, at) {
    const lane = this.#lanes.get({ queue: job.queue, kind: job.kind, worker }[this.#root.dataset.by]);
    // With as many lanes as the page shows, the server chooses them again when it draws the next picture.
    if (!lane) return this.#root.dataset.total >= Number(this.#root.dataset.maxLanes);
    const bar = lane.start(job, worker, at, this.#now);
    if (bar) this.#running.set(job.id, { bar, lane });
    this.#showNotes();
    return true;
  }

  #end(job, at, outcome) {
    const running = this.#running.get(job.id);
    if (!running || Number(running.bar.dataset.attempt) > job.attempt) return;
    this.#running.delete(job.id);
    running.lane.end(running.bar, at, outcome, this.#now);
    this.#showNotes();
  }

  #setCurrent(isCurrent, lastData) {
    this.#isCurrent = isCurrent;
    this.#stoppedAt = lastData + serverNow() - Date.now();
    this.#move();
  }

  /** Moves the drawings with time, or holds them where data has ended. */
  #move() {
    for (const animation of this.#animations) animation.cancel();
    const frames = [{ transform: "translateX(0)" }, { transform: "translateX(-50%)" }];
    const drawings = [...this.#root.querySelectorAll(".drawing")];
    this.#animations = drawings.map((drawing) => drawing.animate(frames, { duration: this.#span, fill: "forwards" }));
    const moves = this.#isCurrent && !reducesMotion.matches;
    const at = (this.#isCurrent ? serverNow() : this.#stoppedAt) - this.#now;
    for (const animation of this.#animations) {
      if (!moves) animation.pause();
      animation.currentTime = Math.min(Math.max(at, 0), this.#span);
    }
  }

  #step() {
    if (!this.#isCurrent || !reducesMotion.matches) return;
    for (const animation of this.#animations) animation.currentTime = Math.min(serverNow() - this.#now, this.#span);
  }

  #showZone() {
    setText(this.#root.querySelector(".axis .lane-name"), zoneName());
  }
}

/** A lane and its bars. */
class Lane {
  #element;
  #drawing;
  #about;
  /** When each track is free, in milliseconds. */
  #ends = [];
  #hidden;
  /** A bar is drawn when so many of the last bits of the id of its job are zero. */
  #zeros;

  constructor(element, about) {
    this.#element = element;
    this.#drawing = element.querySelector(".drawing");
    this.#about = about;
    this.#hidden = Number(element.dataset.hidden);
    this.#zeros = Math.log2(Number(element.dataset.oneIn));
    for (const { dataset } of this.bars) {
      this.#ends[dataset.track] = Math.max(this.#ends[dataset.track] ?? 0, this.#endOf(dataset));
    }
  }

  get bars() {
    return [...this.#drawing.querySelectorAll("a")];
  }

  #endOf({ start, end }) {
    return end ? Math.max(Number(end), Number(start) + this.#about.least * this.#about.span) : Infinity;
  }

  /** Adds the bar of an attempt, if it is in the sample, is not drawn yet and has room. */
  start({ id, kind, queue, attempt }, worker, at, now) {
    if (!isSampled(id, this.#zeros)) return null;
    if (this.#drawing.querySelector(`[data-job="${id}"][data-attempt="${attempt}"]`)) return null;
    const track = this.#freeTrack(at);
    if (track < 0) {
      this.#hidden += 1;
      return null;
    }
    this.#ends[track] = Infinity;
    const bar = document.createElementNS(SVG, "a");
    bar.setAttribute("href", `jobs/${id}`);
    bar.setAttribute("class", "o-running");
    bar.setAttribute("tabindex", "-1");
    Object.assign(bar.dataset, { job: id, attempt, start: at, track });
    bar.append(document.createElementNS(SVG, "title"), document.createElementNS(SVG, "rect"));
    bar.dataset.words = `${kind} ${id.slice(-8)}, attempt ${attempt}: |\nqueue ${queue}, worker ${worker}`;
    setText(bar.firstChild, bar.dataset.words.replace("|", "running"));
    const { bar: height, gap } = this.#about;
    const rect = { x: this.#percent(at, now), width: "100%", y: Number(gap) + track * (Number(height) + Number(gap)), height, rx: 3 };
    for (const [name, value] of Object.entries(rect)) bar.lastChild.setAttribute(name, value);
    this.#drawing.append(bar);
    const needed = this.#ends.length * (Number(height) + Number(gap)) + Number(gap);
    if (needed > Number(this.#drawing.getAttribute("height"))) this.#drawing.setAttribute("height", needed);
    this.#thin();
    return bar;
  }

  end(bar, at, outcome, now) {
    const { dataset } = bar;
    const start = Number(dataset.start);
    dataset.end = at;
    this.#ends[dataset.track] = this.#endOf(dataset);
    bar.setAttribute("class", `o-${outcome}`);
    const title = bar.querySelector("title");
    const took = at - start;
    const stand = `${outcome} after ${took < 1000 ? `${took} ms` : took < 60_000 ? `${(Math.floor(took / 100) / 10).toFixed(1).replace(/\.0$/, "")} s` : length(took)}`;
    setText(title, dataset.words ? dataset.words.replace("|", stand) : title.textContent.replace(": running", `: ${stand}`));
    const share = ((this.#ends[dataset.track] - Math.max(start, now - this.#about.span)) / (2 * this.#about.span)) * 100;
    bar.querySelector("rect").setAttribute("width", `${Math.max(share, 0).toFixed(3)}%`);
  }

  remove(id) {
    for (const bar of this.#drawing.querySelectorAll(`[data-job="${id}"]`)) bar.remove();
  }

  /** The words below the name. */
  showNote() {
    const count = (outcome) => this.#drawing.querySelectorAll(`.o-${outcome}`).length;
    const failed = count("failed") + count("discarded");
    const parts = this.#zeros > 0 ? [`sample: 1 in ${2 ** this.#zeros}`] : [`${count("running")} running`];
    if (failed && !this.#zeros) parts.push(`${failed} failed`);
    if (this.#hidden) parts.push(`${grouped(this.#hidden)} not drawn`);
    setText(this.#element.querySelector(".note"), parts.join(" · "));
  }

  #freeTrack(at) {
    const free = this.#ends.findIndex((end) => !(end > at));
    if (free >= 0) return free;
    return this.#ends.length < this.#about.maxTracks ? this.#ends.length : -1;
  }

  #percent(at, now) {
    const share = ((at - now + Number(this.#about.span)) / (2 * this.#about.span)) * 100;
    return `${Math.min(Math.max(share, -1), 100).toFixed(3)}%`;
  }

  /** With too many bars, draws a smaller sample. */
  #thin() {
    while (this.#drawing.childElementCount > 2 * this.#about.maxBars) {
      this.#zeros += 1;
      for (const bar of this.bars) if (!isSampled(bar.dataset.job, this.#zeros)) bar.remove();
    }
  }
}

/** Whether so many of the last bits of a job's id are zero. */
function isSampled(id, zeros) {
  const bits = Number.parseInt(id.slice(-8), 16);
  return zeros >= 32 ? bits === 0 : bits % 2 ** zeros === 0;
}
