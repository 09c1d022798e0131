// Keyboard shortcuts. Pressing the key (or the sequence, such as "g h") in an element's `data-key` clicks the element,
// or focuses it when it is a field. `data-key-label` is its name in the list of shortcuts. Scripts add shortcuts of
// their own with `addShortcut`.

const SEQUENCE_MS = 1200;
const FIELDS = "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable]";

/** Shortcuts without an element, by their keys. */
const added = new Map();
/** The `details` element that was opened last, which Esc closes from anywhere on the page. */
let opened = null;
let typed = "";
let timer = 0;

/** Adds a shortcut, which is listed with those of the page. */
export function addShortcut(key, label, run) {
  added.set(key, { label, run });
}

/** Handles shortcuts from now on, and shows the button that opens their list. */
export function startShortcuts() {
  const dialog = document.getElementById("keys");
  const button = document.getElementById("show-keys");
  if (!dialog || !button) return;
  button.hidden = false;
  button.addEventListener("click", () => show(dialog));
  document.getElementById("close-keys").addEventListener("click", () => dialog.close());
  // A click on the backdrop closes the dialog. Its content fills the dialog, so only the backdrop has it as target.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.addEventListener("click", ({ target }) => (opened = target.closest("summary")?.parentElement ?? opened), true);
  document.addEventListener("keydown", (event) => pressed(event, dialog));
}

function pressed(event, dialog) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (dialog.open) {
    if (event.key === "?") dialog.close();
    return;
  }
  if (event.key === "Escape") return escape(event.target);
  if (event.target.matches(FIELDS)) return;
  if (event.key.length > 1) return;
  clearTimeout(timer);
  // A key that does not continue the sequence starts a new one.
  const sequence = typed && begins(`${typed} ${event.key}`) ? `${typed} ${event.key}` : event.key;
  const run = actionOf(sequence);
  typed = run ? "" : begins(sequence) ? sequence : "";
  timer = setTimeout(() => (typed = ""), SEQUENCE_MS);
  if (!run) return;
  event.preventDefault();
  run();
}

/** Leaves a field, or closes the `details` element around the focus or the one that was opened last. */
function escape(target) {
  if (target.matches(FIELDS) && !target.closest(".ask")) return target.blur();
  // The server may have rendered the element again since it was opened.
  const last = opened?.isConnected ? opened : opened?.id && document.getElementById(opened.id);
  const details = target.closest("details[open]") ?? (last?.open ? last : null);
  if (!details) return;
  details.open = false;
  details.querySelector("summary").focus();
}

/** Returns every visible element that has a shortcut, including the button that opens the list. */
function elements() {
  return [...document.querySelectorAll("[data-key]")].filter((element) => !element.disabled && element.checkVisibility());
}

function begins(sequence) {
  const keys = [...added.keys(), ...elements().map((element) => element.dataset.key)];
  return keys.some((key) => key === sequence || key.startsWith(`${sequence} `));
}

function actionOf(sequence) {
  const element = elements().find((candidate) => candidate.dataset.key === sequence);
  if (!element) return added.get(sequence)?.run;
  return () => {
    element.focus();
    if (element.matches("input, textarea")) element.select();
    else if (!element.matches("select")) element.click();
  };
}

function labelOf(element) {
  return element.dataset.keyLabel || element.getAttribute("aria-label") || element.textContent.trim().replace(/\s+/g, " ");
}

function show(dialog) {
  const everywhere = [];
  const here = [...added].map(([key, { label }]) => [key, label]);
  for (const element of elements()) {
    (element.closest("main") ? here : everywhere).push([element.dataset.key, labelOf(element)]);
  }
  here.push(["Esc", "Leave a field, or close an open panel"]);
  fill("keys-here", here);
  fill("keys-everywhere", everywhere);
  dialog.showModal();
}

function fill(id, keys) {
  const rows = keys.map(([sequence, label]) => {
    const row = document.createElement("div");
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    for (const key of sequence.split(" ")) term.append(kbd(key), " ");
    text.textContent = label;
    row.append(term, text);
    return row;
  });
  document.getElementById(id).replaceChildren(...rows);
}

function kbd(key) {
  const element = document.createElement("kbd");
  element.textContent = key;
  return element;
}
