// The state of the connection in the header, and the button that pauses updates. Paused updates are counted, and kept
// up to a limit.

import { seqOf } from "./stream.js";
import { setTabConnection } from "./tab-status.js";
import { grouped, onZoneChange, setText, timeOfDay } from "./time.js";

/** The most events that are kept. With more, the page is fetched again when updates resume. */
const KEPT = 2_000;
/** The most `stats` messages that are kept, one per second, as far back as the charts reach. */
const KEPT_STATS = 300;

const byId = (id) => document.getElementById(id);

/** The states of the stream in which data arrives. */
const CURRENT = new Set(["live", "behind", "draining"]);

let connection = { name: "none" };
const gates = [];
const listeners = [];
let isCurrent = true;

/**
 * Calls `listener` whenever data begins or ceases to reach the page, because of the connection or because the reader
 * pauses updates: with whether it does, and with the time of the last data.
 */
export function onConnection(listener) {
  listeners.push(listener);
}

/** The gate between a stream and the page, which is closed while updates are paused. */
export class Gate {
  #act;
  #events = [];
  #stats = [];
  #isTooMuch = false;
  isClosed = false;
  #held = 0;
  /** The event numbers of the server at the last counters, and at the first ones that were held back. */
  #seq = 0;
  #from = 0;

  /** The number of events held back. A page that does not follow every event counts those that the server committed. */
  get held() {
    return this.#held || this.#seq - this.#from;
  }

  close() {
    this.isClosed = true;
    this.#from = this.#seq;
  }

  /** `act` has the functions `events`, `stats` and `refresh`, which fetches the page again. */
  constructor(act) {
    this.#act = act;
    gates.push(this);
  }

  events(events) {
    if (!this.isClosed) return this.#act.events(events);
    this.#held += events.length;
    if (this.#events.length + events.length > KEPT) this.#forget();
    else this.#events.push(...events);
    show();
  }

  stats(stats) {
    this.#seq = seqOf(stats.cursor);
    this.#from ||= this.#seq; // updates were paused before the first counters arrived
    if (!this.isClosed) return this.#act.stats(stats);
    const newest = this.#stats.at(-1);
    if (newest?.second.at === stats.second.at) this.#stats.pop();
    this.#stats.push(stats);
    if (this.#stats.length > KEPT_STATS) this.#forget();
    show();
  }

  #forget() {
    this.#isTooMuch = true;
    this.#events = [];
    this.#stats = [];
  }

  /** Applies everything that was held back. */
  open() {
    this.isClosed = false;
    this.#held = 0;
    const [events, stats, isTooMuch] = [this.#events, this.#stats, this.#isTooMuch];
    [this.#events, this.#stats, this.#isTooMuch] = [[], [], false];
    if (isTooMuch) return this.#act.refresh();
    if (events.length) this.#act.events(events);
    for (const one of stats) this.#act.stats(one);
  }
}

/** Shows the button on pages that have a stream. */
export function startUpdates() {
  const button = byId("hold-updates");
  button.hidden = false;
  button.addEventListener("click", () => {
    const isClosed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isClosed));
    setText(byId("hold-name"), isClosed ? "Resume updates" : "Pause updates");
    for (const gate of gates) {
      if (isClosed) gate.close();
      else gate.open();
    }
    show();
  });
}

/** Shows the state of the stream, by its name in stream.js. */
export function showConnection(state) {
  connection = { lastData: connection.lastData ?? Date.now(), ...state };
  setTabConnection(state.name);
  show();
}

onZoneChange(() => connection.lastData && show());

/** The text of the connection state. `said` is the text for screen readers, without numbers that keep changing. */
function wordsOf({ name, transport, seconds, reason, behind }) {
  if (isHeld() && (name === "live" || name === "behind")) {
    const held = gates.reduce((sum, gate) => sum + gate.held, 0);
    return { state: "paused", text: held ? `paused, ${held > 99_999 ? "many" : grouped(held)} new` : "paused", said: "updates paused" };
  }
  const words = {
    live: transport ? `live (${transport})` : "live",
    connecting: "connecting",
    stale: "not responding",
    draining: "server stopping",
    refused: reason || "not allowed",
  };
  if (name === "reconnecting") return { state: name, text: `reconnecting in ${seconds} s`, said: "reconnecting" };
  if (name === "behind") return { state: name, text: `behind by ${grouped(behind)} events`, said: "behind the server" };
  return { state: name, text: words[name] ?? name, said: words[name] ?? name };
}

const isHeld = () => gates.some((gate) => gate.isClosed);

function show() {
  const was = isCurrent;
  isCurrent = CURRENT.has(connection.name) && !isHeld();
  const lastData = isHeld() && was ? Date.now() : connection.lastData;
  if (isCurrent !== was) for (const listener of listeners) listener(isCurrent, lastData);
  const chip = byId("connection");
  const { state, text, said } = wordsOf(connection);
  chip.hidden = false;
  chip.dataset.state = state;
  chip.title = isCurrent ? text : `${text}, data as of ${timeOfDay(lastData)}`;
  document.body.classList.toggle("outdated", !isCurrent);
  setText(byId("connection-text"), text);
  setText(byId("connection-said"), said);
}
