// The form of a schedule while somebody types. The server describes the pattern in words and lists the next runs.

import { atMostEvery, typeAgain } from "./live.js";
import { setText, showTimes, zoneId } from "./time.js";

const by = (id) => document.getElementById(id);

const form = by("schedule-form");
if (form) scheduleForm();

function scheduleForm() {
  let newest = 0;
  const ask = atMostEvery(250, async () => {
    const asked = ++newest;
    try {
      const answer = await fetch("schedules/new", { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const means = page.getElementById("means");
      if (asked !== newest || !means) return;
      by("means").replaceChildren(...[...means.childNodes].map((node) => document.importNode(node, true)));
      showTimes(by("means"));
    } catch {
      if (asked === newest) setText(by("means"), "The server cannot be reached, so there is no preview.");
    }
  });
  form.addEventListener("input", ({ target }) => ["cron", "zone"].includes(target.id) && ask());
  typeAgain(form);
  const zone = by("zone");
  if (zone.value === "" && zone.dataset.names !== undefined) zone.placeholder = zoneId() === "UTC" ? "UTC" : `UTC, or ${zoneId()}`;
}
