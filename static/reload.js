// Reloads a page once the server is ready again, after an error that passes: the server is stopping, or its store is
// not accepting writes.

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 10_000;

/** Opens the page again. The answer to a form is requested with GET: reloading it would send the form again. */
export function openAgain() {
  if ("answer" in document.body.dataset) location.replace(location.href.split("#")[0]);
  else location.reload();
}

/** Polls the server until it is ready, and then reloads the page. A hidden page does not poll. */
export function reloadWhenReady() {
  let delay = FIRST_DELAY_MS;
  let timer = 0;
  const poll = async () => {
    timer = 0;
    if (document.hidden) return;
    try {
      if ((await fetch("readyz", { cache: "no-store" })).ok) return openAgain();
    } catch {
      // The server cannot be reached yet.
    }
    delay = Math.min(MAX_DELAY_MS, delay * 1.5);
    timer = setTimeout(poll, delay * (0.5 + Math.random()));
  };
  document.addEventListener("visibilitychange", () => !timer && poll());
  timer = setTimeout(poll, delay);
}
