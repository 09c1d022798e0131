//! JSON as pages show it: indented and coloured without reading a single number, so that what is shown
//! is what was sent, digit by digit.

use crate::job::Json;

/// A piece of indented JSON with the class that colours it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `key`, `string`, `number`, `word` or `plain`.
    pub class: &'static str,
    /// The text, with its white space.
    pub text: String,
}

/// Longer texts are indented but not coloured: a page of a million elements helps nobody.
const MAX_COLOURED: usize = 64 * 1_024;

/// Indents by two spaces; strings, numbers and the order of keys stay as they are.
pub fn tokens(json: &Json) -> Vec<Token> {
    let all = Writer::run(json.as_str());
    if json.as_str().len() <= MAX_COLOURED {
        return all;
    }
    vec![Token { class: "plain", text: all.into_iter().map(|token| token.text).collect() }]
}

/// The indented text alone.
pub fn pretty(json: &Json) -> String {
    Writer::run(json.as_str()).into_iter().map(|token| token.text).collect()
}

#[derive(Default)]
struct Writer {
    out: Vec<Token>,
    depth: usize,
}

impl Writer {
    /// Walks over a valid JSON text; an invalid one comes out as it went in, roughly.
    fn run(text: &str) -> Vec<Token> {
        let mut writer = Writer::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => string_length(rest),
                '{' | '[' | '}' | ']' | ',' | ':' => 1,
                _ => rest
                    .find(['{', '[', '}', ']', ',', ':', ' ', '\t', '\r', '\n'])
                    .unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(length.max(first.len_utf8()));
            rest = after.trim_start();
            writer.add(token, first, rest);
        }
        writer.out
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
        let text = format!("\n{}", "  ".repeat(self.depth));
        self.plain(&text);
    }

    /// Neighbours of the plain sort become one piece.
    fn plain(&mut self, text: &str) {
        match self.out.last_mut() {
            Some(last) if last.class == "plain" => last.text.push_str(text),
            Some(_) | None => self.push("plain", text),
        }
    }

    fn push(&mut self, class: &'static str, text: &str) {
        self.out.push(Token { class, text: text.into() });
    }

    fn ends_with(&self, what: [char; 2]) -> bool {
        self.out.last().is_some_and(|last| last.text.ends_with(what) && last.class == "plain")
    }
}

/// The length in bytes of the string literal that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        pretty(&Json::parse(text).unwrap())
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
        let classes: Vec<&str> = tokens(&Json::parse(r#"{"a":["s",1,true]}"#).unwrap())
            .iter()
            .map(|t| t.class)
            .collect();
        assert_eq!(
            classes,
            ["plain", "key", "plain", "string", "plain", "number", "plain", "word", "plain"]
        );
        let long = Json::parse(&format!("[{}1]", "1,".repeat(MAX_COLOURED))).unwrap();
        assert_eq!(tokens(&long).len(), 1);
    }
}
