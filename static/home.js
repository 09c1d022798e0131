// The home page. `stats` messages update its counters, queues and charts. Events update the list of recent jobs; on a
// busy server, the list shows a sample every few seconds instead.

import { Dashboard } from "./dashboard.js";
import { Load } from "./load.js";
import { atMostEvery, excerpt, fetchPage, fold, makeRow, patchRow, swapSections } from "./live.js";
import { seqOf } from "./stream.js";
import { serverNow, timeElement } from "./time.js";

const byId = (id) => document.getElementById(id);
/** The time between two updates of the list of recent jobs. */
const RENDER_MS = 500;
/** The most new rows in one update. */
const MAX_INSERTED = 3;
const SAMPLE_MS = 3_000;
const MIN_SAMPLE_MS = 1_000;
/** A sample has jobs of this age, whose states no longer change so fast that the counters contradict them. */
const SAMPLE_AGE = document.body.dataset.sampleAge;
/** Failure groups and charts of hours are rendered by the server, at most this often. */
const FAILING_MS = 5_000;
const HOURS_MS = 30_000;
/** With more queues than the page shows, the server chooses them again at most this often. */
const CHOICE_MS = 10_000;
/** With more changes than this at once, changed rows are not highlighted. */
const MAX_HIGHLIGHTED = 10;

/** Starts the page. `open` opens its stream, and `owe` repeats a failed request later. */
export function home({ open, owe, lifecycle, queues }) {
  const load = new Load();
  const redraw = (ms, ids, isInUse = () => false) => {
    const ask = atMostEvery(ms, async () => {
      if (isInUse()) return ask();
      if (document.hidden) return owe(ask);
      const fresh = await fetchPage();
      if (!fresh?.page) return owe(ask);
      swapSections(fresh.page, ids);
      dashboard.rescan();
    });
    return ask;
  };
  const failing = redraw(FAILING_MS, ["failing"]);
  const rows = redraw(1_000, ["queues"]);
  const choice = redraw(CHOICE_MS, ["queues"], () => byId("queues").matches(":hover, :focus-within"));
  const charts = redraw(10_000, ["charts"]);
  const hours = redraw(HOURS_MS, ["charts"]);
  const missing = redraw(1_000, ["charts", "queues"]);
  const dashboard = new Dashboard({ onUnknownQueue: rows, onMissed: charts, onBack: missing });
  const feed = new Feed(owe);
  let failed = "";

  const filter = () => (load.isBusy ? queues : [...lifecycle, ...queues]);
  const refresh = atMostEvery(1_000, async () => {
    const fresh = await fetchPage();
    if (!fresh?.page) return owe(refresh);
    swapSections(fresh.page, ["charts", "queues", "failing"]);
    dashboard.rescan();
    feed.replace(fresh.page, fresh.cursor);
    // The server calms down a little later than this page, and until then renders a sample without the newest jobs.
    if ("busy" in fresh.page.body.dataset && !load.isBusy) refresh();
  });
  const onStats = (stats) => {
    dashboard.update(stats);
    if (load.update(stats, stream.cursor)) {
      // The sample that is fetched next includes the skipped events.
      if (load.isBusy) stream.moveTo(stats.cursor);
      else refresh();
      stream.follow(filter());
      feed.sampled(load.isBusy);
    }
    if (load.isBusy) feed.keepSample(stats.states);
    if (dashboard.isWide) hours();
    if (stats.queues.length > Number(byId("queues").dataset.max)) choice();
    const { states, second } = stats;
    const fails = `${states.discarded} ${states.retryable} ${second.failed && second.at}`;
    if (failed ? failed !== fails : stats.cursor !== document.body.dataset.cursor) failing();
    failed = fails;
  };
  const onEvents = (events) => load.isBusy || feed.take(events.filter((event) => event.job));
  feed.sampled(load.isBusy);
  const stream = open(filter(), onEvents, refresh, onStats);
}

/** The list of recent jobs. Rows change in place, and new ones are added at the top, a few at a time. */
class Feed {
  #rows = document.querySelector("#recent tbody");
  #most = Number(byId("recent").dataset.max);
  #changes = new Map();
  #arrived = new Map();
  #render = atMostEvery(RENDER_MS, () => this.#draw());
  #owe;
  #sampledAt = 0;

  constructor(owe) {
    this.#owe = owe;
  }

  /** Takes new events. */
  take(events) {
    for (const event of events) this.#changes.set(event.job.id, fold(this.#changes.get(event.job.id), event));
    // A hidden tab must not collect changes without bound.
    if (this.#changes.size > 1_000) this.#draw();
    else this.#render();
  }

  /** Shows a note above the rows when they are only a sample. */
  sampled(isSample) {
    const words = isSample ? ["Sample as of ", timeElement(serverNow()), ": jobs are changing too fast to show them all"] : [];
    byId("recent-note").replaceChildren(...words);
  }

  /** Fetches another sample every few seconds, or as soon as the counters contradict the rows. */
  keepSample(counts) {
    const isOld = performance.now() - this.#sampledAt > SAMPLE_MS;
    if (isOld || [...this.#rows.rows].some(({ dataset }) => counts[dataset.state] === 0)) this.sample();
  }

  sample = atMostEvery(MIN_SAMPLE_MS, async () => {
    if (document.hidden || this.#isInUse) return;
    try {
      const answer = await fetch(`api/v1/jobs?limit=${this.#most}&until=${SAMPLE_AGE}`, { headers: { accept: "application/json" } });
      if (!answer.ok) return this.#owe(this.sample);
      const { jobs } = await answer.json();
      this.#changes = new Map();
      this.#arrived = new Map();
      this.#rows.replaceChildren(...jobs.map((job) => makeRow(changeOf(job))));
      this.#sampledAt = performance.now();
      this.sampled(true);
      if (jobs.length) this.#showRows();
    } catch {
      this.#owe(this.sample);
    }
  });

  /** Replaces the rows by those of a page that was rendered at `cursor`. Later changes are still to be shown. */
  replace(page, cursor) {
    const fresh = [...page.querySelectorAll("#recent tbody tr")].map((row) => document.importNode(row, true));
    const later = (changes) => new Map([...changes].filter(([, { seq }]) => seq > seqOf(cursor)));
    this.#changes = later(this.#changes);
    this.#arrived = later(this.#arrived);
    this.#rows.replaceChildren(...fresh);
    if (fresh.length) this.#showRows();
    if (this.#changes.size + this.#arrived.size) this.#render();
  }

  /** Whether the pointer or the focus is on the list, so that nothing must move. */
  get #isInUse() {
    return this.#rows.matches(":hover, :focus-within");
  }

  #rowOf(id) {
    return this.#rows.querySelector(`[data-job="${id}"]`);
  }

  #draw() {
    const batch = this.#changes;
    this.#changes = new Map();
    for (const [id, change] of batch) {
      const row = this.#rowOf(id);
      if (row) patchRow(row, change, batch.size <= MAX_HIGHLIGHTED);
      else if (this.#arrived.has(id) || change.enqueuedAt) this.#arrive(id, change);
    }
    const isFull = this.#rows.childElementCount >= this.#most;
    if (this.#arrived.size && !(isFull && this.#isInUse)) this.#insert(isFull ? MAX_INSERTED : this.#most);
    if (this.#arrived.size) this.#render();
  }

  #arrive(id, change) {
    const older = this.#arrived.get(id);
    this.#arrived.set(id, { ...change, max: change.max ?? older?.max, error: change.error ?? older?.error });
    if (this.#arrived.size > this.#most) this.#arrived.delete(this.#arrived.keys().next().value);
  }

  #insert(count) {
    for (const [id, change] of [...this.#arrived].slice(0, count)) {
      this.#arrived.delete(id);
      if (!this.#rowOf(id)) this.#rows.prepend(makeRow(change));
    }
    while (this.#rows.childElementCount > this.#most) this.#rows.lastElementChild.remove();
    this.#showRows();
  }

  #showRows() {
    byId("recent-empty").hidden = true;
    byId("recent-panel").hidden = false;
  }
}

/** Converts a job of the API into the change of a row. */
function changeOf(job) {
  const waits = job.state === "scheduled" || job.state === "retryable";
  return {
    job,
    state: job.state,
    at: waits ? job.run_at : (job.finished_at ?? job.enqueued_at),
    max: job.max_attempts,
    error: job.error ? excerpt(job.error) : "",
  };
}
