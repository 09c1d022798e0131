// What the `stats` messages of the stream change on a page: counters, rows of queues, charts and sparklines.
// Messages are taken as they come, at most four a second; the page is drawn once a frame, and not while hidden.

import { Chart, Spark, percent, rate } from "./chart.js";
import { perFrame, showStats } from "./live.js";
import { grouped, serverNow, setText, setTime } from "./time.js";

/** Columns longer than this are sums of minutes, which only the server has. */
const LONGEST_COLUMN_S = 60;

export class Board {
  #charts = [];
  #rows = new Map();
  #newest = null;
  #options;
  #render;

  /**
   * `scope` says which counters the page shows; `queue` whose charts, the server's when left out. `onStranger` is
   * called when the rows of queues are not those that there are, `onMissed` when a chart has a hole.
   */
  constructor({ scope = "all", queue = "", onStranger, onMissed } = {}) {
    this.#options = { scope, queue, onStranger, onMissed };
    this.#render = perFrame(() => this.#draw());
    this.read();
    // Time goes by without messages, too.
    setInterval(() => document.hidden || this.#render(), 1000);
  }

  /** The server has drawn the page, or a part of it: goes on from there. */
  read() {
    const known = new Map([...this.#charts, ...[...this.#rows.values()].map(({ spark }) => spark)].filter(Boolean).map((drawing) => [drawing.element, drawing]));
    const keep = (element, make) => known.get(element) ?? make(element);
    this.#charts = [...document.querySelectorAll("figure.chart")].filter((figure) => Number(figure.dataset.width) <= LONGEST_COLUMN_S).map((figure) => keep(figure, (it) => new Chart(it)));
    this.#rows = new Map();
    for (const row of document.querySelectorAll("tr[data-queue]")) {
      const path = row.querySelector(".spark path");
      this.#rows.set(row.dataset.queue, { row, spark: path && keep(path, (it) => new Spark(it)) });
    }
  }

  /** A message came. */
  take(stats) {
    this.#newest = stats;
    const second = Math.floor(Date.parse(stats.second.at) / 1000);
    const point = this.#options.queue ? stats.queues.find(({ name }) => name === this.#options.queue)?.second : stats.second;
    let missed = false;
    for (const chart of this.#charts) {
      // What was missed matters only when something happened in it: rates are those of five seconds.
      missed = (point && chart.take(second, chart.valuesOf(point)) && stats.per_second.events * 5 > stats.second.events + 0.5) || missed;
    }
    for (const { name, second: counts } of stats.queues) this.#rows.get(name)?.spark?.take(second, [counts.completed, counts.failed]);
    if (missed) this.#options.onMissed?.();
    this.#render();
  }

  #draw() {
    const now = Math.floor(serverNow() / 1000);
    for (const chart of this.#charts) chart.show(now);
    for (const { spark } of this.#rows.values()) spark?.show(now);
    if (!this.#newest) return;
    const stats = this.#newest;
    this.#newest = null;
    showStats(stats, this.#options.scope);
    if (!this.#options.onStranger) return;
    const isFull = this.#rows.size >= Number(document.getElementById("queues").dataset.max);
    let told = 0;
    let strange = false;
    for (const queue of stats.queues) {
      const known = this.#rows.get(queue.name);
      if (known) told += 1;
      if (known ? !showQueue(known, queue) : !isFull) strange = true;
    }
    if (strange || told < this.#rows.size) this.#options.onStranger();
  }
}

/** Brings a row up to date; says whether that was possible. What only a click can change is the server's to draw. */
function showQueue({ row, spark }, { paused, concurrency, states, waiting_since: since, per_second: perSecond }) {
  const { dataset } = row;
  if (dataset.paused !== String(paused) || dataset.concurrency !== String(concurrency)) return false;
  const field = (name) => row.querySelector(`[data-n=${name}]`);
  setText(field("available"), grouped(states.available ?? 0));
  setText(field("running"), grouped(states.running ?? 0));
  setText(field("rate"), rate(perSecond.completed));
  if (spark) {
    const [completed, failed] = spark.sums;
    setText(field("failing"), percent(failed, completed + failed));
  }
  showOldest(field("oldest"), since);
  setText(row.querySelector(".pill"), !paused ? "active" : states.running ? "draining" : "drained");
  return true;
}

function showOldest(cell, since) {
  let time = cell.querySelector("time");
  if (!since) {
    if (time) cell.replaceChildren(Object.assign(document.createElement("span"), { className: "of", textContent: "–" }));
    return;
  }
  if (!time) {
    time = document.createElement("time");
    time.dataset.rel = "";
    cell.replaceChildren(time);
  }
  setTime(time, since);
}
