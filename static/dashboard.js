// Applies `stats` messages to a page: its counters, rows of queues, charts and sparklines. Messages arrive at most
// four times a second; the page is redrawn once per frame, and not while it is hidden.

import { Chart, Spark, percent, rate } from "./chart.js";
import { perFrame, showStats } from "./live.js";
import { grouped, onZoneChange, serverNow, setText, setTime, timeElement } from "./time.js";
import { onConnection } from "./updates.js";

/** Wider columns are sums of minutes, which only the server has. */
const MAX_COLUMN_S = 60;

export class Dashboard {
  #charts = [];
  /** Charts whose columns the server adds up; only their texts depend on this page. */
  #wideCharts = [];
  #rows = new Map();
  #crosshair = null;
  #newest = null;
  #options;
  #render;
  /** Whether data arrives, and the second after the last data. */
  #isCurrent = true;
  #lostAt = 0;

  /**
   * `scope` names the counters that the page shows. `queue` is the queue whose charts it shows; without it, they are
   * those of the whole server. `onUnknownQueue` is called when the rows do not match the queues that exist, `onMissed`
   * when a chart has missed some seconds, and `onBack` when data arrives again after a gap. Without `isLive`, only the server
   * continues the charts.
   */
  constructor({ scope = "all", queue = "", onUnknownQueue, onMissed, onBack = onMissed, isLive = true } = {}) {
    this.#options = { scope, queue, onUnknownQueue, onMissed, onBack, isLive };
    this.#render = perFrame(() => this.#draw());
    this.rescan();
    onConnection((isCurrent, lastData) => this.#setCurrent(isCurrent, lastData));
    onZoneChange(() => [...this.#charts, ...this.#wideCharts].forEach((chart) => chart.draw()));
    // Charts move on even when no message arrives.
    setInterval(() => document.hidden || this.#render(), 1000);
  }

  /** Looks for charts and rows again after the server has rendered the page or a part of it. */
  async rescan() {
    const known = new Map([...this.#drawings, ...this.#wideCharts].map((drawing) => [drawing.element, drawing]));
    const keep = (element, make) => known.get(element) ?? make(element);
    const charts = [...document.querySelectorAll("figure.chart")].map((figure) => keep(figure, (it) => new Chart(it)));
    const isLive = ({ columns }) => this.#options.isLive && columns.width <= MAX_COLUMN_S;
    this.#charts = charts.filter(isLive);
    this.#wideCharts = charts.filter((chart) => !isLive(chart));
    // The server has written their times in UTC.
    for (const chart of charts) chart.draw();
    this.#rows = new Map();
    for (const row of document.querySelectorAll("tr[data-queue]")) {
      const path = row.querySelector(".spark path");
      this.#rows.set(row.dataset.queue, { row, spark: path && keep(path, (it) => new Spark(it)) });
    }
    if (!charts.length) return;
    const { Crosshair } = await import("./crosshair.js");
    this.#crosshair ??= new Crosshair(() => [...this.#charts, ...this.#wideCharts], this.#options.onMissed);
    this.#crosshair.attach();
  }

  /** Whether the page has charts that only the server can continue. */
  get isWide() {
    return this.#wideCharts.length > 0;
  }

  get #drawings() {
    return [...this.#charts, ...[...this.#rows.values()].map(({ spark }) => spark)].filter(Boolean);
  }

  /** Leaves the time without data empty, and asks for it once data arrives again. */
  #setCurrent(isCurrent, lastData) {
    this.#isCurrent = isCurrent;
    if (!isCurrent) this.#lostAt = Math.floor((lastData + serverNow() - Date.now()) / 1000) + 1;
    for (const drawing of this.#drawings) drawing.setCurrent(isCurrent, this.#lostAt);
    this.#showAge(isCurrent ? [] : ["as of ", timeElement(lastData)]);
    this.#render();
    if (isCurrent && this.#drawings.some((drawing) => drawing.lacks(this.#lostAt))) this.#options.onBack?.();
  }

  #showAge(words) {
    const title = document.getElementById("charts-title");
    if (!title) return;
    if (!title.children.length) title.append(" ", Object.assign(document.createElement("span"), { className: "hint" }));
    title.lastElementChild.replaceChildren(...words);
  }

  /** Applies a `stats` message. */
  update(stats) {
    this.#newest = stats;
    const second = Math.floor(Date.parse(stats.second.at) / 1000);
    const point = this.#options.queue ? stats.queues.find(({ name }) => name === this.#options.queue)?.second : stats.second;
    let missed = false;
    for (const chart of this.#charts) {
      // A gap matters only when something happened in it. Rates are averages over five seconds.
      missed = (point && chart.take(second, chart.valuesOf(point)) && stats.per_second.events * 5 > stats.second.events + 0.5) || missed;
    }
    for (const { name, second: counts } of stats.queues) this.#rows.get(name)?.spark?.take(second, [counts.completed, counts.failed]);
    if (missed) this.#options.onMissed?.();
    this.#render();
  }

  #draw() {
    const now = Math.floor(serverNow() / 1000);
    for (const drawing of this.#drawings) drawing.show(now);
    if (!this.#newest) return;
    const stats = this.#newest;
    this.#newest = null;
    showStats(stats, this.#options.scope);
    if (!this.#options.onUnknownQueue) return;
    const isFull = this.#rows.size >= Number(document.getElementById("queues").dataset.max);
    let shown = 0;
    let isOutdated = false;
    for (const queue of stats.queues) {
      const known = this.#rows.get(queue.name);
      if (known) shown += 1;
      if (known ? !showQueue(known, queue) : !isFull) isOutdated = true;
    }
    if (isOutdated || shown < this.#rows.size) this.#options.onUnknownQueue();
  }
}

/** Updates a row. Returns false when the row must be rendered by the server, because a setting of the queue has changed. */
function showQueue({ row, spark }, { paused, concurrency, states, waiting_since: since, per_second: perSecond }) {
  const { dataset } = row;
  if (dataset.paused !== String(paused) || dataset.concurrency !== String(concurrency)) return false;
  const field = (name) => row.querySelector(`[data-n=${name}]`);
  setText(field("available"), grouped(states.available ?? 0));
  setText(field("running"), grouped(states.running ?? 0));
  // Without a sparkline, the server keeps no history of the queue, and these values are unknown.
  if (spark) {
    setText(field("rate"), rate(perSecond.completed));
    const [completed, failed] = spark.sums;
    setText(field("failing"), percent(failed, completed + failed));
  }
  showOldest(field("oldest"), since);
  setText(row.querySelector(".pill"), !paused ? "active" : states.running ? "draining" : "paused");
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
