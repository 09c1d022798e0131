// Whether so much happens that a page cannot show each event: then it follows the counters, and of the events only
// those that it needs. The bounds are far apart, so that it does not go to and fro.

import { seqOf } from "./live.js";
import { DeadCount, addDead } from "./trouble.js";

/** Events a second above which nobody can read along. */
const CROWDED = Number(document.body.dataset.crowdedAt);
const CALM = CROWDED / 3;
/** A page so many events behind does not go through them one by one either. */
const FAR = 10_000;

export class Crowd {
  /** The server says in the page how it was when it was read. */
  is = "crowded" in document.body.dataset;
  #dead = new DeadCount();

  /** Looks at a message, of one queue or of the whole server, from the page's place; says whether it has changed. */
  look(stats, cursor, queue) {
    const { events } = (queue ? stats.queues.find(({ name }) => name === queue) : stats)?.per_second ?? { events: 0 };
    const was = this.is;
    const dead = this.#dead.look(stats);
    if (was) addDead(dead);
    const isFar = seqOf(stats.cursor) - seqOf(cursor) > FAR;
    if (events > CROWDED || isFar) this.is = true;
    else if (events < CALM) this.is = false;
    return this.is !== was;
  }
}
