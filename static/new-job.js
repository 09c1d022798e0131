// The forms of jobs and schedules while somebody types. The server renders a form again for another kind, describes times
// and builds the curl command, so that everything shown is exactly what would be sent. This script does not know the
// meaning of any field of a payload.

import { atMostEvery, typeAgain } from "./live.js";
import { setText, showTimes, zoneId } from "./time.js";

const by = (id) => document.getElementById(id);
/** The elements that can be replaced without affecting what is being typed. */
const previews = () => document.querySelectorAll("[data-preview]");

const form = document.querySelector("form[data-redraw]");
if (form) jobForm();

function jobForm() {
  /** The inputs and typed texts of each kind, kept for switching back. */
  const parts = new Map();
  let kind = form.elements.shown.value;
  /** The newest request of each type; responses to older ones are dropped. */
  const newest = { preview: 0, drawing: 0 };
  /** How often somebody has changed a field, and the number at the newest request. */
  let changes = 0;
  let sent = 0;

  /** Fetches the form as the server renders it now. */
  async function drawn(what, submitter) {
    const asked = ++newest[what];
    sent = changes;
    try {
      const answer = await fetch(form.dataset.redraw, { method: "POST", body: new URLSearchParams(new FormData(form, submitter)) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok || !page.getElementById("payload-part")) throw new Error(`${answer.status}`);
      return asked === newest[what] ? page : undefined;
    } catch {
      if (asked === newest[what]) setText(by("refusal") ?? by("means"), "The server cannot be reached. This preview does not include your last change.");
      return undefined;
    }
  }

  /** The pattern of a schedule and the fields that build it follow each other; the field that is typed into stays as it is.
   * A response that does not know the last change would take it back; the next one follows. */
  function followPattern(page) {
    if (changes !== sent) return;
    for (const input of form.querySelectorAll("[name^=repeat], [name=cron]")) {
      if (input !== document.activeElement) input.value = page.getElementById(input.id).value;
    }
  }

  function showPreview(page) {
    followPattern(page);
    // What an empty field means depends on the kind.
    for (const input of form.querySelectorAll("details.options .field > input[placeholder]")) {
      input.placeholder = page.getElementById(input.id)?.placeholder ?? input.placeholder;
    }
    for (const old of previews()) {
      const fresh = document.importNode(page.getElementById(old.id), true);
      showTimes(fresh);
      const field = by(old.id.replace("-error", ""));
      if (field !== old) fresh.textContent ? field.setAttribute("aria-invalid", "true") : field.removeAttribute("aria-invalid");
      if (old.textContent === fresh.textContent) continue;
      old.replaceChildren(...fresh.childNodes);
    }
  }

  const preview = atMostEvery(250, async () => {
    const page = await drawn("preview");
    if (page) showPreview(page);
  });

  async function redraw(submitter) {
    const page = await drawn("drawing", submitter);
    if (!page) return undefined;
    newest.preview++;
    setText(by("kind-about"), page.getElementById("kind-about").textContent);
    by("payload-part").replaceWith(document.adoptNode(page.getElementById("payload-part")));
    showPreview(page);
    return page;
  }

  by("kind").addEventListener("change", async () => {
    const chosen = by("kind").value;
    const part = by("payload-part");
    const from = kind;
    const back = parts.get(chosen);
    setText(by("kind-error"), "");
    if (chosen === kind) {
      newest.drawing++; // the form of another kind that may be on its way is no longer wanted
      return;
    }
    if (back) {
      parts.set(from, part);
      kind = chosen;
      part.replaceWith(back);
      preview();
      return;
    }
    if (await redraw()) {
      parts.set(from, part);
      kind = chosen;
    }
  });
  for (const type of ["input", "change"]) form.addEventListener(type, () => changes++, { capture: true });
  form.addEventListener("input", (event) => {
    const way = form.elements.when && { delay: "in", at: "at", zone: "at" }[event.target.id];
    if (way && (way === "in" || by("at").value)) form.elements.when.value = way;
    if (event.target.id === "at") fixOffset();
    if (event.target !== by("kind")) preview();
  });
  form.addEventListener("change", (event) => event.target !== by("kind") && preview());
  // The fields of the other kinds of start stay on the page and are not sent.
  form.addEventListener("formdata", ({ formData }) => {
    if (formData.get("when") !== "in") formData.delete("delay");
    if (formData.get("when") !== "at") formData.delete("at");
  });
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.name !== "to") return;
    event.preventDefault();
    const page = await redraw(event.submitter);
    if (page) by("payload-part").querySelector("button[name=to]")?.focus();
  });

  const zone = by("zone");
  const unset = "unset" in zone.dataset && zone.value === zone.defaultValue;
  // This must run before the script changes any field itself.
  typeAgain(form);
  const own = zoneId();
  if (unset && own) {
    if ("names" in zone.dataset) zone.value = own;
    fixOffset();
  }
  if ("names" in zone.dataset) {
    if (zone.placeholder && own && own !== "UTC") zone.placeholder = `UTC, or ${own}`;
    const names = Intl.supportedValuesOf?.("timeZone") ?? [];
    by("zone-names").append(...names.map((name) => new Option(name, name)));
  }
  if (unset && by("at").value) preview();

  /** Sets the browser's offset at that time, for a server without a time zone database. */
  function fixOffset() {
    if (!unset || "names" in zone.dataset) return;
    const minutes = own === "UTC" ? 0 : -new Date(by("at").value || Date.now()).getTimezoneOffset();
    const two = (n) => String(Math.trunc(n)).padStart(2, "0");
    const all = Math.abs(minutes);
    zone.value = minutes ? `${minutes < 0 ? "-" : "+"}${two(all / 60)}:${two(all % 60)}` : "UTC";
  }
}
