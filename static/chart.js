// Charts and sparklines. They continue the drawing of the server: each new second is added to the columns in the data
// attributes. Shapes and texts match src/ui/parts/chart.rs.

import { grouped, length, setText, timeOfDay } from "./time.js";

/** Formats a rate per second: `0.2`, `7`, `1 250`. */
export function rate(perSecond) {
  return perSecond < 9.95 ? perSecond.toFixed(1).replace(/\.0$/, "") : grouped(Math.round(perSecond));
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
    const at = (column) => timeOfDay(Math.min(this.from + column * this.#width, this.until) * 1000);
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

  constructor(figure) {
    const lines = [...figure.querySelectorAll("path[data-line]")];
    const isSum = figure.dataset.column === "sum";
    super(figure, new Columns(figure.dataset, lines.map((line) => numbersOf(line.dataset.numbers)), isSum ? sum : most));
    this.#figure = figure;
    this.#box = figure.querySelector("svg").viewBox.baseVal;
    this.#lines = lines;
    this.#isSum = isSum;
    this.#show = isSum ? (value) => `${rate(value)}/s` : milliseconds;
  }

  /** Returns the values of a point of the stream, one for each line. */
  valuesOf(point) {
    const source = this.#isSum ? point : this.#figure.id === "chart-waits" ? point.wait_ms : point.run_ms;
    return this.#lines.map((line) => source?.[line.dataset.line] ?? (this.#isSum ? 0 : null));
  }

  draw() {
    const { columns } = this;
    const rows = columns.rows.map((row) => (this.#isSum ? this.#perSecond(row) : row).map((value, n) => (columns.known[n] ? value : null)));
    const all = rows.flat().filter((value) => value !== null);
    const peak = Math.max(0, ...all);
    const top = nice(Math.max(peak, Number(this.#figure.dataset.least)));
    const newestTexts = this.#lines.map((line, n) => {
      line.setAttribute("d", pathOf(rows[n], top, this.#box));
      const newest = rows[n].findLast((value) => value !== null);
      const now = newest === undefined ? "–" : this.#show(newest);
      const { line: name } = line.dataset;
      setText(this.#figure.querySelector(`[data-now="${name}"]`), now);
      return `${name} ${now}`;
    });
    setText(this.#figure.querySelector(".top"), this.#show(top));
    const words = this.#figure.querySelector("svg");
    const [, title, span] = words.getAttribute("aria-label").match(/^(.*?): .* The peak in (.*) was /);
    words.setAttribute("aria-label", `${title}: ${newestTexts.join(", ")}. The peak in ${span} was ${this.#show(peak)}.${columns.noDataWords()}`);
    this.#figure.querySelector(".no-data").setAttribute("d", columns.noData(this.#box));
    this.#moveMarks();
  }

  #perSecond(row) {
    const { width, part } = this.columns;
    return row.map((value, n) => value / (n + 1 === row.length ? Math.min(Math.max(part, 1), width) : width));
  }

  #moveMarks() {
    const { from, width, rows } = this.columns;
    for (const mark of this.#figure.querySelectorAll("line[data-start]")) {
      const x = ((Date.parse(mark.dataset.start) / 1000 - from) / (rows[0].length * width)) * this.#box.width;
      if (x < 0) mark.remove();
      else for (const end of ["x1", "x2"]) mark.setAttribute(end, x.toFixed(1));
    }
  }
}

/** Draws a line through the values, with gaps where there is none. */
function pathOf(values, top, { width, height }) {
  const step = width / (Math.max(values.length, 2) - 1);
  let path = "";
  let isDown = false;
  values.forEach((value, n) => {
    if (value !== null) {
      const [x, y] = [n * step, height - 1 - (value / top) * (height - 3)];
      path += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${isDown ? "" : "h0"}`;
    }
    isDown = value !== null;
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
