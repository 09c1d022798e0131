// Makes the whole row of a job clickable. The link in the row stays what keyboards and screen readers use. A click with
// the middle button or with a modifier key opens a new tab, as on a link, and text in a row can still be selected.

const CONTROLS = "a, button, input, select, label, summary";

/** The link of the row that an event is about; nothing if the event belongs to a control or ends a selection of text. */
function linkAt({ target }) {
  const row = target.closest?.("table.rows tr[data-job]");
  if (!row || target.closest(CONTROLS)) return null;
  const selection = getSelection();
  if (!selection.isCollapsed && selection.containsNode(row, true)) return null;
  return row.querySelector(".job-link");
}

/** Handles clicks on rows, including those that are added later. */
export function startRowLinks() {
  document.addEventListener("click", (event) => {
    const link = !event.defaultPrevented && linkAt(event);
    if (!link) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) open(link.href, "_blank", "noopener");
    else link.click();
  });
  document.addEventListener("auxclick", (event) => {
    const link = event.button === 1 && linkAt(event);
    if (link) open(link.href, "_blank", "noopener");
  });
  // The middle button would start to scroll.
  document.addEventListener("mousedown", (event) => event.button === 1 && linkAt(event) && event.preventDefault());
}
