// Reloads a page: once the server is ready again, after an error that passes, or because the page no longer fits what its
// reader may do. A page with input that was not sent is not reloaded; it says why it should be.

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 10_000;
/** How long the answer to a form may take. A reload before that would replace the page that the form leads to. */
const ANSWER_MS = 5_000;

/** When a form was last sent that leads to another page, such as the one that logs out. */
let sentAt = -Infinity;
addEventListener("submit", (event) => {
  if (!event.defaultPrevented) sentAt = performance.now();
});

/** Whether the page is the answer to a form. If its fields have values, the reader has typed them. */
const isAnswer = () => "answer" in document.body.dataset;

/** Whether a list shows another choice than the page was delivered with. Without a default, that is the first option. */
export function isOtherChoice({ multiple, options }) {
  const first = !multiple && ![...options].some(({ defaultSelected }) => defaultSelected);
  return [...options].some(({ selected, defaultSelected }, n) => selected !== (first ? n === 0 : defaultSelected));
}

/** Whether a form that changes something has input that would be lost. */
function hasInput() {
  return [...document.querySelectorAll("form[method=post] :is(input:not([type=hidden]), select, textarea)")].some((control) => {
    if (control.options) return isOtherChoice(control);
    if (["checkbox", "radio"].includes(control.type)) return control.checked !== control.defaultChecked;
    return isAnswer() ? control.value !== "" : control.value !== control.defaultValue;
  });
}

/** Opens the page again. The answer to a form is requested with GET: reloading it would send the form again. */
function reload() {
  if (isAnswer()) location.replace(location.href.split("#")[0]);
  else location.reload();
}

/** Opens the page again, unless that would lose what the reader has typed: then the page says `why` and has a button. */
export function openAgain(why) {
  const wait = sentAt + ANSWER_MS - performance.now();
  if (wait > 0) {
    setTimeout(openAgain, wait, why);
    return;
  }
  if (!hasInput()) return reload();
  if (document.getElementById("reload")) return;
  const notice = document.createElement("p");
  notice.className = "notice error";
  notice.setAttribute("role", "alert");
  const button = document.createElement("button");
  Object.assign(button, { type: "button", id: "reload", className: "button small", textContent: "Reload the page" });
  button.addEventListener("click", reload);
  notice.append(`${why} What you have typed stays here until you leave this page. `, button);
  document.getElementById("main").prepend(notice);
}

/** Polls the server until it is ready, and then opens the page again. A hidden page does not poll. */
export function reloadWhenReady(why = "The server is ready again.") {
  let delay = FIRST_DELAY_MS;
  let timer = 0;
  const poll = async () => {
    timer = 0;
    if (document.hidden) return;
    try {
      if ((await fetch("readyz", { cache: "no-store" })).ok) return openAgain(why);
    } catch {
      // The server cannot be reached yet.
    }
    delay = Math.min(MAX_DELAY_MS, delay * 1.5);
    timer = setTimeout(poll, delay * (0.5 + Math.random()));
  };
  document.addEventListener("visibilitychange", () => !timer && poll());
  timer = setTimeout(poll, delay);
}
