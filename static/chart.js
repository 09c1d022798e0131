// Charts and sparklines. They continue the drawing of the server: each new second is added to the columns in the data
// attributes. Shapes and texts match src/ui/parts/chart.rs, value_scale.rs
// and time_axis.rs.

import { grouped, length, monthAndDay, offset, setText, timeOfDay } from "./time.js";

/** Formats a rate per second: `0.2`, `7`, `1 250`. */
export function rate(perSecond) {
  return perSecond < 9.95 ? perSecond.toFixed(1).replace(/\.0$/, "") : grouped(Math.round(perSecond));
}

/** Formats a rate, per minute or hour when there is less than one in ten seconds or minutes. */
function pace(perSecond) {
  if (perSecond === 0 || perSecond >= 0.095) return `${rate(perSecond)}/s`;
  return perSecond * 60 >= 0.095 ? `${rate(perSecond * 60)}/min` : `${rate(perSecond * 3600)}/h`;
}

/** Formats a share in percent: `0.4%`, `12%`, or a dash when the whole is zero. */
export function percent(part, whole) {
  if (!whole) return "–";
  const share = (part * 100) / whole;
  return `${part > 0 && share < 10 ? share.toFixed(1) : Math.round(share)}%`;
}

function milliseconds(ms) {
  if (ms < 1000) return `${Math.floor(ms)} ms`;
  if (ms >= 60_000 || ms % 1000 === 0) return length(ms);
  return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
}

/** Where the lowest and the highest value are drawn, from the upper and the lower edge. */
const [BASE, TOP] = [1, 14];
const MAX_DECADES = 5;
const DAY_S = 86_400;

/** A linear or a logarithmic scale that fits the values. */
function scaleOf(kind, values, leastTop, { height }) {
  const most = Math.max(leastTop, ...values);
  const power = Math.ceil(Math.log10(most));
  const decades = Math.min(Math.max(Math.ceil(power - Math.log10(Math.min(most, ...values.filter((value) => value > 0)))), 1), MAX_DECADES);
  const isLog = kind === "log";
  const top = isLog ? 10 ** power : nice(most);
  const part = (value) => (isLog ? (value > 0 ? 1 + Math.log10(value / top) / decades : 0) : value / top);
  const y = (value) => height - BASE - Math.min(Math.max(part(value), 0), 1) * (height - BASE - TOP);
  const lines = isLog ? Array.from({ length: decades }, (_, n) => top / 10 ** n) : [top, middle(top)];
  return { y, lines };
}

/** A round number near the middle below a round number: 0.5 for 1, 1 for 2, and 2 for 5. */
function middle(top) {
  return Math.round(top / 10 ** Math.floor(Math.log10(top))) === 5 ? top * 0.4 : top / 2;
}

/** Rounds up to the next of 1, 2, 5, 10, 20, 50 and so on. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find((digit) => digit * power >= value) ?? 10) * power;
}

const numbersOf = (text) => text.split(",").map((number) => (number === "" ? null : Number(number)));
const sum = (column, value) => column + value;
const most = (column, value) => (value === null || value === undefined ? column : Math.max(column ?? 0, value));

/** Rows of numbers in columns of equal duration, the newest last, which move on together. A column may have no data. */
class Columns {
  #width;
  #empty;
  #add;
  until;

  constructor({ width, until, known }, rows, add) {
    this.#width = Number(width);
    this.until = Number(until);
    this.#add = add;
    this.#empty = add === sum ? 0 : null;
    this.rows = rows;
    this.known = [...known].map(Number);
  }

  get #last() {
    return Math.floor((this.until - 1) / this.#width);
  }

  get width() {
    return this.#width;
  }

  /** The seconds of the newest column that have passed. */
  get part() {
    return this.until - this.#last * this.#width;
  }

  /** The second at which the oldest column begins. */
  get from() {
    return (this.#last - this.known.length + 1) * this.#width;
  }

  /** Moves the columns on to a time up to which there is data, or is none. Returns whether anything moved. */
  goTo(until, isKnown) {
    if (!(until > this.until)) return false;
    const before = this.#last;
    this.until = until;
    const passed = Math.min(this.#last - before, this.known.length);
    for (const row of [this.known, ...this.rows]) {
      row.splice(0, passed);
      for (let n = 0; n < passed; n += 1) row.push(row === this.known ? Number(isKnown) : this.#empty);
    }
    return true;
  }

  /** Adds the counts of a second. */
  add(second, values) {
    const column = Math.floor((second - this.from) / this.#width);
    if (column < 0 || column >= this.known.length) return;
    this.known[column] = 1;
    values.forEach((value, row) => (this.rows[row][column] = this.#add(this.rows[row][column], value)));
  }

  /** Notes that the columns that begin at a second or later have no data. */
  forget(second) {
    const first = Math.max(0, Math.ceil((second - this.from) / this.#width));
    this.known.fill(0, first);
  }

  /** The ranges of neighbouring columns with data, or without, as their first and last indexes. */
  ranges(isKnown) {
    const ranges = [];
    this.known.forEach((known, column) => {
      if (Boolean(known) !== isKnown) return;
      if (ranges.at(-1)?.[1] === column - 1) ranges.at(-1)[1] = column;
      else ranges.push([column, column]);
    });
    return ranges;
  }

  /** The areas without data as a path in a box. */
  noData({ width, height }) {
    const newest = this.known.length - 1;
    const x = (column) => ((Math.min(Math.max(column, 0), newest) * width) / newest).toFixed(1);
    return this.ranges(false).map(([first, last]) => `M${x(first - 1)} 0H${x(last + 1)}V${height}H${x(first - 1)}z`).join("");
  }

  /** The times without data in words. */
  noDataWords() {
    const hasDays = this.#width * this.known.length > DAY_S;
    const at = (column) => {
      const ms = Math.min(this.from + column * this.#width, this.until) * 1000;
      return hasDays ? `${monthAndDay(ms)} ${timeOfDay(ms)}` : timeOfDay(ms);
    };
    return this.ranges(false).map(([first, last]) => {
      if (last + 1 === this.known.length) return first ? ` No data since ${at(first)}.` : " No data yet.";
      return first ? ` No data from ${at(first)} to ${at(last + 1)}.` : ` No data before ${at(last + 1)}.`;
    }).join("");
  }
}

/** Counts arrive up to a second late, so the newest column is shown with a delay. */
const LATE_S = 2;

/** The base of charts and sparklines: each second is added once, and the columns move on with time. */
class Drawing {
  #counted;
  #changed = false;
  /** Whether data arrives; otherwise the columns that are added have none. */
  #isCurrent = true;

  constructor(element, columns) {
    this.element = element;
    this.columns = columns;
    this.#counted = columns.until;
  }

  /** Takes the counts of a finished second. Returns whether earlier seconds were missed. */
  take(second, values) {
    if (second < this.#counted) return false;
    const missed = second > this.#counted;
    this.#counted = second + 1;
    this.columns.goTo(second + 1, this.#isCurrent);
    this.columns.add(second, values);
    this.#changed = true;
    return missed;
  }

  /** Notes whether data arrives, and if not, since which second. */
  setCurrent(isCurrent, since) {
    this.#isCurrent = isCurrent;
    this.#changed = true;
    if (!isCurrent) this.columns.forget(since);
  }

  /** Whether a column that ends after `second` has no data. It may begin earlier: newest columns are shown with a delay. */
  lacks(second) {
    return this.columns.known.some((known, column) => !known && this.columns.from + (column + 1) * this.columns.width > second);
  }

  /** Redraws if anything has changed by `now`, in seconds. */
  show(now) {
    if (this.columns.goTo(now - LATE_S, this.#isCurrent) || this.#changed) this.draw();
    this.#changed = false;
  }
}

/** A chart of the home page or of a queue. */
export class Chart extends Drawing {
  #figure;
  #lines;
  #isSum;
  #show;
  /** The coordinate system of the drawing. */
  #box;
  /** The rows as they are drawn. */
  #values = [];
  /** The time in seconds at which the reader points, and the range that they have picked. */
  #pointed = null;
  #picked = null;

  constructor(figure) {
    // The most important line is drawn last.
    const lines = [...figure.querySelectorAll("path[data-line]")].reverse();
    const isSum = figure.dataset.column === "sum";
    super(figure, new Columns(figure.dataset, lines.map((line) => numbersOf(line.dataset.numbers)), isSum ? sum : most));
    this.#figure = figure;
    this.#box = figure.querySelector("svg").viewBox.baseVal;
    this.#lines = lines;
    this.#isSum = isSum;
    this.#show = isSum ? pace : milliseconds;
  }

  /** Returns the values of a point of the stream, one for each line. */
  valuesOf(point) {
    const source = this.#isSum ? point : this.#figure.id === "chart-waits" ? point.wait_ms : point.run_ms;
    return this.#lines.map((line) => source?.[line.dataset.line] ?? (this.#isSum ? 0 : null));
  }

  /** Shows the values at a time, or the newest ones, and a range of times that was picked. */
  point(at, picked = this.#picked) {
    [this.#pointed, this.#picked] = [at, picked];
    this.#showPointed();
  }

  draw() {
    const { columns } = this;
    this.#values = columns.rows.map((row) => (this.#isSum ? this.#perSecond(row) : row).map((value, n) => (columns.known[n] ? value : null)));
    const all = this.#values.flat().filter((value) => value !== null);
    const scale = scaleOf(this.#figure.dataset.scale, all, Number(this.#figure.dataset.least), this.#box);
    const newestTexts = this.#lines.map((line, n) => {
      const { line: name } = line.dataset;
      line.setAttribute("d", pathOf(this.#values[n], scale, this.#box));
      this.#figure.querySelector(`[data-area="${name}"]`)?.setAttribute("d", areaOf(this.#values[n], scale, this.#box));
      return `${name} ${this.#text(n)}`;
    });
    const drawing = this.#figure.querySelector("svg");
    const [, title, span] = drawing.getAttribute("aria-label").match(/^(.*?): .* The peak in (.*) was /);
    drawing.setAttribute("aria-label", `${title}: ${newestTexts.join(", ")}. The peak in ${span} was ${this.#show(Math.max(0, ...all))}.${columns.noDataWords()}`);
    this.#figure.querySelector(".no-data").setAttribute("d", columns.noData(this.#box));
    this.#drawAxes(scale);
    this.#moveMarks();
    this.#showPointed();
  }

  /** The value of a line in a column, or the newest one, as text. */
  #text(n, column) {
    const value = column === undefined ? this.#values[n].findLast((value) => value !== null) : this.#values[n][column];
    return value === undefined || value === null ? "–" : this.#show(value);
  }

  #perSecond(row) {
    const { width, part } = this.columns;
    return row.map((value, n) => value / (n + 1 === row.length ? Math.min(Math.max(part, 1), width) : width));
  }

  /** Where a time is, as a share of the width. */
  #x(seconds) {
    const { from, width, known } = this.columns;
    return Math.min((seconds - from) / width / (known.length - 1), 1);
  }

  #drawAxes({ y, lines }) {
    const levels = lines.map((value) => Math.round(y(value)));
    this.#figure.querySelector(".levels").setAttribute("d", levels.map((level) => `M0 ${level}H${this.#box.width}`).join(""));
    texts(this.#figure.querySelector(".values"), lines.map((value, n) => [this.#show(value), { x: 0, y: levels[n] - 3, class: n ? "" : "top" }]));
    const spacing = Number(this.#figure.dataset.spacing);
    const zone = offset(this.columns.until * 1000) / 1000;
    const ticks = [];
    for (let n = Math.floor((this.columns.from + zone) / spacing) + 1; n * spacing - zone <= this.columns.until; n += 1) {
      const at = n * spacing - zone;
      const percent = this.#x(at) * 100;
      if (percent < 3 || percent > 97) continue;
      const text = spacing < DAY_S ? timeOfDay(at * 1000, "minute") : monthAndDay(at * 1000);
      ticks.push([text, { x: `${percent.toFixed(2)}%`, y: this.#box.height + 16, "text-anchor": "middle", class: n % 2 ? "minor" : "", "data-tick": new Date(at * 1000).toISOString() }]);
    }
    texts(this.#figure.querySelector(".ticks"), ticks);
  }

  #moveMarks() {
    for (const mark of this.#figure.querySelectorAll("g[data-start]")) {
      const x = this.#x(Date.parse(mark.dataset.start) / 1000);
      if (x < 0) mark.remove();
      else for (const end of ["x1", "x2"]) mark.firstElementChild.setAttribute(end, (x * this.#box.width).toFixed(1));
    }
  }

  #showPointed() {
    if (!this.#values.length) return;
    const { from, width, known } = this.columns;
    const column = this.#pointed === null ? undefined : Math.floor((this.#pointed - from) / width);
    this.#lines.forEach((line, n) => setText(this.#figure.querySelector(`[data-now="${line.dataset.line}"]`), this.#text(n, column)));
    const moment = column === undefined ? [] : [columnTime((from + column * width) * 1000, width * known.length), ...this.#marksAt(column)];
    setText(this.#figure.querySelector(".moment"), moment.join(" · "));
    const { width: whole, height } = this.#box;
    const x = (seconds) => (Math.max(this.#x(seconds), 0) * whole).toFixed(1);
    const [since, until] = this.#picked ?? [];
    this.#overlay("picked", "rect", this.#picked && { x: x(since), y: 0, width: Math.max(x(until) - x(since), 0.5), height });
    const at = x(from + column * width);
    this.#overlay("cross", "line", column === undefined ? null : { x1: at, x2: at, y1: 0, y2: height });
  }

  /** What happened in a column or in the one before, because a mark is hard to hit. */
  #marksAt(column) {
    const { from, width } = this.columns;
    const isNear = ({ dataset }) => [0, 1].includes(column - Math.floor((Date.parse(dataset.start) / 1000 - from) / width));
    return [...this.#figure.querySelectorAll("g[data-start]")].filter(isNear).map((mark) => mark.querySelector("title").dataset.say.trim());
  }

  #overlay(name, tag, attributes) {
    const known = this.#figure.querySelector(`.${name}`);
    if (!attributes) return known?.remove();
    const element = known ?? this.#figure.querySelector("svg").appendChild(svg(tag, { class: name }));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  }

  /** What a screen reader says about the time at which the reader points. */
  get words() {
    const texts = this.#lines.map(({ dataset }) => `${dataset.line} ${this.#figure.querySelector(`[data-now="${dataset.line}"]`).textContent}`);
    return `${this.#figure.querySelector(".moment").textContent}: ${texts.join(", ")}`;
  }
}

/** Formats the begin of a column: to the second in short ranges, with its day in long ones. */
export function columnTime(ms, rangeSeconds) {
  if (rangeSeconds <= 300) return timeOfDay(ms);
  return rangeSeconds <= DAY_S ? timeOfDay(ms, "minute") : `${monthAndDay(ms)} ${timeOfDay(ms, "minute")}`;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Replaces the texts of an axis if they differ. */
function texts(group, all) {
  const fresh = all.map(([text, attributes]) => Object.assign(svg("text", attributes), { textContent: text }));
  const isSame = fresh.length === group.childElementCount && fresh.every((text, n) => text.isEqualNode(group.children[n]));
  if (!isSame) group.replaceChildren(...fresh);
}

/** Draws a line through the values, with gaps where there is none. */
function pathOf(values, { y }, { width }) {
  const step = width / (Math.max(values.length, 2) - 1);
  let path = "";
  let isDown = false;
  values.forEach((value, n) => {
    if (value !== null) path += `${isDown ? "L" : "M"}${(n * step).toFixed(1)} ${y(value).toFixed(1)}${isDown ? "" : "h0"}`;
    isDown = value !== null;
  });
  return path;
}

/** Draws the area below the values, with gaps where there is none. A value between two gaps is a narrow bar. */
function areaOf(values, { y }, { width, height }) {
  const step = width / (Math.max(values.length, 2) - 1);
  let path = "";
  values.forEach((value, n) => {
    if (value === null) return;
    const isFirst = (values[n - 1] ?? null) === null;
    const isLast = (values[n + 1] ?? null) === null;
    const alone = isFirst && isLast ? 1 : 0;
    const at = `${y(value).toFixed(1)}`;
    if (isFirst) path += `M${(n * step - alone).toFixed(1)} ${height}`;
    path += `L${(n * step - alone).toFixed(1)} ${at}`;
    if (isLast) path += `L${(n * step + alone).toFixed(1)} ${at}L${(n * step + alone).toFixed(1)} ${height}z`;
  });
  return path;
}

/** The sparkline of a queue in its row. */
export class Spark extends Drawing {
  #path;

  constructor(path) {
    super(path, new Columns(path.dataset, [numbersOf(path.dataset.completed), numbersOf(path.dataset.failed)], sum));
    this.#path = path;
  }

  /** The total of the completed jobs and failed attempts that it shows. */
  get sums() {
    return this.columns.rows.map((row) => row.reduce(sum, 0));
  }

  draw() {
    const [completed] = this.columns.rows;
    const peak = Math.max(1, ...completed);
    const box = this.#path.ownerSVGElement.viewBox.baseVal;
    const { width, height } = box;
    const x = (n) => ((n * width) / (completed.length - 1)).toFixed(1);
    const area = ([first, last]) => {
      const line = completed.slice(first, last + 1).map((value, n) => `L${x(first + n)} ${(height - 1 - (value / peak) * (height - 3)).toFixed(1)}`);
      return `M${x(first)} ${height}${line.join("")}L${x(last)} ${height}z`;
    };
    this.#path.setAttribute("d", this.columns.ranges(true).map(area).join(""));
    this.#path.nextElementSibling.setAttribute("d", this.columns.noData(box));
  }
}
