// The command palette: finds pages, queues, kinds, schedules, workers and jobs, presses the buttons of the page, and keeps
// filters of the list of jobs under names in this browser. It is loaded when it is opened for the first time.

import { say } from "./live.js";
import { keep, recall } from "./storage.js";

/** How long to wait after a key before the server is asked. */
const PAUSE_MS = 120;
const SAVED_KEY = "cortado-filters";
/** How long a message about a filter is shown. */
const TOAST_MS = 8000;
/** The most filters that are kept. */
const MOST_SAVED = 50;

let palette = null;

/** Opens the palette. */
export function openPalette() {
  palette ??= new Palette();
  palette.open();
}

class Palette {
  #dialog = document.createElement("dialog");
  #field = document.createElement("input");
  #list = document.createElement("ul");
  #rows = [];
  #chosen = 0;
  #timer = 0;
  /** What the server has found, and for which text. */
  #found = [];
  #asked = 0;

  constructor() {
    const dialog = this.#dialog;
    dialog.className = "palette";
    dialog.setAttribute("aria-label", "Command palette");
    Object.assign(this.#field, { type: "text", placeholder: "Find a queue, a kind, a job id or an action", autocomplete: "off", spellcheck: false });
    const attributes = { role: "combobox", "aria-label": "Find", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list" };
    for (const [name, value] of Object.entries(attributes)) this.#field.setAttribute(name, value);
    this.#list.id = "palette-list";
    this.#list.setAttribute("role", "listbox");
    this.#list.setAttribute("aria-label", "Results");
    dialog.append(this.#field, this.#list);
    document.body.append(dialog);
    this.#field.addEventListener("input", () => this.#typed());
    this.#field.addEventListener("keydown", (event) => this.#pressed(event));
    // A click on the backdrop closes the dialog, whose content covers it.
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  open() {
    if (this.#dialog.open) return this.#dialog.close();
    this.#field.value = "";
    this.#found = [];
    this.#dialog.showModal();
    this.#typed();
  }

  #typed() {
    this.#show();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  /** Asks the server what has this name. */
  async #ask() {
    const asked = ++this.#asked;
    const url = `find?q=${encodeURIComponent(this.#field.value.trim())}`;
    const answer = await fetch(new URL(url, document.baseURI), { headers: { accept: "text/html" } }).catch(() => null);
    const text = answer?.ok ? await answer.text() : "";
    if (asked !== this.#asked) return; // more was typed meanwhile
    const page = new DOMParser().parseFromString(text, "text/html");
    this.#found = [...page.querySelectorAll("#found a")].map((link) => {
      const [sort, name] = [".found-sort", ".found-name"].map((part) => link.querySelector(part).textContent);
      const href = link.getAttribute("href");
      return { sort, name, run: () => location.assign(new URL(href, document.baseURI)) };
    });
    this.#show();
  }

  #show() {
    const text = this.#field.value.trim().toLowerCase();
    const local = [...savedRows(text), ...actions()].filter(({ name, always }) => always || name.toLowerCase().includes(text));
    // What only opens a page comes first, so that Enter does nothing else by surprise.
    const [filters, acts] = [local.filter(({ sort }) => sort === "Filter"), local.filter(({ sort }) => sort === "Action")];
    const [searches, found] = [this.#found.filter(({ sort }) => sort === "Search"), this.#found.filter(({ sort }) => sort !== "Search")];
    this.#rows = [...filters, ...found, ...acts, ...searches];
    this.#chosen = 0;
    this.#list.replaceChildren(...this.#rows.map((row, n) => this.#item(row, n)));
    this.#mark();
  }

  #item({ sort, name }, n) {
    const item = document.createElement("li");
    item.id = `palette-${n}`;
    item.setAttribute("role", "option");
    item.append(part("found-sort", sort), " ", part("found-name", name));
    item.addEventListener("click", () => this.#run(n));
    item.addEventListener("pointermove", () => this.#choose(n));
    return item;
  }

  #choose(n) {
    if (n === this.#chosen) return;
    this.#chosen = n;
    this.#mark();
  }

  #mark() {
    for (const [n, item] of [...this.#list.children].entries()) item.setAttribute("aria-selected", String(n === this.#chosen));
    const item = this.#list.children[this.#chosen];
    if (item) this.#field.setAttribute("aria-activedescendant", item.id);
    else this.#field.removeAttribute("aria-activedescendant");
    item?.scrollIntoView({ block: "nearest" });
  }

  #pressed(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    const count = this.#rows.length;
    if (event.key in steps && count) this.#choose((this.#chosen + steps[event.key] + count) % count);
    else if (event.key === "Enter") this.#enter();
    else if (event.key === "Escape") this.#dialog.close();
    else return;
    event.preventDefault();
  }

  /** Enter may come before the server has answered for what was typed last. */
  async #enter() {
    clearTimeout(this.#timer);
    if (this.#chosen === 0) await this.#ask();
    this.#run(this.#chosen);
  }

  #run(n) {
    const row = this.#rows[n];
    if (!row) return;
    this.#dialog.close();
    row.run(this.#field.value.trim());
  }
}

function part(className, text) {
  return Object.assign(document.createElement("span"), { className, textContent: text });
}

/** The buttons of the page, and the links that have a shortcut. */
function actions() {
  const elements = document.querySelectorAll("main button, main summary.button, main a.button, .rewind button, .rewind a[href].button, .foot button, .right :is(button[data-key], #rewind-from-now)");
  const shown = [...elements].filter((element) => !element.disabled && !element.closest("dialog") && element.checkVisibility({ visibilityProperty: true }));
  return shown.map((element) => ({ sort: "Action", name: element.dataset.keyLabel || element.textContent.trim().replace(/\s+/g, " "), run: () => press(element) })).filter(({ name }) => name);
}

function press(element) {
  element.focus();
  element.click();
}

/** The filters that were saved in this browser, and what saves or forgets the one of this page. */
function savedRows(text) {
  const saved = readSaved();
  const rows = saved.map(({ name, href }) => ({ sort: "Filter", name, run: () => location.assign(new URL(href, document.baseURI)) }));
  const here = currentFilter();
  if (!here) return rows;
  const same = saved.find(({ href }) => href === here);
  if (same) rows.push({ sort: "Action", name: `Forget the filter ${same.name}`, run: () => forget(same) });
  else rows.push({ sort: "Action", name: text ? `Save this filter as “${text}”` : "Save this filter", always: true, run: (typed) => save(typed, here) });
  return rows;
}

/** The filter of the list of jobs on this page, relative to the base; `null` on other pages and without a filter. */
function currentFilter() {
  const path = location.pathname.slice(new URL(document.baseURI).pathname.length);
  const query = new URLSearchParams(location.search);
  for (const name of ["after", "seen", "at"]) query.delete(name);
  return path === "jobs" && query.size ? `jobs?${query}` : null;
}

function readSaved() {
  try {
    const saved = JSON.parse(recall("localStorage", SAVED_KEY) ?? "[]");
    return Array.isArray(saved) ? saved.filter(({ name, href }) => typeof name === "string" && /^jobs\?/.test(href)) : [];
  } catch {
    return []; // something else is stored there
  }
}

const writeSaved = (saved) => keep("localStorage", SAVED_KEY, JSON.stringify(saved.slice(-MOST_SAVED)));

function save(typed, href) {
  const name = typed || [...new URLSearchParams(href.slice(5)).values()].join(" ");
  const isKept = writeSaved([...readSaved().filter((other) => other.name !== name), { name, href }]);
  if (isKept) toast(`The filter was saved as ${name}. Press Ctrl-K to find it.`, () => forget({ name }));
  else toast("This browser does not keep filters.");
}

function forget({ name }) {
  const before = readSaved();
  writeSaved(before.filter((other) => other.name !== name));
  toast(`The filter ${name} was forgotten.`, () => writeSaved(before));
}

/** Shows a message for some seconds, with a button that takes back what it tells. */
function toast(text, undo) {
  document.querySelector(".toast")?.remove();
  const message = Object.assign(document.createElement("p"), { className: "notice info toast", textContent: `${text} ` });
  const close = () => message.remove();
  if (undo) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "undo", textContent: "Undo" });
    button.addEventListener("click", () => (close(), undo()));
    message.append(button);
  }
  document.body.append(message);
  let timer = setTimeout(close, TOAST_MS);
  // It stays while somebody is about to press the button.
  for (const name of ["pointerenter", "focusin"]) message.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["pointerleave", "focusout"]) message.addEventListener(name, () => (timer = setTimeout(close, TOAST_MS)));
  say(text);
}
