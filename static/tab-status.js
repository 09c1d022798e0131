// Shows in the title and the icon of a tab what matters while the page is in the background: that it has lost its
// connection, and how many jobs were discarded since it was opened.

import { setText } from "./time.js";

/** States of the connection that are not an error, or that last only a moment. */
const CONNECTED = new Set(["live", "connecting", "draining", "paused"]);

const icon = document.querySelector("link[rel=icon]");
const folder = icon ? icon.href.slice(0, icon.href.lastIndexOf("/")) : "";
let title = document.title;
let isConnected = true;
let discarded = 0;
let isLoaded = false;
let result = "";

/** Sets the page's own title. */
export function setTabTitle(text) {
  title = text;
  show();
}

/** Sets the state of the page's stream, by its name in stream.js. */
export function setTabConnection(name) {
  isConnected = CONNECTED.has(name);
  if (name === "live") loadIcons();
  show();
}

/** Shows that the job of this page has ended, in this state. */
export function setTabResult(state) {
  result = state;
  show();
}

/** Loads the other icons into the browser's cache, because a server that is gone cannot send the icon that says so. */
function loadIcons() {
  if (!icon || isLoaded) return;
  isLoaded = true;
  for (const name of ["offline", "discarded"]) new Image().src = `${folder}/favicon-${name}.svg`;
}

/** Adds jobs that were discarded. */
export function addDiscarded(count) {
  if (!count) return;
  discarded += count;
  show();
}

/** Counts newly discarded jobs from the counters, for pages that do not follow every event. */
export class DiscardedCounter {
  #known = null;

  /** Returns how many jobs were discarded since the last call. */
  update({ states }) {
    const more = states.discarded - (this.#known ?? states.discarded);
    this.#known = states.discarded;
    return Math.max(0, more);
  }
}

function show() {
  const prefix = !isConnected ? "(offline) " : discarded ? `(${discarded > 999 ? "999+" : discarded} discarded) ` : "";
  const mark = result && (result === "completed" ? "✓ " : "✗ ");
  setText(document.querySelector("title"), prefix + mark + title);
  if (!icon) return;
  const name = !isConnected ? "favicon-offline.svg" : discarded || result === "discarded" ? "favicon-discarded.svg" : result === "completed" ? "favicon-done.svg" : "favicon.svg";
  const address = `${folder}/${name}`;
  if (icon.href !== address) icon.href = address;
}
