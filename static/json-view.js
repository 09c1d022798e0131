// The payload and the result of a job: buttons that copy the value or the path of the line under the pointer or with the
// focus, and arrow keys that go from line to line. Folding and links need no script.

/** Starts all views of the page, including those that the server renders again. */
export function startJsonViews() {
  document.addEventListener("keydown", walk);
  if (!navigator.clipboard) return;
  let line = null;
  const tools = document.createElement("span");
  tools.className = "json-tools";
  tools.append(copyButton("Copy", "Copy value", () => valueOf(line)), copyButton("Path", "Copy path", () => line.dataset.path));
  const place = ({ target }) => {
    const found = target.closest?.(".json [data-path]");
    if (!found && !target.closest?.(".json") && !document.activeElement.closest(".json")) tools.remove();
    if (!found || (found === line && tools.isConnected)) return;
    line = found;
    tools.lastChild.hidden = !line.dataset.path; // a path that is too long is left out
    put(tools, line);
  };
  // Not `mouseover`, which also comes when the page moves below a pointer that rests, and would take the focus away.
  document.addEventListener("pointermove", place);
  document.addEventListener("focusin", place);
  document.addEventListener("toggle", ({ target }) => target.firstElementChild === line && put(tools, line), true);
}

/** Puts the buttons behind a line: at its end, or after the summary of what can be folded, which must not have buttons. */
function put(tools, line) {
  if (!line.matches("summary")) line.append(tools);
  else if (line.parentElement.open) line.after(tools);
  else line.parentElement.after(tools);
}

function copyButton(name, title, textOf) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: name, title });
  button.addEventListener("click", async () => {
    button.textContent = await navigator.clipboard.writeText(textOf()).then(() => "Copied", () => "Copy failed");
    setTimeout(() => (button.textContent = name), 1500);
  });
  return button;
}

/** The JSON of a line, or of the object or array that begins on it; of a text, the text itself. */
export function valueOf(line) {
  const nodes = [line];
  if (line.matches("summary")) {
    const fold = line.parentElement;
    let end = fold.nextElementSibling;
    if (end?.matches(".json-tools")) end = end.nextElementSibling;
    nodes.splice(0, 1, fold, ...(end ? [end] : []));
  }
  const text = nodes.map(textOf).join("");
  const [indent] = /^ */.exec(text);
  const value = text.trim().replace(/^"(?:[^"\\]|\\.)*": /, "").replace(/,$/, "").replaceAll(`\n${indent}`, "\n");
  if (!value.startsWith('"')) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value; // only its beginning is shown
  }
}

function textOf(node) {
  const copy = node.cloneNode(true);
  copy.querySelector(".json-tools")?.remove();
  return copy.textContent;
}

/** Moves the focus to the next or the previous line. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const view = event.target.closest?.(".json");
  if (!step || !view || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const lines = [...view.querySelectorAll("[data-path]")].filter((line) => line.checkVisibility());
  const here = lines.indexOf(event.target.closest("[data-path]") ?? event.target.closest(".json-tools")?.parentElement.querySelector("summary"));
  const next = lines[here < 0 ? (step > 0 ? 0 : lines.length - 1) : here + step];
  event.preventDefault();
  if (!next) return;
  const target = next.querySelector("a") ?? next;
  if (target === next && !next.matches("summary")) next.tabIndex = -1;
  target.focus();
}
