// Reads the same moment on all charts of a page, and picks a range of times, whose jobs a link leads to. Only pages with
// charts load this script. It works with a pointer (point; drag) and with the keyboard (arrow keys; with Shift they pick).

import { columnTime } from "./chart.js";
import { say } from "./live.js";

/** A shorter drag is a click. */
const MIN_DRAG_PX = 4;

export class Crosshair {
  /** Returns the charts of the page. */
  #charts;
  /** Called when the charts may have missed changes while the reader used them. */
  #onMissed;
  /** The time at which the reader points, the time at which they began to pick, and the range that they have picked, in seconds. */
  #at = null;
  #anchor = null;
  #picked = null;
  #pressedX = null;
  /** Whether the range was picked on a chart of what ended. */
  #ofEnds = true;

  constructor(charts, onMissed) {
    this.#charts = charts;
    this.#onMissed = onMissed;
    addEventListener("keydown", (event) => event.key === "Escape" && this.#clear());
  }

  /** Adds the layer that reacts to the reader to charts that do not have it, and shows again what was picked. */
  attach() {
    for (const chart of this.#charts()) {
      const plot = chart.element.querySelector(".plot");
      if (!plot.querySelector(".pointer")) plot.append(this.#layer(chart));
    }
    if (this.#picked && !document.getElementById("range-jobs")) this.#offer(this.#charts()[0]);
    this.#show();
  }

  /** Keeps the server's next version of the charts from replacing those that the reader is using, until they let go. */
  #hold(isHeld) {
    const section = this.#charts()[0]?.element.closest("[data-live]");
    if (!section || isHeld === "held" in section.dataset) return;
    if (isHeld) section.dataset.held = "";
    else delete section.dataset.held;
    if (isHeld || !("missed" in section.dataset)) return;
    delete section.dataset.missed;
    this.#onMissed?.();
  }

  #layer(chart) {
    const layer = document.createElement("div");
    layer.className = "pointer";
    layer.tabIndex = 0;
    layer.setAttribute("role", "slider");
    layer.setAttribute("aria-label", `Moment on the chart ${chart.element.querySelector("strong").textContent}`);
    layer.setAttribute("aria-valuemin", 0);
    layer.setAttribute("aria-valuemax", chart.columns.known.length - 1);
    layer.setAttribute("aria-valuenow", chart.columns.known.length - 1);
    layer.setAttribute("aria-valuetext", "newest");
    const timeOf = ({ clientX }) => this.#timeOf(chart, (clientX - layer.getBoundingClientRect().left) / layer.clientWidth);
    layer.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      layer.setPointerCapture(event.pointerId);
      this.#hold(true);
      this.#pressedX = event.clientX;
      this.#anchor = timeOf(event);
    });
    layer.addEventListener("pointermove", (event) => {
      this.#at = timeOf(event);
      if (this.#pressedX !== null && Math.abs(event.clientX - this.#pressedX) >= MIN_DRAG_PX) this.#pick(chart);
      this.#show();
    });
    const end = () => {
      if (this.#pressedX !== null && this.#picked) this.#offer(chart, true);
      this.#pressedX = null;
      this.#anchor = null;
      this.#hold(document.activeElement === layer);
    };
    layer.addEventListener("pointerup", end);
    layer.addEventListener("pointercancel", end);
    layer.addEventListener("pointerleave", () => this.#leave());
    layer.addEventListener("focus", () => this.#hold(true));
    layer.addEventListener("blur", () => {
      this.#leave();
      this.#hold(this.#pressedX !== null);
    });
    layer.addEventListener("keydown", (event) => this.#key(chart, layer, event));
    return layer;
  }

  #timeOf({ columns: { from, width, known } }, share) {
    const column = Math.min(Math.max(Math.round(share * (known.length - 1)), 0), known.length - 1);
    return from + column * width;
  }

  #key(chart, layer, event) {
    const { from, width, known } = chart.columns;
    const last = known.length - 1;
    const now = this.#at === null ? last : Math.floor((this.#at - from) / width);
    const column = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageDown: now - 10, PageUp: now + 10, Home: 0, End: last }[event.key];
    if (event.key === "Enter" && this.#picked) document.getElementById("range-jobs")?.click();
    if (column === undefined) return;
    event.preventDefault();
    if (event.shiftKey) this.#anchor ??= from + now * width;
    else this.#anchor = null;
    this.#at = from + Math.min(Math.max(column, 0), last) * width;
    if (event.shiftKey) {
      this.#pick(chart);
      this.#offer(chart, true);
    }
    this.#show();
    layer.setAttribute("aria-valuenow", Math.floor((this.#at - from) / width));
    layer.setAttribute("aria-valuetext", chart.words);
  }

  /** Picks from where the reader began to where they point, both columns included. */
  #pick({ columns: { width, until } }) {
    const [since, last] = [this.#anchor, this.#at].sort((a, b) => a - b);
    this.#picked = [since, Math.min(last + width, until)];
  }

  /** Offers the jobs of the picked range: as a link, and in the form below the charts. `isNew` is whether it was just picked. */
  #offer({ element, columns: { width, known } }, isNew = false) {
    const [since, until] = this.#picked.map((seconds) => new Date(seconds * 1000).toISOString().replace(".000", ""));
    const form = document.querySelector(".of-range");
    form.elements.since.value = since;
    form.elements.until.value = until;
    // A job waits before it starts, and is on the other charts when it ends.
    if (isNew) this.#ofEnds = element.id !== "chart-waits";
    form.elements.of.value = this.#ofEnds ? "ended" : "submitted";
    const link = document.getElementById("range-jobs") ?? form.appendChild(Object.assign(document.createElement("a"), { id: "range-jobs", className: "button small primary" }));
    link.href = `jobs?${new URLSearchParams(new FormData(form))}`;
    const [from, to] = this.#picked.map((seconds) => columnTime(seconds * 1000, width * known.length));
    link.textContent = `Jobs that ${form.elements.of.selectedOptions[0].text} from ${from} to ${to}`;
    if (isNew) say(`${link.textContent}. Press Enter to open them, Escape to clear the range.`);
  }

  #leave() {
    if (this.#pressedX !== null) return;
    this.#at = null;
    this.#show();
  }

  #clear() {
    [this.#picked, this.#anchor, this.#pressedX] = [null, null, null];
    document.getElementById("range-jobs")?.remove();
    this.#show();
  }

  #show() {
    for (const chart of this.#charts()) chart.point(this.#at, this.#picked);
  }
}
