//! Text from jobs as pages show it. Escapes such as `\u00e4` are decoded, and characters that could not be seen, or that
//! would change the order of the text around them, are shown as escapes. `static/visible-text.js` does the same for
//! lines that arrive while a page is open.

use std::borrow::Cow;

use crate::job::escapes::read_unicode_escape;
use crate::job::hidden::{is_hidden, json_escape};

/// Whether escapes are decoded, or shown as the job has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// Escapes are decoded.
    Decoded,
    /// Escapes stay as they are.
    Raw,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPiece {
    /// The text.
    pub text: String,
    /// Whether it stands for a character that could not be seen.
    pub is_mark: bool,
}

/// A text in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VisibleText {
    /// The parts in order.
    pub pieces: Vec<TextPiece>,
    /// Whether an escape was decoded, so that the raw text differs.
    pub is_decoded: bool,
}

/// What a decoded escape must not become, because it has a meaning in the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// A plain text, in which nothing has a meaning.
    Text,
    /// A string of JSON, in which quotes, backslashes and control characters are escaped.
    Json,
}

impl VisibleText {
    /// Splits a text into what can be shown as it is and marks for the rest.
    pub fn new(text: &str, escapes: Escapes, syntax: Syntax) -> VisibleText {
        let mut shown = VisibleText::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first != '\\' {
                let length = rest.find('\\').unwrap_or(rest.len());
                let (plain, after) = rest.split_at(length);
                plain.chars().for_each(|char| shown.push(char, syntax));
                rest = after;
            } else if let (Escapes::Decoded, Some((char, length))) =
                (escapes, read_unicode_escape(rest))
            {
                rest = &rest[length..];
                shown.push_decoded(char, syntax);
            } else {
                // The character behind a backslash belongs to it: `\\u00e4` is a backslash and text.
                let length = rest.chars().take(2).map(char::len_utf8).sum();
                rest[..length].chars().for_each(|char| shown.push(char, syntax));
                rest = &rest[length..];
            }
        }
        shown
    }

    /// The text without the distinction between its parts.
    pub fn plain(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    fn push_decoded(&mut self, char: char, syntax: Syntax) {
        match char {
            // A decoded line break would look like one of the text itself.
            '\n' | '\t' => self.piece(&json_escape(char), true),
            '"' | '\\' if syntax == Syntax::Json => {
                self.is_decoded = true;
                self.piece(&format!("\\{char}"), false);
            }
            _ => {
                self.is_decoded |= !is_hidden(char);
                self.push(char, syntax);
            }
        }
    }

    fn push(&mut self, char: char, syntax: Syntax) {
        let is_layout = syntax == Syntax::Text && matches!(char, '\n' | '\t');
        if is_hidden(char) && !is_layout {
            self.piece(&json_escape(char), true);
        } else {
            self.piece(char.encode_utf8(&mut [0; 4]), false);
        }
    }

    fn piece(&mut self, text: &str, is_mark: bool) {
        match self.pieces.last_mut() {
            Some(last) if last.is_mark == is_mark => last.text.push_str(text),
            Some(_) | None => self.pieces.push(TextPiece { text: text.to_owned(), is_mark }),
        }
    }
}

/// A text from a job for a place that shows only text, such as a row of a list.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.contains('\\') || text.contains(is_hidden) {
        Cow::Owned(VisibleText::new(text, Escapes::Decoded, Syntax::Text).plain())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str, syntax: Syntax) -> String {
        let shown = VisibleText::new(text, Escapes::Decoded, syntax);
        let marked = |piece: &TextPiece| {
            if piece.is_mark { format!("‹{}›", piece.text) } else { piece.text.clone() }
        };
        shown.pieces.iter().map(marked).collect()
    }

    #[test]
    fn escapes_are_decoded_also_those_of_surrogate_pairs() {
        for (text, shown) in [
            (r"gr\u00fc\u00DFe", "grüße"),
            (r"\ud83e\udd80", "🦀"),
            (r"\u4f60\u597d", "你好"),
            (r"\ud83e", r"\ud83e"),
            (r"\udd80\ud83e", r"\udd80\ud83e"),
            (r"\ud83e\u0041", r"\ud83eA"),
            (r"\u12", r"\u12"),
            (r"\u+123", r"\u+123"),
            (r"\u00eé", r"\u00eé"),
            (r"C:\users\unknown", r"C:\users\unknown"),
            (r"a\\u00e4", r"a\\u00e4"),
            (r"a\\\u00e4", r"a\\ä"),
            ("\\", "\\"),
        ] {
            assert_eq!(decoded(text, Syntax::Text), shown, "{text}");
            assert_eq!(decoded(text, Syntax::Json), shown, "{text}");
        }
    }

    #[test]
    fn characters_that_cannot_be_seen_are_marked_whether_escaped_or_not() {
        for (text, shown) in [
            ("a\u{202e}b", r"a‹\u202e›b"),
            (r"a\u202eb", r"a‹\u202e›b"),
            ("\u{200b}\u{feff}", r"‹\u200b\ufeff›"),
            (r"\u0000\u001b[31m", r"‹\u0000\u001b›[31m"),
            ("\u{1b}[0m", r"‹\u001b›[0m"),
            ("\u{e0041}", r"‹\udb40\udc41›"),
            ("👩\u{200d}🚀", r"👩‹\u200d›🚀"),
            (r"a\u000ab", r"a‹\u000a›b"),
        ] {
            assert_eq!(decoded(text, Syntax::Text), shown, "{text:?}");
        }
        assert_eq!(decoded("line\n\tnext", Syntax::Text), "line\n\tnext");
    }

    #[test]
    fn a_decoded_string_of_json_is_still_one() {
        assert_eq!(decoded(r#""a\u0022\u005c\"\n""#, Syntax::Json), r#""a\"\\\"\n""#);
        for text in [r#""\u0022 \u005cu00e4 \u00e4 \u202e \u000a""#, "\"\u{202e}\""] {
            let shown = VisibleText::new(text, Escapes::Decoded, Syntax::Json).plain();
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            assert!(value(text).is_some());
            assert_eq!(value(&shown), value(text), "{shown}");
        }
    }

    #[test]
    fn raw_text_keeps_its_escapes_and_still_marks_hidden_characters() {
        let shown = VisibleText::new("\\u00e4\u{202e}", Escapes::Raw, Syntax::Text);
        let piece = |text: &str, is_mark| TextPiece { text: text.into(), is_mark };
        assert_eq!(shown.pieces, [piece("\\u00e4", false), piece("\\u202e", true)]);
        assert!(!shown.is_decoded);
    }
}
