// Trouble shows where a page in the background can be seen: in its title and its icon. Two sorts: the page is not
// connected, and jobs have died since it was opened.

import { setText } from "./time.js";

/** Connections that are as they should be, or will be in a moment. */
const CALM = new Set(["live", "connecting", "draining", "paused"]);

const icon = document.querySelector("link[rel=icon]");
const folder = icon ? icon.href.slice(0, icon.href.lastIndexOf("/")) : "";
let title = document.title;
let connected = true;
let dead = 0;

/** The page's own title changed. */
export function setTitle(text) {
  title = text;
  show();
}

/** How the stream is doing, in its own words. */
export function setConnection(name) {
  connected = CALM.has(name);
  show();
}

/** So many more jobs were given up. */
export function addDead(count) {
  if (!count) return;
  dead += count;
  show();
}

/** Dead letters that a page sees by the counters, because it does not follow all events. */
export class DeadCount {
  #known = null;

  /** Only looks, so that what others told is not told again. */
  update({ states }) {
    const more = states.discarded - (this.#known ?? states.discarded);
    this.#known = states.discarded;
    return Math.max(0, more);
  }
}

function show() {
  const prefix = !connected ? "(offline) " : dead ? `(${dead > 999 ? "999+" : dead} dead) ` : "";
  setText(document.querySelector("title"), prefix + title);
  if (!icon) return;
  const name = !connected ? "favicon-offline.svg" : dead ? "favicon-dead.svg" : "favicon.svg";
  const address = `${folder}/${name}`;
  if (icon.href !== address) icon.href = address;
}
