// The event stream of one tab: a socket that starts at the page's cursor, delivers no event twice, reports its state and
// always reconnects. It has no dependencies and uses the DOM only for the page lifecycle.

const PROTOCOL = "cortado.v1+json";
const LONGEST_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 1_000;
/** A page is behind when it has not reached the position that the server had this long ago. */
const BEHIND_MS = 1_000;
/** The close code for a policy violation; reconnecting would only be refused again. */
const REFUSED = 1008;

/** Returns the event number of a cursor. */
export const seqOf = (cursor) => Number(cursor.split(":")[1]);

export class Stream {
  #url;
  #epoch = "";
  #seq = 0;
  #on;
  #socket = null;
  #timer = 0;
  #watch = 0;
  #failures = 0;
  #firstWait = FIRST_WAIT_MS;
  #heartbeat = 10_000;
  #heard = 0;
  #retryAt = 0;
  #state = "";
  #left = false;
  /** Positions of the server from `stats` messages, with their time of arrival: the last old enough one, and later ones. */
  #positions = [];

  /**
   * With `onStats`, it subscribes to `stats` too, and then also knows how far behind it is.
   *
   * @param {{path?: string, cursor: string, params?: [string, string][],
   *   onEvents: (events: object[]) => void, onGap?: (gap: {from: string, to: string}) => void,
   *   onStats?: (stats: object) => void,
   *   onState?: (state: {name: string, seconds?: number, reason?: string, behind?: number}) => void}} options
   */
  constructor({ path = "/api/v1/ws", cursor, params = [], onEvents, onGap, onStats, onState }) {
    this.#url = new URL(path, location.href);
    this.#url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#setParams(params);
    this.#on = { events: onEvents, gap: onGap ?? (() => {}), stats: onStats, state: onState ?? (() => {}) };
    this.moveTo(cursor);
    document.addEventListener("visibilitychange", () => this.#atOnce());
    addEventListener("online", () => this.#atOnce());
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
    if (this.#left || !this.#socket) return; // the next socket subscribes to them
    const old = this.#socket;
    this.#dial();
    old.close(1000);
  }

  #setParams(params) {
    this.#url.search = new URLSearchParams(params).toString();
  }

  #connect() {
    this.#tell("connecting");
    this.#dial();
  }

  #dial() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#positions = [];
    this.#url.searchParams.set("after", this.cursor);
    const socket = new WebSocket(this.#url, [PROTOCOL]);
    this.#socket = socket;
    this.#heard = Date.now();
    socket.onmessage = (event) => socket === this.#socket && this.#message(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#closed(event.code, event.reason);
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#look(), 1000);
  }

  #message(data) {
    this.#heard = Date.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // ignore an invalid message
    }
    switch (message.type) {
      case "hello":
        this.#heartbeat = message.heartbeat_ms || this.#heartbeat;
        this.#failures = 0;
        this.#firstWait = FIRST_WAIT_MS;
        if (this.#on.stats) this.#socket.send(JSON.stringify({ type: "subscribe", id: "stats", stats: true }));
        this.#tell("live");
        break;
      case "stats":
        this.#positions.push({ at: Date.now(), seq: seqOf(message.cursor) });
        this.#on.stats?.(message);
        this.#alive();
        break;
      case "events": {
        const fresh = message.events.filter((event) => event.seq > this.#seq);
        this.moveTo(message.cursor);
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
        this.#tell("draining");
        break;
      case "bye":
        this.#firstWait = message.retry_ms ?? FIRST_WAIT_MS;
        break;
      default: // a newer server may send more types
        break;
    }
  }

  /** Notes that a message arrived, so that the stream is not stale. A draining server stays draining. */
  #alive() {
    if (this.#state === "stale" || this.#state === "connecting") this.#tell("live");
  }

  /** Runs once a second: reports silence, and reconnects when it lasts. */
  #look() {
    const silence = Date.now() - this.#heard;
    if (this.#socket?.readyState !== undefined && this.#socket.readyState <= WebSocket.OPEN) {
      if (silence > 3 * this.#heartbeat) {
        const socket = this.#socket;
        this.#socket = null; // its close event can take minutes on a dead connection
        socket.close();
        this.#closed(1006, "");
      } else if (silence > 1.5 * this.#heartbeat) {
        this.#tell("stale");
      } else {
        this.#lookBehind();
      }
    } else if (this.#timer) {
      this.#tell("reconnecting", Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000)));
    }
  }

  #lookBehind() {
    const old = this.#positions.findLastIndex(({ at }) => at <= Date.now() - BEHIND_MS);
    this.#positions.splice(0, Math.max(0, old));
    if (old >= 0 && this.#positions[0].seq > this.#seq && (this.#state === "live" || this.#state === "behind")) {
      this.#tell("behind", undefined, "", this.#positions.at(-1).seq - this.#seq);
    } else if (this.#state === "behind") {
      this.#tell("live");
    }
  }

  #closed(code, reason) {
    this.#socket = null;
    if (this.#left) return;
    if (code === REFUSED) {
      clearInterval(this.#watch);
      this.#tell("refused", undefined, reason);
      return;
    }
    const bound = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = Math.random() * (this.#failures === 0 ? this.#firstWait : bound);
    this.#failures = Math.min(this.#failures + 1, 10);
    if (document.hidden) {
      this.#tell("paused");
      return; // the page reconnects when it becomes visible
    }
    this.#retryAt = Date.now() + wait;
    this.#tell("reconnecting", Math.ceil(wait / 1000));
    this.#timer = setTimeout(() => (document.hidden ? (this.#timer = 0) : this.#connect()), wait);
  }

  /** Reconnects at once when the page is visible again or the network is back. */
  #atOnce() {
    if (!document.hidden && !this.#left && !this.#socket && this.#state !== "refused") this.#connect();
  }

  #leave() {
    this.#left = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** Reconnects after the browser restored the page from its back-forward cache. */
  #comeBack() {
    this.#left = false;
    this.#connect();
  }

  #tell(name, seconds, reason, behind) {
    if (name === this.#state && name !== "reconnecting" && name !== "behind") return;
    // During repeated attempts, a short "connecting" between two waits would only flicker.
    if (name === "connecting" && this.#failures > 0) return;
    this.#state = name;
    this.#on.state({ name, seconds, reason, behind });
  }
}
