// The page of an earlier moment: scrubs through the log, steps from event to event and plays, by fetching the page of
// another moment and replacing what differs. Without this script, the links and the form of the bar do the same.

import { say, swapSections } from "./live.js";
import { addShortcut } from "./shortcuts.js";
import { absolute, freezeAt, offset, onZoneChange, setText, zoneName } from "./time.js";

/** The shortest time between two requests. */
const PAUSE_MS = 500;
/** How long the slider has to rest before the page of its moment is fetched. */
const REST_MS = 150;
/** The parts that are replaced as a whole. */
const SECTIONS = ["main", "rewind-moment", "rewind-reach"];

const element = (id) => document.getElementById(id);
const [bar, slider, field, play, speed] = ["rewind", "rewind-slider", "rewind-at", "play", "speed"].map(element);
const number = (name) => Number(bar.dataset[name]);
const shownAt = () => Number(document.body.dataset.now);
const inAddress = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

/** The moment that is to be fetched next, as addresses have it; only the last one that was asked for. */
let wanted = null;
let isLoading = false;
let lastRequest = -Infinity;
/** The event that steps lead to, which may not be shown yet. */
let aim = null;
/** Where the playback began, by the clock of this page and in the log; `null` while it does not run. */
let playing = null;
let scrubbing = 0;

/** Starts the bar. */
export function rewind() {
  for (const id of ["rewind-slider", "rewind-play"]) element(id).hidden = false;
  startCopying();
  showBar();
  onZoneChange(showBar);
  slider.addEventListener("input", scrub);
  element("rewind-form").addEventListener("submit", chosen);
  bar.addEventListener("click", stepped);
  play.addEventListener("click", () => (playing ? pause() : begin()));
  speed.addEventListener("change", () => playing && begin());
  setInterval(advance, PAUSE_MS);
  // Whoever reads or uses the page is not moved on.
  document.addEventListener("pointerdown", ({ target }) => target.closest("#rewind-play") || pause());
  document.addEventListener("keydown", ({ key, target }) => ["Enter", " "].includes(key) && !target.closest("#rewind-play") && pause());
  document.addEventListener("visibilitychange", () => document.hidden && pause());
  addShortcut(",", "Previous event", () => step(-1));
  addShortcut(".", "Next event", () => step(1));
}

/** Asks for a moment. While one is fetched, only the last one that was asked for is kept. */
async function go(at) {
  wanted = at;
  if (isLoading) return;
  isLoading = true;
  while (wanted !== null) {
    const wait = lastRequest + PAUSE_MS - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const next = wanted;
    wanted = null;
    lastRequest = performance.now();
    await load(next);
  }
  isLoading = false;
  aim = null;
}

async function load(at) {
  const url = new URL(location.href);
  url.searchParams.set("at", at);
  url.search = url.search.replaceAll("%3A", ":"); // as the server writes it
  url.hash = "";
  const answer = await fetch(url, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer) return fail("The server cannot be reached.");
  if (answer.status === 401) return location.reload(); // it leads to the login
  const page = new DOMParser().parseFromString(await answer.text().catch(() => ""), "text/html");
  const title = page.querySelector("h1")?.textContent;
  if (!page.getElementById("rewind")) return fail(title ? `${title}.` : "This moment could not be loaded.");
  const styles = (of) => of.querySelector("link[rel=stylesheet]").getAttribute("href");
  if (styles(page) !== styles(document)) return location.assign(answer.url); // another version of the server
  show(page);
  history.replaceState(null, "", answer.url);
}

function fail(text) {
  pause();
  setText(element("rewind-problem"), text);
  showBar();
}

/** Shows another moment. The bar keeps its elements, so that the focus and a slider that is held stay. */
function show(page) {
  setText(element("rewind-problem"), "");
  document.body.dataset.now = page.body.dataset.now;
  freezeAt(shownAt());
  const fresh = page.getElementById("rewind");
  Object.assign(bar.dataset, { ...fresh.dataset });
  const focused = document.activeElement;
  const around = focused.closest("#main, #rewind");
  swapSections(page, SECTIONS);
  if (around && !focused.isConnected && document.activeElement === document.body) {
    const links = [...around.querySelectorAll("a")];
    const next = links.find((link) => addressOf(link) === addressOf(focused)) ?? (around === bar ? links[0] : around);
    next.focus({ preventScroll: true });
  }
  for (const old of [...bar.querySelectorAll("[data-step]"), element("rewind-now")]) takeLink(old, page.getElementById(old.id));
  const links = (of) => of.querySelectorAll(".skip, .top a");
  const others = links(page);
  if (others.length === links(document).length) links(document).forEach((link, n) => takeLink(link, others[n]));
  showBar();
  if (!playing) say(element("rewind-moment").textContent);
}

/** The address of a link without its moment. */
const addressOf = (link) => link.getAttribute("href")?.replace(/[?&]at=[^&#]*/, "") ?? "";

function takeLink(link, fresh) {
  for (const name of ["href", "role", "aria-disabled", "tabindex"]) {
    const value = fresh.getAttribute(name);
    if (value === null) link.removeAttribute(name);
    else link.setAttribute(name, value);
  }
}

/** Shows the moment in the slider and in the field, in the time zone of the page. */
function showBar() {
  const [oldest, newest] = [number("oldest"), Math.max(number("newest"), shownAt())];
  Object.assign(slider, { min: oldest, max: newest, step: Math.max(1, Math.round((newest - oldest) / 1000)) });
  if (!scrubbing) {
    slider.value = shownAt();
    slider.setAttribute("aria-valuetext", absolute(new Date(shownAt()).toISOString(), "zoned"));
  }
  setText(element("rewind-zone"), `Time (${zoneName(shownAt())})`);
  if (document.activeElement !== field) field.value = new Date(shownAt() + offset(shownAt())).toISOString().slice(0, 19);
}

function scrub() {
  pause();
  clearTimeout(scrubbing);
  const at = Math.min(Number(slider.value), Math.max(number("newest"), shownAt()));
  slider.setAttribute("aria-valuetext", absolute(new Date(at).toISOString(), "zoned"));
  scrubbing = setTimeout(() => {
    scrubbing = 0;
    go(inAddress(at));
  }, REST_MS);
}

/** The form: its time is in the time zone of the page. */
function chosen(event) {
  event.preventDefault();
  const local = Date.parse(`${field.value}Z`);
  if (!Number.isNaN(local)) go(inAddress(local - offset(local - offset(local))));
}

function stepped(event) {
  const link = event.target.closest("[data-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (!link.hasAttribute("href")) return;
  if (link.id === "step-back") step(-1);
  else if (link.id === "step-forward") step(1);
  else go(new URL(link.href).searchParams.get("at"));
}

/** Goes to the next or the previous event. Presses that come while a page is fetched add up. */
function step(by) {
  pause();
  const next = (aim ?? number("seq")) + by;
  if (next < number("first") || next > number("last")) return;
  aim = next;
  go(`${bar.dataset.epoch}:${next}`);
}

function begin() {
  playing = { began: performance.now(), at: shownAt(), speed: Number(speed.value) };
  setText(play, "Pause");
}

function pause() {
  playing = null;
  setText(play, "Play");
}

/** Goes on with the playback, unless the last moment is still being fetched. */
function advance() {
  if (!playing || isLoading) return;
  const at = playing.at + (performance.now() - playing.began) * playing.speed;
  if (at < number("newest")) return go(inAddress(Math.floor(at)));
  pause();
  if (shownAt() < number("newest")) go(inAddress(number("newest")));
  say("The newest event has been reached.");
}

/** The button that copies the link to the event, which always shows the same. */
function startCopying() {
  const button = element("rewind-copy");
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const link = new URL(bar.dataset.link, document.baseURI).href;
    setText(button, await navigator.clipboard.writeText(link).then(() => "Copied", () => "Copy failed"));
    setTimeout(() => setText(button, "Copy link"), 1500);
  });
}
