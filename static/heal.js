// A page that says "not now" (the server stops, its disk refuses) comes back by itself: it asks whether the server
// is ready, and shows itself again when it is.

const FIRST_MS = 500;
const LONGEST_MS = 10_000;

/** Asks until the answer is yes; not while nobody looks. */
export function heal() {
  let wait = FIRST_MS;
  let timer = 0;
  const ask = async () => {
    timer = 0;
    if (document.hidden) return;
    try {
      if ((await fetch("readyz", { cache: "no-store" })).ok) return location.reload();
    } catch {
      // not even reachable: that too will pass
    }
    wait = Math.min(LONGEST_MS, wait * 1.5);
    timer = setTimeout(ask, wait * (0.5 + Math.random()));
  };
  document.addEventListener("visibilitychange", () => !timer && ask());
  timer = setTimeout(ask, wait);
}
