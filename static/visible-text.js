// Text from jobs as pages show it, as src/ui/parts/visible_text.rs does: escapes such as \u00e4 are decoded, and characters
// that could not be seen, or that would change the order of the text around them, are shown as escapes.

const HIDDEN = /[\p{Cc}\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2028\u2029\u2065\u2800\u3164\uffa0\ufff0-\ufffb\ufffe\uffff\u{e0000}-\u{e0fff}]/u;
/** A surrogate pair, another escape, a backslash with the character that belongs to it, or text. */
const PARTS = /\\u(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})|\\u((?!d[89a-f])[\da-f]{4})|\\[^]?|[^\\]+/giu;

const mark = (char) => [...Array(char.length).keys()].map((n) => `\\u${char.charCodeAt(n).toString(16).padStart(4, "0")}`).join("");

/** Splits a text into parts that can be shown as they are and marks for the rest. A raw text keeps its escapes. */
function pieces(text, isRaw) {
  const found = [];
  const add = (text, isMark) => {
    if (found.at(-1)?.isMark === isMark) found.at(-1).text += text;
    else found.push({ text, isMark });
  };
  const show = (char, isLayout) => (HIDDEN.test(char) && !isLayout ? add(mark(char), true) : add(char, false));
  for (const [whole, high, low, unit] of text.matchAll(PARTS)) {
    const codes = [high, low, unit].filter(Boolean).map((digits) => parseInt(digits, 16));
    if (codes.length && !isRaw) show(String.fromCharCode(...codes), false);
    else if (!HIDDEN.test(whole)) add(whole, false);
    else for (const char of whole) show(char, char === "\n" || char === "\t");
  }
  return found;
}

const isPlain = (text) => !text.includes("\\") && !HIDDEN.test(text);

/** The text for a place that shows only text. */
export const visible = (text) => (isPlain(text) ? text : pieces(text, false).map((piece) => piece.text).join(""));

/** Shows a text in an element, with marks. Returns whether an escape was decoded. */
export function showVisible(element, text, isRaw) {
  if (isPlain(text)) {
    element.textContent = text;
    return false;
  }
  const nodes = pieces(text, isRaw).map(({ text, isMark }) => {
    if (!isMark) return text;
    return Object.assign(document.createElement("span"), { className: "j-mark", textContent: text });
  });
  element.replaceChildren(...nodes);
  return element.textContent !== pieces(text, true).map((piece) => piece.text).join("");
}
