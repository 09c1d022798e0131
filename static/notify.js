// A button on the page of a job that is not finished: the browser tells its reader when the job ends, also while the page
// is in the background.

import { say } from "./live.js";

const KEY = "cortado-notify";

/** Shows the button where the browser can notify: over HTTPS and on this machine. */
export function startNotifying(button, id) {
  if (!("Notification" in window) || !window.isSecureContext) return;
  button.hidden = false;
  const set = (isWanted) => {
    button.setAttribute("aria-pressed", String(isWanted));
    document.getElementById("notify-name").textContent = isWanted ? "You are told when it ends" : "Tell me when it ends";
    remember(isWanted ? id : null);
  };
  set(remembered() === id && Notification.permission === "granted");
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-pressed") === "true") return set(false);
    if ((await Notification.requestPermission()) === "granted") return set(true);
    document.getElementById("notify-name").textContent = "The browser does not allow this page to notify you";
    say("The browser does not allow this page to notify you.");
  });
  document.addEventListener("job-ended", ({ detail }) => {
    const isWanted = button.getAttribute("aria-pressed") === "true";
    button.hidden = true;
    if (!isWanted) return;
    remember(null);
    const title = `${document.querySelector("#head h1").textContent} ${document.querySelector("#head .badge").textContent}`;
    const notification = new Notification(title, { body: detail, tag: id });
    notification.addEventListener("click", () => (window.focus(), notification.close()));
  });
}

// Storage can be disabled; the choice is then lost when the page is loaded again.

function remembered() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(id) {
  try {
    if (id) sessionStorage.setItem(KEY, id);
    else sessionStorage.removeItem(KEY);
  } catch {
    // See above.
  }
}
