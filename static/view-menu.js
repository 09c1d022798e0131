// The menu of the job list with its columns and its density. The choice is kept in the browser; list-view.js applies it
// before the first paint.

import { keep } from "./storage.js";

const root = document.documentElement;

/** Shows the fields of the menu and handles their changes, also those of another tab. */
export function startViewMenu() {
  const menu = document.getElementById("view");
  const columns = [...menu.querySelectorAll("input[name=column]")];
  const densities = [...menu.querySelectorAll("input[name=density]")];
  const show = () => {
    const hidden = (root.dataset.hidden ?? "").split(" ");
    for (const box of columns) box.checked = !hidden.includes(box.value);
    for (const button of densities) button.checked = button.value === (root.dataset.density ?? "comfortable");
  };
  const apply = ({ hidden, density }) => {
    root.dataset.hidden = hidden.join(" ");
    if (density === "compact") root.dataset.density = density;
    else delete root.dataset.density;
  };
  show();
  addEventListener("pageshow", show); // browsers restore checkboxes when going back
  for (const group of menu.querySelectorAll("fieldset")) group.hidden = false;
  menu.addEventListener("change", () => {
    const choice = { hidden: columns.filter((box) => !box.checked).map((box) => box.value), density: densities.find((button) => button.checked).value };
    apply(choice);
    keep("localStorage", "cortado-list", JSON.stringify(choice));
  });
  addEventListener("storage", ({ key, newValue }) => {
    if (key !== "cortado-list" || !newValue) return;
    apply(JSON.parse(newValue));
    show();
  });
  // Like other menus, it closes when the reader goes on elsewhere.
  document.addEventListener("click", ({ target }) => menu.contains(target) || (menu.open = false));
}
