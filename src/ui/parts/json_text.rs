//! JSON as pages show it, indented and coloured. Numbers are never parsed, so the text keeps every digit.

use crate::job::shorten::truncated;
use crate::job::{Json, text_length};

/// A token of indented JSON with the class for its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The class: `key`, `string`, `number`, `word` or `plain`.
    pub class: &'static str,
    /// The text, including its white space.
    pub text: String,
}

/// The limits of a shown text, so that the size of a page does not depend on stored payloads.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// The levels of nesting; anything deeper is left out.
    depth: usize,
    /// The lines; the rest is left out.
    lines: usize,
    /// The bytes including white space; the rest is left out.
    bytes: usize,
}

/// The limits of a page.
const PAGE: Bounds = Bounds { depth: 64, lines: 1_000, bytes: 32 * 1_024 };
/// The limits of indentation in a form. A longer text stays as it is, because nothing of it may be left out.
const FORM: Bounds = Bounds { depth: 64, lines: 5_000, bytes: 128 * 1_024 };
/// The levels that are indented. Deeper ones are not indented further, or white space would outweigh the text.
const INDENTED: usize = 20;
/// The mark in place of anything left out.
const LEFT_OUT: &str = "…";

/// An indented text, or the beginning of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The tokens in order.
    pub tokens: Vec<Token>,
    /// Whether something was left out.
    pub is_cut: bool,
}

/// Indents JSON by two spaces; strings, numbers and the order of keys stay as they are. Only the beginning of a
/// long or deeply nested text is shown.
pub fn shown(json: &Json) -> Shown {
    Writer::run(json.as_str(), PAGE)
}

/// The whole text for a form, indented unless it is long or deeply nested.
pub fn editable(json: &Json) -> String {
    let Shown { tokens, is_cut } = Writer::run(json.as_str(), FORM);
    if is_cut {
        json.as_str().to_owned()
    } else {
        tokens.into_iter().map(|token| token.text).collect()
    }
}

struct Writer {
    bounds: Bounds,
    out: Vec<Token>,
    depth: usize,
    lines: usize,
    bytes: usize,
    is_cut: bool,
}

impl Writer {
    /// Tokenizes a valid JSON text in one pass; an invalid one comes out roughly as it is.
    fn run(text: &str, bounds: Bounds) -> Shown {
        let out = Vec::new();
        let mut writer = Writer { bounds, out, depth: 0, lines: 1, bytes: 0, is_cut: false };
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => text_length(rest),
                '{' | '[' | '}' | ']' | ',' | ':' => 1,
                _ => rest
                    .find(['{', '[', '}', ']', ',', ':', ' ', '\t', '\r', '\n'])
                    .unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(length.max(first.len_utf8()));
            rest = after.trim_start();
            if writer.is_full() {
                writer.is_cut = true;
                writer.line();
                writer.push("plain", LEFT_OUT);
                break;
            }
            if matches!(first, '{' | '[') && writer.depth >= bounds.depth {
                rest = after_the_end(rest);
                writer.is_cut = true;
                writer.plain(if first == '{' { "{…}" } else { "[…]" });
                continue;
            }
            writer.add(token, first, rest);
        }
        Shown { tokens: writer.out, is_cut: writer.is_cut }
    }

    fn is_full(&self) -> bool {
        self.lines >= self.bounds.lines || self.bytes >= self.bounds.bytes
    }

    fn add(&mut self, token: &str, first: char, rest: &str) {
        match first {
            '{' | '[' => {
                self.plain(token);
                self.depth += 1;
                if !rest.starts_with(['}', ']']) {
                    self.line();
                }
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if !self.ends_with(['{', '[']) {
                    self.line();
                }
                self.plain(token);
            }
            ',' => {
                self.plain(token);
                self.line();
            }
            ':' => self.plain(": "),
            '"' if rest.starts_with(':') => self.push("key", token),
            '"' => self.push("string", token),
            't' | 'f' | 'n' => self.push("word", token),
            _ => self.push("number", token),
        }
    }

    fn line(&mut self) {
        self.lines += 1;
        let text = format!("\n{}", "  ".repeat(self.depth.min(INDENTED)));
        self.plain(&text);
    }

    /// Adjacent plain tokens are merged.
    fn plain(&mut self, text: &str) {
        match self.out.last_mut() {
            Some(last) if last.class == "plain" => {
                self.bytes += text.len();
                last.text.push_str(text);
            }
            Some(_) | None => self.push("plain", text),
        }
    }

    /// A string that does not fit is shown up to the limit.
    fn push(&mut self, class: &'static str, text: &str) {
        let room = self.bounds.bytes.saturating_sub(self.bytes).max(LEFT_OUT.len());
        let mut text = text.to_owned();
        if text.len() > room {
            text.truncate(truncated(&text, room).len());
            text.push_str(LEFT_OUT);
            self.is_cut = true;
        }
        self.bytes += text.len();
        self.out.push(Token { class, text });
    }

    fn ends_with(&self, what: [char; 2]) -> bool {
        self.out.last().is_some_and(|last| last.text.ends_with(what) && last.class == "plain")
    }
}

/// Skips the rest of an array or object whose opening bracket is just before `text`.
fn after_the_end(text: &str) -> &str {
    let mut open = 1_usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        at += match byte {
            b'"' => text_length(&text[at..]),
            _ => 1,
        };
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    text[at..].trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        editable(&Json::parse(text).unwrap())
    }

    #[test]
    fn numbers_stay_as_they_were_sent() {
        for exact in ["12345678901234567890123", "1.0", "-0", "1e400", "0.10", "1E+2"] {
            assert_eq!(shown(exact), exact);
            assert_eq!(shown(&format!("{{\"n\":{exact}}}")), format!("{{\n  \"n\": {exact}\n}}"));
        }
    }

    #[test]
    fn nested_values_are_indented() {
        let text = r#"{"a":[1,{"b":null}],"c":{},"d":[ ],"e":"x"}"#;
        let want = "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": {},\n  \
                    \"d\": [],\n  \"e\": \"x\"\n}";
        assert_eq!(shown(text), want);
    }

    #[test]
    fn strings_are_never_touched() {
        for text in [r#""{,:[ \" ]}""#, r#""\\""#, "\"two  spaces ü 🦀\"", r#""\u00e4\n""#] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn indenting_changes_white_space_only_and_again_changes_nothing() {
        let text = r#"{"k\"":["[",{"":-1.50e-7,"t":true,"f":false}],"big":9007199254740993}"#;
        let once = shown(text);
        let squeezed: String = once.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(squeezed, text);
        assert_eq!(shown(&once), once);
    }

    #[test]
    fn pieces_carry_the_class_that_colours_them() {
        let classes: Vec<&str> = super::shown(&Json::parse(r#"{"a":["s",1,true]}"#).unwrap())
            .tokens
            .iter()
            .map(|t| t.class)
            .collect();
        assert_eq!(
            classes,
            ["plain", "key", "plain", "string", "plain", "number", "plain", "word", "plain"]
        );
    }

    fn page_of(text: &str) -> (String, bool) {
        let Shown { tokens, is_cut } = super::shown(&Json::parse(text).unwrap());
        (tokens.into_iter().map(|token| token.text).collect(), is_cut)
    }

    #[test]
    fn what_is_deep_is_left_out_and_what_follows_it_is_shown() {
        let deep = "[".repeat(200_000) + "\"]\"" + &"]".repeat(200_000);
        let (text, is_cut) = page_of(&format!("{{\"a\":{deep},\"b\":7}}"));
        assert!(is_cut && text.contains("[…]") && text.ends_with("\"b\": 7\n}"), "{text}");
        assert!(text.len() < 8_000 && text.lines().all(|line| line.len() < 60), "{text}");
        assert!(!page_of(&("[".repeat(64) + &"]".repeat(64))).1);
        assert!(page_of(&("{\"a\":".repeat(65) + "1" + &"}".repeat(65))).1);
    }

    #[test]
    fn what_is_long_is_cut_and_small_on_the_page_and_whole_in_a_form() {
        let key = |n: usize| format!("\"{n}\":\"é\"");
        let keys: Vec<String> = (0..40_000).map(key).collect();
        for text in [
            format!("[{}1]", "1,".repeat(500_000)),
            format!("{{{}}}", keys.join(",")),
            format!("\"{}\"", "é".repeat(500_000)),
            "9".repeat(1_000_000),
            format!("{{\"{}\":1}}", "k".repeat(1_000_000)),
            "[".repeat(300_000) + &"]".repeat(300_000),
            format!("[{}[]]", "[],".repeat(300_000)),
        ] {
            let (page, is_cut) = page_of(&text);
            assert!(is_cut && page.contains('…') && page.len() < 34_000, "{}", page.len());
            let json = Json::parse(&text).unwrap();
            assert_eq!(editable(&json), json.as_str());
        }
    }
}
