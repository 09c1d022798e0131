// What the browser keeps for its reader. Storage can be disabled; then nothing is kept, and a choice is lost with the page.

/** Reads what is kept under a key in `localStorage` or `sessionStorage`; `null` when there is nothing. */
export function recall(storage, key) {
  try {
    return globalThis[storage].getItem(key);
  } catch {
    return null;
  }
}

/** Keeps a text under a key, or removes what is there when it is `null`. Returns whether that was possible. */
export function keep(storage, key, text) {
  try {
    if (text === null) globalThis[storage].removeItem(key);
    else globalThis[storage].setItem(key, text);
    return true;
  } catch {
    return false;
  }
}
