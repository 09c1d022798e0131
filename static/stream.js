// The event stream of one tab: one socket that starts at the page's cursor, never shows an event twice,
// says how it is doing, and comes back by itself for ever. No dependency, no DOM but page lifecycle.

const PROTOCOL = "cortado.v1+json";
const LONGEST_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 1_000;
/** Closed for policy: coming back by itself would only be refused again. */
const REFUSED = 1008;

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

  /**
   * @param {{path?: string, cursor: string, params?: [string, string][],
   *   onEvents: (events: object[]) => void, onGap?: (gap: {from: string, to: string}) => void,
   *   onState?: (state: {name: string, seconds?: number, reason?: string}) => void}} options
   */
  constructor({ path = "/api/v1/ws", cursor, params = [], onEvents, onGap, onState }) {
    this.#url = new URL(path, location.href);
    this.#url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of params) this.#url.searchParams.append(name, value);
    this.#on = { events: onEvents, gap: onGap ?? (() => {}), state: onState ?? (() => {}) };
    this.moveTo(cursor);
    document.addEventListener("visibilitychange", () => this.#atOnce());
    addEventListener("online", () => this.#atOnce());
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.#comeBack());
    this.#connect();
  }

  /** The place up to which everything has been seen. */
  get cursor() {
    return `${this.#epoch}:${this.#seq}`;
  }

  /** Jumps to a place: after a fresh snapshot. Never back within one epoch. */
  moveTo(cursor) {
    const [epoch, seq] = cursor.split(":");
    if (epoch === this.#epoch) this.#seq = Math.max(this.#seq, Number(seq));
    else [this.#epoch, this.#seq] = [epoch, Number(seq)];
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#tell("connecting");
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
      return; // not ours: the next one may be
    }
    switch (message.type) {
      case "hello":
        this.#heartbeat = message.heartbeat_ms || this.#heartbeat;
        this.#failures = 0;
        this.#firstWait = FIRST_WAIT_MS;
        this.#tell("live");
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
      default: // a newer server may say more
        break;
    }
  }

  /** Something came: no longer stale. A draining server stays draining. */
  #alive() {
    if (this.#state === "stale" || this.#state === "connecting") this.#tell("live");
  }

  /** Once a second: silence is told before it is acted on. */
  #look() {
    const silence = Date.now() - this.#heard;
    if (this.#socket?.readyState !== undefined && this.#socket.readyState <= WebSocket.OPEN) {
      if (silence > 3 * this.#heartbeat) {
        const socket = this.#socket;
        this.#socket = null; // its close event may take minutes on a dead link
        socket.close();
        this.#closed(1006, "");
      } else if (silence > 1.5 * this.#heartbeat) {
        this.#tell("stale");
      }
    } else if (this.#timer) {
      this.#tell("reconnecting", Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000)));
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
      return; // becoming visible connects at once
    }
    this.#retryAt = Date.now() + wait;
    this.#tell("reconnecting", Math.ceil(wait / 1000));
    this.#timer = setTimeout(() => (document.hidden ? (this.#timer = 0) : this.#connect()), wait);
  }

  /** Visible again, or the network is back: no reason to wait on. */
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

  /** Out of the browser's back-forward cache: everything since is read from the cursor. */
  #comeBack() {
    this.#left = false;
    this.#connect();
  }

  #tell(name, seconds, reason) {
    if (name === this.#state && name !== "reconnecting") return;
    // While it tries again and again, a short "connecting" between two waits would only flicker.
    if (name === "connecting" && this.#failures > 0) return;
    this.#state = name;
    this.#on.state({ name, seconds, reason });
  }
}
