// A button on the page of a job that is not finished: the browser tells its reader when the job ends, also while the page
// is in the background.

import { say } from "./live.js";
import { keep, recall } from "./storage.js";

const KEY = "cortado-notify";

/** Shows the button where the browser can notify: over HTTPS and on this machine. */
export function startNotifying(button, id) {
  if (!("Notification" in window) || !window.isSecureContext) return;
  button.hidden = false;
  const name = document.getElementById("notify-name");
  const show = (isWanted) => {
    button.setAttribute("aria-pressed", String(isWanted));
    name.textContent = button.title = isWanted ? "You will be notified when it ends" : "Notify me when it ends";
  };
  const choose = (isWanted) => {
    show(isWanted);
    keep("sessionStorage", KEY, isWanted ? id : null);
  };
  show(recall("sessionStorage", KEY) === id && Notification.permission === "granted");
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-pressed") === "true") return choose(false);
    if ((await Notification.requestPermission()) === "granted") return choose(true);
    name.textContent = button.title = "The browser does not allow this page to notify you";
    name.className = "refused"; // a phone shows only the symbol otherwise
    say(name.textContent);
  });
  document.addEventListener("job-ended", ({ detail }) => {
    const isWanted = button.getAttribute("aria-pressed") === "true";
    button.hidden = true;
    if (!isWanted) return;
    keep("sessionStorage", KEY, null);
    const title = `${document.querySelector("#head h1").textContent} ${document.querySelector("#head .badge").textContent}`;
    const notification = new Notification(title, { body: detail, tag: id });
    notification.addEventListener("click", () => (window.focus(), notification.close()));
  });
}
