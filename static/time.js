// Times, in the reader's choice of time zone: the browser's own or UTC. Relative times are updated every second by the
// server's clock. The formats are those of src/ui/parts/time_format.rs. The layout makes the browser run this script
// before it paints the page, so that no text changes after that.

let skew = 0;
/** The time that the page shows as its present, in milliseconds, if it is that of an earlier moment. */
let frozen = null;

/** Computes the difference between the server's clock and this one from the time that the page carries. */
function setServerNow(ms) {
  const entry = performance.getEntriesByType("navigation")[0];
  const arrived = performance.timeOrigin + (entry?.responseStart || performance.now());
  const difference = ms - arrived;
  // A difference of less than a second is network latency, not clock skew.
  skew = Math.abs(difference) > 1000 ? difference : 0;
}

/** Returns the current time of the server's clock, in milliseconds, or the earlier moment that the page shows. */
export function serverNow() {
  return frozen ?? Date.now() + skew;
}

/** Makes the page show times as they were at an earlier moment. */
export function freezeAt(ms) {
  frozen = ms;
  tick();
}

/** Formats a time relative to now: `12 s ago`, `in 5 min`, `just now`. */
export function relative(at, now = serverNow()) {
  const future = at > now;
  const seconds = Math.floor(Math.abs(at - now) / 1000);
  if (seconds < 1) return future ? "now" : "just now";
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

/** The key under which the browser stores the choice between its own time zone and UTC. */
const ZONE_KEY = "cortado-times";
/** Whether the locale of the browser has a 12-hour clock. Dates are written as 2026-11-23 in every locale. */
const is12Hour = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions().hour12;
const zoneListeners = [];
let isUtc = stored() === "utc";
let formats = formatsOf(isUtc);

function stored() {
  try {
    return localStorage.getItem(ZONE_KEY);
  } catch {
    return null; // storage can be disabled; the choice is then lost with the page
  }
}

function formatsOf(inUtc) {
  const format = (options, locale = is12Hour ? "en-US" : "en-GB") => new Intl.DateTimeFormat(locale, { timeZone: inUtc ? "UTC" : undefined, ...options });
  const clock = { hour: is12Hour ? "numeric" : "2-digit", minute: "2-digit", second: "2-digit", hourCycle: is12Hour ? "h12" : "h23" };
  return {
    date: format({ dateStyle: "short" }, "sv-SE"),
    minute: format({ ...clock, second: undefined }),
    second: format(clock),
    clock: format({ ...clock, fractionalSecondDigits: 3 }),
    zone: format({ timeZoneName: "short" }, "en-US"),
  };
}

/** Formats a time of day, to the `minute`, the `second`, or the millisecond (`clock`). */
export const timeOfDay = (at, unit = "second") => formats[unit].format(at);

/** Formats a day without its year: `11-23`. */
export const monthAndDay = (at) => formats.date.format(at).slice(5);

/** How many milliseconds the time zone of the page is ahead of UTC at a time. */
export const offset = (at) => (isUtc ? 0 : -new Date(at).getTimezoneOffset() * 60_000);

/** The name of the time zone in which the page shows times: `UTC`, `CET`, `GMT+5:30`. */
export const zoneName = (at = serverNow()) => formats.zone.formatToParts(at).find(({ type }) => type === "timeZoneName").value;

/** The name by which the server knows the time zone of the page, for forms. */
export const zoneId = () => (isUtc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);

/** The formats of an absolute time, by the value of `data-show`. */
const SHOWN = {
  minute: (at) => timeOfDay(at, "minute"),
  clock: (at) => timeOfDay(at, "clock"),
  time: (at) => timeOfDay(at),
  day: monthAndDay,
  near: (at) => (formats.date.format(at) === formats.date.format(serverNow()) ? timeOfDay(at) : SHOWN.second(at)),
  second: (at) => `${formats.date.format(at)} ${timeOfDay(at)}`,
  zoned: (at) => `${SHOWN.second(at)} ${zoneName(at)}`,
  full: (at) => `${formats.date.format(at)} ${timeOfDay(at, "clock")} ${zoneName(at)}`,
};

/** Formats an absolute time in one of the formats of `data-show`. */
export function absolute(iso, format) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : SHOWN[format](at);
}

/** Shows the time of a `time` element, or of another element with a time in `data-at` and the words before it in `data-say`. */
export function showTime(element) {
  const { dataset, dateTime } = element;
  if (dateTime) element.title = absolute(dateTime, "full");
  if (dataset.title) element.title = `${dataset.title}${SHOWN.zoned(new Date(dataset.at))}`;
  else if (dataset.show) setText(element, absolute(dateTime ?? dataset.at, dataset.show));
  else if (dataset.at) setText(element, `${dataset.say ?? ""}${absolute(dataset.at, "full")}`);
}

/** Creates an element that shows a time, without its date if that is today's. */
export function timeElement(at) {
  const element = document.createElement("time");
  element.dateTime = new Date(at).toISOString();
  element.dataset.show = "near";
  showTime(element);
  return element;
}

/** Shows all times below `root` in the reader's time zone. */
export function showTimes(root) {
  for (const element of root.querySelectorAll("time[datetime], [data-at]")) showTime(element);
}

/** Calls `listener` when the reader chooses another time zone, for times that are not elements. */
export const onZoneChange = (listener) => zoneListeners.push(listener);

function chooseZone(inUtc) {
  isUtc = inUtc;
  formats = formatsOf(isUtc);
  showZone();
  showTimes(document);
  for (const listener of zoneListeners) listener();
}

function showZone() {
  setText(document.getElementById("times-name"), `Times: ${isUtc ? "UTC" : `local (${zoneName()})`}`);
}

/** Shows the button that switches between local times and UTC. */
function startZoneButton() {
  const button = document.getElementById("times");
  if (!button) return;
  button.hidden = false;
  showZone();
  button.addEventListener("click", () => {
    chooseZone(!isUtc);
    try {
      localStorage.setItem(ZONE_KEY, isUtc ? "utc" : "local");
    } catch {
      // As above.
    }
  });
  addEventListener("storage", ({ key, newValue }) => key === ZONE_KEY && chooseZone(newValue === "utc"));
}

/** Sets the time that a `time` element shows. */
export function setTime(element, iso) {
  if (element.dateTime === iso) return;
  element.dateTime = iso;
  showTime(element);
  if (!element.dataset.show) setText(element, relative(Date.parse(iso)));
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
  const now = serverNow();
  for (const element of document.querySelectorAll("time[data-rel]")) {
    setText(element, relative(Date.parse(element.dateTime), now));
  }
  for (const element of document.querySelectorAll("time[data-count]")) {
    const ahead = Date.parse(element.dateTime) - now;
    setText(element, ahead < 1000 ? "now" : `in ${length(ahead)}`);
  }
  for (const element of document.querySelectorAll("time[data-show=near]")) showTime(element); // another day may have begun
  for (const element of document.querySelectorAll("time[data-for]")) {
    setText(element, length(now - Date.parse(element.dateTime)));
  }
}

/** Updates relative times every second from now on. */
export function startTicking() {
  tick();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
}

const { now: pageNow, rewind: isPast } = document.body.dataset;
if (isPast !== undefined) frozen = Number(pageNow);
else if (pageNow) setServerNow(Number(pageNow));
startZoneButton();
showTimes(document);
