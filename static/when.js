// Relative times that tick, in the words of the server (src/ui/parts/time_format.rs), by the server's clock.

let skew = 0;

/** Learns the difference between the server's clock and this one from the page itself. */
export function setServerNow(ms) {
  const entry = performance.getEntriesByType("navigation")[0];
  const arrived = performance.timeOrigin + (entry?.responseStart || performance.now());
  const difference = ms - arrived;
  // Below a second it is the way the answer took, not the clock.
  skew = Math.abs(difference) > 1000 ? difference : 0;
}

/** The server's clock, in milliseconds. */
export function serverNow() {
  return Date.now() + skew;
}

/** `12 s ago`, `in 5 min`, `now`. */
export function relative(at, now = Date.now() + skew) {
  const future = at > now;
  const seconds = Math.floor(Math.abs(at - now) / 1000);
  if (seconds < 1) return "now";
  const [n, unit] =
    seconds < 120 ? [seconds, "s"]
    : seconds < 7200 ? [Math.floor(seconds / 60), "min"]
    : seconds < 172800 ? [Math.floor(seconds / 3600), "h"]
    : [Math.floor(seconds / 86400), "d"];
  return future ? `in ${n} ${unit}` : `${n} ${unit} ago`;
}

/** `12 s`, `3 min 20 s`, `2 h 5 min`: a length of time to the second. */
export function length(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const pair = (a, unitA, b, unitB) => (b ? `${a} ${unitA} ${b} ${unitB}` : `${a} ${unitA}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return pair(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return pair(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return pair(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** A moment in the reader's zone, no wider than the server's words for it: `2026-11-29 09:36:45 +05:30`. */
function local(at) {
  const pad = (n) => String(n).padStart(2, "0");
  const minutes = -at.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(pad).join("-");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(pad).join(":");
  return `${date} ${time} ${minutes < 0 ? "-" : "+"}${pad(hours)}:${pad(rest)}`;
}

/** Points a time element at another moment. */
export function setTime(element, iso) {
  if (element.dateTime === iso) return;
  element.dateTime = iso;
  element.title = titleOf(iso);
  setText(element, relative(Date.parse(iso)));
}

function titleOf(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : `${full.format(at)} (${iso.replace("T", " ").replace("Z", " UTC")})`;
}

/** Writes a text only when it differs, so that nothing is painted again for nothing. */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** 12345 → 12 345, with the narrow space that the server uses. */
export function grouped(n) {
  return String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function tick() {
  if (document.hidden) return;
  const now = Date.now() + skew;
  for (const element of document.querySelectorAll("time[data-rel]")) {
    setText(element, relative(Date.parse(element.dateTime), now));
  }
  for (const element of document.querySelectorAll("time[data-count]")) {
    const ahead = Date.parse(element.dateTime) - now;
    setText(element, ahead < 1000 ? "now" : `in ${length(ahead)}`);
  }
  for (const element of document.querySelectorAll("time[data-for]")) {
    setText(element, length(now - Date.parse(element.dateTime)));
  }
}

/** Local times in the titles, and a tick a second. */
export function startTicking() {
  localTitles(document);
  tick();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
}

/** The reader's own time zone in every title below `root`. */
export function localTitles(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    if (element.dateTime) element.title = titleOf(element.dateTime);
  }
  for (const element of root.querySelectorAll("[data-at]")) {
    const at = new Date(element.dataset.at);
    // The server's words are in UTC; those that take their place must not take more of it.
    if (at.getTimezoneOffset()) setText(element, local(at));
  }
}
