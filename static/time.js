// Relative times that are updated every second by the server's clock, in the formats of
// src/ui/parts/time_format.rs.

let skew = 0;

/** Computes the difference between the server's clock and this one from the time that the page carries. */
export function setServerNow(ms) {
  const entry = performance.getEntriesByType("navigation")[0];
  const arrived = performance.timeOrigin + (entry?.responseStart || performance.now());
  const difference = ms - arrived;
  // A difference of less than a second is network latency, not clock skew.
  skew = Math.abs(difference) > 1000 ? difference : 0;
}

/** Returns the current time of the server's clock, in milliseconds. */
export function serverNow() {
  return Date.now() + skew;
}

/** Formats a time relative to now: `12 s ago`, `in 5 min`, `now`. */
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

/** Formats a duration to the second: `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function length(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const pair = (a, unitA, b, unitB) => (b ? `${a} ${unitA} ${b} ${unitB}` : `${a} ${unitA}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return pair(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return pair(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return pair(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** Formats a time in the reader's time zone, no wider than the server's format: `2026-11-29 09:36:45 +05:30`. */
function local(at) {
  const pad = (n) => String(n).padStart(2, "0");
  const minutes = -at.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(pad).join("-");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(pad).join(":");
  return `${date} ${time} ${minutes < 0 ? "-" : "+"}${pad(hours)}:${pad(rest)}`;
}

/** Formats the time of day in the browser's format. */
export const timeOfDay = (at) => new Date(at).toLocaleTimeString();

/** Sets the time that a `time` element shows. */
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

/** Sets the text of an element only when it differs, which avoids needless repaints. */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Groups digits with the narrow space that the server uses: 12345 → 12 345. */
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

/** Shows local times in tooltips and updates relative times every second. */
export function startTicking() {
  localTitles(document);
  tick();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
}

/** Shows local times in the tooltips of all `time` elements below `root`. */
export function localTitles(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    if (element.dateTime) element.title = titleOf(element.dateTime);
  }
  for (const element of root.querySelectorAll("[data-at]")) {
    const at = new Date(element.dataset.at);
    // The server's text is in UTC. The local text replaces it and must not be wider.
    if (at.getTimezoneOffset()) setText(element, local(at));
  }
}
