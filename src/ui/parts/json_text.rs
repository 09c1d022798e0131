//! JSON as pages show it, indented and coloured. Numbers are never parsed, so the text keeps every digit. Each line is
//! an element of its own, so that a long one continues at its own indent.

use crate::job::shorten::truncated;
use crate::job::{Json, text_length};

use super::visible_text::{Escapes, Syntax, VisibleText};

/// A token of indented JSON with the class for its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonToken {
    /// The class: `key`, `string`, `number`, `word`, `mark` for a character that could not be seen, or `plain`.
    pub class: &'static str,
    /// The text, including its white space.
    pub text: String,
}

/// The limits of a shown text, so that the size of a page does not depend on stored payloads.
#[derive(Debug, Clone, Copy)]
struct TextBounds {
    /// The levels of nesting; anything deeper is left out.
    depth: usize,
    /// The lines; the rest is left out.
    lines: usize,
    /// The bytes including white space; the rest is left out.
    bytes: usize,
}

/// The limits of a page.
const PAGE: TextBounds = TextBounds { depth: 64, lines: 1_000, bytes: 32 * 1_024 };
/// The limits of indentation in a form. A longer text stays as it is, because nothing of it may be left out.
const FORM: TextBounds = TextBounds { depth: 64, lines: 5_000, bytes: 128 * 1_024 };
/// The levels that are indented. Deeper ones are not indented further, or white space would outweigh the text.
const INDENTED: usize = 20;
/// The mark in place of anything left out.
pub const LEFT_OUT: &str = "…";

/// An indented text, or the beginning of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ShownText {
    /// The tokens in order.
    pub tokens: Vec<JsonToken>,
    /// Whether something was left out.
    pub is_cut: bool,
    /// Whether a string has escapes that were decoded.
    pub is_decoded: bool,
}

/// A line of an indented text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TextLine {
    /// The level of its indent. The text begins with two spaces for each.
    pub level: usize,
    /// The tokens in order. All lines but the last end with a line break.
    pub tokens: Vec<JsonToken>,
}

impl ShownText {
    /// The text in lines.
    pub fn lines(&self) -> Vec<TextLine> {
        let mut lines = vec![TextLine::default()];
        for token in &self.tokens {
            for part in token.text.split_inclusive('\n') {
                if let Some(line) = lines.last_mut() {
                    line.push(part, token.class);
                }
                if part.ends_with('\n') {
                    lines.push(TextLine::default());
                }
            }
        }
        lines
    }
}

impl TextLine {
    fn push(&mut self, text: &str, class: &'static str) {
        if self.tokens.is_empty() {
            let spaces = text.len() - text.trim_start_matches(' ').len();
            self.level = (spaces / 2).min(INDENTED);
        }
        self.tokens.push(JsonToken { class, text: text.to_owned() });
    }
}

/// The lines of a text that is indented like JSON, such as a command with JSON in it.
pub fn lines(text: &str) -> Vec<TextLine> {
    let token = JsonToken { class: "plain", text: text.to_owned() };
    ShownText { tokens: vec![token], ..ShownText::default() }.lines()
}

/// Indents JSON by two spaces; numbers and the order of keys stay as they are. Only the beginning of a long or deeply
/// nested text is shown.
pub fn shown(json: &Json, escapes: Escapes) -> ShownText {
    TextWriter::run(json.as_str(), PAGE, Some(escapes))
}

/// The whole text for a form, indented unless it is long or deeply nested.
pub fn editable(json: &Json) -> String {
    let ShownText { tokens, is_cut, is_decoded: _ } = TextWriter::run(json.as_str(), FORM, None);
    if is_cut {
        json.as_str().to_owned()
    } else {
        tokens.into_iter().map(|token| token.text).collect()
    }
}

struct TextWriter {
    bounds: TextBounds,
    /// How strings are shown; `None` leaves them as they are.
    escapes: Option<Escapes>,
    out: Vec<JsonToken>,
    depth: usize,
    lines: usize,
    bytes: usize,
    is_cut: bool,
    is_decoded: bool,
}

impl TextWriter {
    /// Tokenizes a valid JSON text in one pass; an invalid one comes out roughly as it is.
    fn run(text: &str, bounds: TextBounds, escapes: Option<Escapes>) -> ShownText {
        let out = Vec::new();
        let mut writer = TextWriter {
            bounds,
            escapes,
            out,
            depth: 0,
            lines: 1,
            bytes: 0,
            is_cut: false,
            is_decoded: false,
        };
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
        let TextWriter { out: tokens, is_cut, is_decoded, .. } = writer;
        ShownText { tokens, is_cut, is_decoded }
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
            '"' if rest.starts_with(':') => self.string("key", token),
            '"' => self.string("string", token),
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

    /// A string, in parts of its class and marks.
    fn string(&mut self, class: &'static str, token: &str) {
        let Some(escapes) = self.escapes else { return self.push(class, token) };
        let room = self.bounds.bytes.saturating_sub(self.bytes);
        let shown = VisibleText::new(truncated(token, room), escapes, Syntax::Json);
        self.is_decoded |= shown.is_decoded;
        for piece in shown.pieces {
            self.push(if piece.is_mark { "mark" } else { class }, &piece.text);
        }
        if token.len() > room {
            self.is_cut = true;
            self.push(class, LEFT_OUT);
        }
    }

    /// A text that does not fit is shown up to the limit.
    fn push(&mut self, class: &'static str, text: &str) {
        let room = self.bounds.bytes.saturating_sub(self.bytes).max(LEFT_OUT.len());
        let mut text = text.to_owned();
        if text.len() > room {
            text.truncate(truncated(&text, room).len());
            text.push_str(LEFT_OUT);
            self.is_cut = true;
        }
        self.bytes += text.len();
        self.out.push(JsonToken { class, text });
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
        let shown = page(r#"{"a":["s",1,true]}"#);
        let classes: Vec<&str> = shown.tokens.iter().map(|token| token.class).collect();
        assert_eq!(
            classes,
            ["plain", "key", "plain", "string", "plain", "number", "plain", "word", "plain"]
        );
    }

    fn page(text: &str) -> ShownText {
        super::shown(&Json::parse(text).unwrap(), Escapes::Decoded)
    }

    #[test]
    fn strings_and_keys_are_decoded_on_a_page_and_stay_as_they_are_in_a_form() {
        let text = "{\"gr\\u00fc\\u00df\": \"\\ud83e\\udd80 \\u202e\\u0022\u{202e}\"}";
        let shown = page(text);
        assert!(shown.is_decoded);
        let tokens: Vec<(&str, &str)> =
            shown.tokens.iter().map(|token| (token.class, token.text.as_str())).collect();
        assert_eq!(
            tokens,
            [
                ("plain", "{\n  "),
                ("key", "\"grüß\""),
                ("plain", ": "),
                ("string", "\"🦀 "),
                ("mark", r"\u202e"),
                ("string", "\\\""),
                ("mark", r"\u202e"),
                ("string", "\""),
                ("plain", "\n}"),
            ]
        );
        let raw = super::shown(&Json::parse(text).unwrap(), Escapes::Raw);
        assert!(!raw.is_decoded && raw.tokens[1].text == r#""gr\u00fc\u00df""#);
        assert!(self::shown(text).contains(r#""gr\u00fc\u00df""#));
        assert!(!page(r#""plain""#).is_decoded);
    }

    #[test]
    fn every_line_knows_its_indent_and_together_they_are_the_text() {
        let shown = page(r#"{"a":[1,{"b":"x"}]}"#);
        let lines = shown.lines();
        let levels: Vec<usize> = lines.iter().map(|line| line.level).collect();
        assert_eq!(levels, [0, 1, 2, 2, 3, 2, 1, 0]);
        let text =
            |tokens: &[JsonToken]| tokens.iter().map(|token| &*token.text).collect::<String>();
        let joined: String = lines.iter().map(|line| text(&line.tokens)).collect();
        assert_eq!(joined, text(&shown.tokens));
        let command = lines_of("curl x \\\n  -d '{\n  \"a\": 1\n}'");
        assert_eq!(
            command,
            [(0, "curl x \\\n"), (1, "  -d '{\n"), (1, "  \"a\": 1\n"), (0, "}'")]
                .map(|(level, text)| (level, text.to_owned()))
        );
    }

    fn lines_of(text: &str) -> Vec<(usize, String)> {
        let lines = lines(text).into_iter();
        lines
            .map(|line| (line.level, line.tokens.into_iter().map(|it| it.text).collect()))
            .collect()
    }

    fn page_of(text: &str) -> (String, bool) {
        let shown = page(text);
        (shown.tokens.into_iter().map(|token| token.text).collect(), shown.is_cut)
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
