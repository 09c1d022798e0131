// Decides whether the server is so busy that a page cannot show every event. A busy page follows the counters, and
// only those events that it needs. The two thresholds are far apart so that a page does not switch back and forth.

import { seqOf } from "./stream.js";
import { DiscardedCounter, addDiscarded } from "./tab-status.js";

/** The event rate above which people cannot follow single events. */
const BUSY_PER_SECOND = Number(document.body.dataset.busyAt);
const QUIET_PER_SECOND = BUSY_PER_SECOND / 3;
/** A page with a larger backlog does not apply its events one by one either. */
const MAX_BACKLOG = 10_000;

export class Load {
  /** The page starts with the state that the server rendered. */
  isBusy = "busy" in document.body.dataset;
  #discarded = new DiscardedCounter();

  /**
   * Takes a `stats` message and the page's cursor into account, for one queue or the whole server. Returns whether
   * `isBusy` has changed.
   */
  update(stats, cursor, queue) {
    const { events } = (queue ? stats.queues.find(({ name }) => name === queue) : stats)?.per_second ?? { events: 0 };
    const wasBusy = this.isBusy;
    const discarded = this.#discarded.update(stats);
    if (wasBusy) addDiscarded(discarded);
    const backlog = seqOf(stats.cursor) - seqOf(cursor);
    if (events > BUSY_PER_SECOND || backlog > MAX_BACKLOG) this.isBusy = true;
    else if (events < QUIET_PER_SECOND) this.isBusy = false;
    return this.isBusy !== wasBusy;
  }
}
