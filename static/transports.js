// The transports of the event stream: WebSocket, server-sent events, and polling for networks that let neither pass.
// Each passes on the messages of the WebSocket (docs/stream.md), and calls `onClose` once when it ends by itself.

const PROTOCOL = "cortado.v1+json";
const NAMED_EVENTS = ["hello", "stats", "mark", "gap", "draining", "bye"];
/** The close code for a policy violation; reconnecting would only be refused again. */
const REFUSED = 1008;
const MAX_EVENTS = 1_000;
/** A page that shows counters asks for them at this interval; another waits for its next event. */
const POLL_EVERY_MS = 1_000;
const POLL_WAIT = "10s";

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // ignore an invalid message
  }
}

function webSocket(url, wantsStats, onMessage, onClose) {
  const address = new URL(url);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address, [PROTOCOL]);
  let isOpen = true;
  socket.onmessage = ({ data }) => {
    const message = isOpen && parsed(data);
    if (!message) return;
    if (message.type === "hello" && wantsStats) socket.send(JSON.stringify({ type: "subscribe", id: "stats", stats: true }));
    onMessage(message, message.type === "stats" ? undefined : message.cursor);
  };
  socket.onclose = ({ code, reason }) => isOpen && onClose(code === REFUSED ? { refused: reason || "not allowed" } : {});
  return () => {
    isOpen = false;
    socket.close(1000);
  };
}

/** The events of the stream over plain HTTP. */
function eventsAt(url, wantsStats) {
  const address = new URL("events", url);
  address.search = url.search;
  if (wantsStats) address.searchParams.set("stats", "true");
  return address;
}

function serverSentEvents(url, wantsStats, onMessage, onClose) {
  const source = new EventSource(eventsAt(url, wantsStats));
  source.onmessage = ({ data, lastEventId }) => {
    const event = parsed(data);
    if (event) onMessage({ type: "events", events: [event] }, lastEventId);
  };
  for (const name of NAMED_EVENTS) {
    source.addEventListener(name, ({ data, lastEventId }) => {
      const message = parsed(data);
      if (message) onMessage(message, lastEventId);
    });
  }
  // An EventSource reconnects by itself, but not when it was refused, and without a limit.
  source.onerror = () => {
    source.close();
    onClose({});
  };
  return () => source.close();
}

function polling(url, wantsStats, onMessage, onClose) {
  const address = eventsAt(url, wantsStats);
  const control = new AbortController();
  address.searchParams.set("limit", MAX_EVENTS);
  const poll = async () => {
    for (let isFirst = true; ; isFirst = false) {
      const begun = Date.now();
      const answer = await fetch(address, { signal: control.signal, cache: "no-store", headers: { accept: "application/json" } });
      if (answer.status === 401) return { refused: "logged out" };
      if (!answer.ok) return { wait: 1000 * Number(answer.headers.get("retry-after")) };
      const { events, cursor, gap, stats } = await answer.json();
      if (isFirst) onMessage({ type: "hello" });
      if (gap) onMessage({ type: "gap", ...gap });
      onMessage({ type: "events", events }, cursor);
      if (stats) onMessage(stats);
      address.searchParams.set("after", cursor);
      if (!wantsStats) address.searchParams.set("wait", POLL_WAIT);
      const rest = events.length < MAX_EVENTS ? POLL_EVERY_MS - (Date.now() - begun) : 0;
      await new Promise((resolve) => setTimeout(resolve, rest));
      if (control.signal.aborted) return null;
    }
  };
  poll().catch(() => ({})).then((end) => !control.signal.aborted && onClose(end));
  return () => control.abort();
}

/** The transports, the best one first. Each function opens a connection and returns a function that closes it. */
export const TRANSPORTS = [
  { name: "", open: webSocket },
  { name: "server-sent events", open: serverSentEvents },
  { name: "polling", open: polling },
];
