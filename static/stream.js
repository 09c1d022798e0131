// The event stream of one tab: a connection that starts at the page's cursor, delivers no event twice, reports its state
// and always reconnects. Where WebSockets do not get through, it uses the next transport and tries them again later.

import { keep, recall } from "./storage.js";
import { TRANSPORTS } from "./transports.js";

const LONGEST_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 1_000;
/** A connection that has not sent its first message by then does not get through. */
const HANDSHAKE_MS = 5_000;
/** How often a transport that has worked before must fail in a row before others are tried: a restart takes a while. */
const TRUSTED = 3;
/** The time before a WebSocket is tried again, which doubles after each failure. */
const FIRST_UPGRADE_MS = 15_000;
const LONGEST_UPGRADE_MS = 300_000;
/** A page is behind when it has not reached the position that the server had this long ago. */
const BEHIND_MS = 2_500;
/** The transport that worked on the page before this one, so that not every page has to find it out. */
const REMEMBERED = "cortado-transport";

/** Returns the event number of a cursor. */
export const seqOf = (cursor) => Number(cursor.split(":")[1]);

const remembered = () => Number(recall("sessionStorage", REMEMBERED)) % TRANSPORTS.length || 0;

export class Stream {
  #url;
  #epoch = "";
  #seq = 0;
  #on;
  /** Closes the connection. */
  #close = null;
  /** The number of the connection; messages of earlier ones are ignored. */
  #current = 0;
  /** The index of the transport in use, and of the one with which each round of attempts begins. */
  #transport = remembered();
  #first = this.#transport;
  #worked = new Set();
  #isOpen = false;
  /** How many connections in a row sent nothing after their first message. */
  #silences = 0;
  #closeUpgrade = null;
  #upgradeTimer = 0;
  #upgradeWait = FIRST_UPGRADE_MS;
  #timer = 0;
  #watch = 0;
  #failures = 0;
  #firstWait = FIRST_WAIT_MS;
  #heartbeat = 10_000;
  #heard = 0;
  /** When the last message arrived; the page itself counts as the first. */
  #lastData = Date.now();
  #retryAt = 0;
  #state = "";
  #reported = "";
  #left = false;
  /** Positions of the server from `stats` messages, with their time of arrival: the last old enough one, and later ones. */
  #positions = [];

  /**
   * With `onStats`, it receives `stats` too, and then also knows how far behind it is. A state has the name of the
   * `transport`, empty for a WebSocket, and the time of the last data, in milliseconds.
   *
   * @param {{path?: string, cursor: string, params?: [string, string][],
   *   onEvents: (events: object[]) => void, onGap?: (gap: {from: string, to: string}) => void,
   *   onStats?: (stats: object) => void,
   *   onState?: (state: {name: string, transport: string, lastData: number, seconds?: number, reason?: string,
   *     behind?: number}) => void}} options
   */
  constructor({ path = "/api/v1/ws", cursor, params = [], onEvents, onGap, onStats, onState }) {
    this.#url = new URL(path, location.href);
    this.#setParams(params);
    this.#on = { events: onEvents, gap: onGap ?? (() => {}), stats: onStats, state: onState ?? (() => {}) };
    this.moveTo(cursor);
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    addEventListener("online", () => this.#networkIsBack());
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.#comeBack());
    this.#connect();
  }

  /** The position up to which everything has been seen. */
  get cursor() {
    return `${this.#epoch}:${this.#seq}`;
  }

  /** Moves to a position after a fresh snapshot, but never back within one epoch. */
  moveTo(cursor) {
    const [epoch, seq] = cursor.split(":");
    if (epoch === this.#epoch) this.#seq = Math.max(this.#seq, Number(seq));
    else [this.#epoch, this.#seq] = [epoch, Number(seq)];
  }

  /** Subscribes to other events from here on, or from `from` if that is earlier, without losing any in between. */
  follow(params, from) {
    this.#setParams(params);
    const [epoch, seq] = (from ?? this.cursor).split(":");
    if (epoch === this.#epoch) this.#seq = Math.min(this.#seq, Number(seq));
    if (this.#left || !this.#close) return; // the next connection subscribes to them
    const close = this.#close;
    this.#dial();
    close();
  }

  #setParams(params) {
    this.#url.search = new URLSearchParams(params).toString();
  }

  #connect() {
    this.#report("connecting");
    this.#dial();
  }

  #open(transport, onMessage, onClose) {
    this.#url.searchParams.set("after", this.cursor);
    return TRANSPORTS[transport].open(this.#url, Boolean(this.#on.stats), onMessage, onClose);
  }

  #dial() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#cancelUpgrade();
    this.#positions = [];
    this.#isOpen = false;
    this.#heard = Date.now();
    const id = ++this.#current;
    this.#close = this.#open(
      this.#transport,
      (message, position) => id === this.#current && this.#message(message, position),
      (end) => id === this.#current && this.#closed(end),
    );
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#look(), 1000);
  }

  /** Takes a message. `position` is the cursor up to which the stream is complete with it. */
  #message(message, position) {
    this.#heard = this.#lastData = Date.now();
    switch (message.type) {
      case "hello":
        this.#hello(message);
        break;
      case "stats":
        if (position) this.moveTo(position);
        this.#positions.push({ at: Date.now(), seq: seqOf(message.cursor) });
        this.#on.stats?.(message);
        this.#alive();
        break;
      case "events": {
        const fresh = message.events.filter((event) => event.seq > this.#seq);
        this.moveTo(position);
        if (fresh.length) this.#on.events(fresh);
        this.#alive();
        break;
      }
      case "mark":
        this.moveTo(message.cursor);
        this.#alive();
        break;
      case "gap":
        this.moveTo(message.to);
        this.#on.gap({ from: message.from, to: message.to });
        break;
      case "draining":
        this.#report("draining");
        break;
      case "bye":
        this.#firstWait = message.retry_ms ?? FIRST_WAIT_MS;
        break;
      default: // a newer server may send more types
        break;
    }
  }

  /** The first message: the transport gets through. */
  #hello({ heartbeat_ms: heartbeat }) {
    this.#heartbeat = heartbeat || this.#heartbeat;
    this.#failures = 0;
    this.#firstWait = FIRST_WAIT_MS;
    this.#isOpen = true;
    this.#first = this.#transport;
    this.#worked.add(this.#transport);
    keep("sessionStorage", REMEMBERED, this.#transport);
    if (this.#transport === 0) this.#upgradeWait = FIRST_UPGRADE_MS;
    else this.#upgradeLater();
    this.#report("live");
  }

  /** Tries a WebSocket after a while. The connection in use is closed only when that gets through. */
  #upgradeLater() {
    this.#upgradeTimer = setTimeout(() => {
      let id = 0;
      const failed = () => {
        this.#cancelUpgrade();
        this.#upgradeLater();
      };
      const close = this.#open(
        0,
        (message, position) => {
          if (message.type === "hello" && id === 0) {
            clearTimeout(this.#upgradeTimer);
            this.#closeUpgrade = null;
            this.#close();
            [this.#close, this.#transport, id] = [close, 0, ++this.#current];
          }
          if (id === this.#current) this.#message(message, position);
        },
        (end) => (id === 0 ? failed() : id === this.#current && this.#closed(end)),
      );
      this.#closeUpgrade = close;
      this.#upgradeTimer = setTimeout(failed, HANDSHAKE_MS);
    }, this.#upgradeWait);
    this.#upgradeWait = Math.min(LONGEST_UPGRADE_MS, 2 * this.#upgradeWait);
  }

  #cancelUpgrade() {
    clearTimeout(this.#upgradeTimer);
    this.#closeUpgrade?.();
    this.#closeUpgrade = null;
  }

  /** Notes that a message arrived, so that the stream is not stale. A draining server stays draining. */
  #alive() {
    this.#silences = 0;
    if (this.#state === "stale" || this.#state === "connecting") this.#report("live");
  }

  /** Runs once a second: reports silence, and reconnects when it lasts. */
  #look() {
    const silence = Date.now() - this.#heard;
    if (this.#close) {
      if (silence > (this.#isOpen ? 3 * this.#heartbeat : HANDSHAKE_MS)) {
        // After the computer has slept, any connection was silent; one that is so again does not get through.
        if (this.#isOpen && this.#silences++ > 0) {
          this.#isOpen = false;
          this.#worked.delete(this.#transport);
        }
        this.#drop();
        this.#closed({});
      } else if (this.#isOpen && silence > 1.5 * this.#heartbeat) {
        this.#report("stale");
      } else {
        this.#lookBehind();
      }
    } else if (this.#timer) {
      this.#report("reconnecting", { seconds: Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000)) });
    }
  }

  #lookBehind() {
    const old = this.#positions.findLastIndex(({ at }) => at <= Date.now() - BEHIND_MS);
    this.#positions.splice(0, Math.max(0, old));
    if (old >= 0 && this.#positions[0].seq > this.#seq && (this.#state === "live" || this.#state === "behind")) {
      this.#report("behind", { behind: this.#positions.at(-1).seq - this.#seq });
    } else if (this.#state === "behind") {
      this.#report("live");
    }
  }

  /** Closes the connection, whose further messages are ignored. */
  #drop() {
    const close = this.#close;
    this.#close = null;
    this.#current += 1;
    this.#cancelUpgrade();
    close?.();
  }

  /** Handles the end of the connection: tries the next transport at once, or all of them again after a while. */
  #closed({ refused, wait: least = 0 }) {
    this.#close = null;
    this.#cancelUpgrade();
    if (this.#left) return;
    if (refused) {
      clearInterval(this.#watch);
      this.#report("refused", { reason: refused });
      return;
    }
    if (document.hidden) {
      this.#report("paused");
      return; // the page reconnects when it becomes visible
    }
    const isTrusted = this.#worked.has(this.#first) && this.#failures < TRUSTED;
    if (!this.#isOpen && !isTrusted) {
      this.#transport = (this.#transport + 1) % TRANSPORTS.length;
      if (this.#transport !== this.#first) return this.#dial();
    }
    this.#isOpen = false;
    const bound = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = Math.max(least, Math.random() * (this.#failures === 0 ? this.#firstWait : bound));
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#retryAt = Date.now() + wait;
    this.#report("reconnecting", { seconds: Math.ceil(wait / 1000) });
    this.#timer = setTimeout(() => (document.hidden ? (this.#timer = 0) : this.#connect()), wait);
  }

  /** Connects at once, and soon again if that fails: earlier failures say nothing about the network that is back. */
  #networkIsBack() {
    this.#failures = 0;
    this.#atOnce();
  }

  /** Reconnects at once, unless the page has a connection or must not have one. */
  #atOnce() {
    if (!document.hidden && !this.#left && !this.#close && this.#state !== "refused") this.#connect();
  }

  /** A hidden page keeps its WebSocket, but no connection of which a browser allows only a few, and it does not poll. */
  #visibilityChanged() {
    if (!document.hidden || this.#transport === 0 || !this.#close) return this.#atOnce();
    this.#drop();
    this.#report("paused");
  }

  #leave() {
    this.#left = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#drop();
  }

  /** Reconnects after the browser restored the page from its back-forward cache. */
  #comeBack() {
    this.#left = false;
    this.#connect();
  }

  #report(name, details) {
    const transport = TRANSPORTS[this.#transport].name;
    const report = `${name} ${transport}`;
    if (report === this.#reported && !details) return;
    // During repeated attempts, a short "connecting" between two waits would only flicker.
    if (name === "connecting" && this.#failures > 0) return;
    [this.#state, this.#reported] = [name, report];
    this.#on.state({ name, transport, lastData: this.#lastData, ...details });
  }
}
