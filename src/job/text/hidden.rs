//! Characters that cannot be seen, that control a terminal, or that change the order of the text around them, and
//! texts in which they are written as escapes. Pages, the client commands and the log of the server use it.

use std::borrow::Cow;

/// Whether a character cannot be seen or changes the direction of others: the categories Cc and Cf of Unicode, line and
/// paragraph separators, and the letters without a shape among the default ignorable code points.
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The escape of a character in JSON, `\uXXXX`, or two of them.
pub fn json_escape(char: char) -> String {
    char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Whether a character must not reach a terminal. The joiners of emoji and of some scripts are harmless there.
pub fn is_unsafe_on_terminal(char: char) -> bool {
    is_hidden(char) && !matches!(char, '\u{200c}' | '\u{200d}')
}

/// A text for one line of a terminal: line breaks and everything else that could control it are escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe_on_terminal)
}

/// A text of several lines for a terminal. Line feeds stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |char| char != '\n' && is_unsafe_on_terminal(char))
}

/// A text of JSON for a terminal or a program. It has the same value, because such characters occur in JSON only within
/// strings, except for white space.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_unsafe = |char| char != '\n' && is_unsafe_on_terminal(char);
    replaced(json, is_unsafe, |char, safe| match char {
        '\t' | '\r' => safe.push(' '),
        _ => safe.push_str(&json_escape(char)),
    })
}

/// A text of JSON in which the characters that could not be seen are escaped. It has the same value, as above.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_invisible = |char| is_hidden(char) && !matches!(char, '\n' | '\t' | '\r');
    replaced(json, is_invisible, |char, safe| safe.push_str(&json_escape(char)))
}

fn escaped(text: &str, must_be_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    replaced(text, must_be_escaped, |char, safe| safe.extend(char.escape_default()))
}

/// A text in which `write` replaces the characters that must be replaced.
fn replaced(
    text: &str,
    must_be_replaced: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&must_be_replaced) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if must_be_replaced(char) { write(char, &mut safe) } else { safe.push(char) }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_is_left() {
        for (text, line, json) in [
            ("plain ä 🦀", "plain ä 🦀", "plain ä 🦀"),
            ("a\u{1b}[31mb", r"a\u{1b}[31mb", r"a\u001b[31mb"),
            ("\u{9b}2J\u{7f}\u{7}", r"\u{9b}2J\u{7f}\u{7}", r"\u009b2J\u007f\u0007"),
            ("a\u{202e}b\u{2066}", r"a\u{202e}b\u{2066}", r"a\u202eb\u2066"),
            ("a\nb\r\tc", r"a\nb\r\tc", "a\nb  c"),
            ("\u{e0041}", r"\u{e0041}", r"\udb40\udc41"),
            ("👩\u{200d}🚀", "👩\u{200d}🚀", "👩\u{200d}🚀"),
        ] {
            assert_eq!(printable(text), line);
            assert_eq!(printable_json(text), json);
        }
        assert_eq!(printable_lines("a\nb\u{1b}c\rd"), "a\nb\\u{1b}c\\rd");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        let json = "{\"a\":\t\"\u{9b}\u{202e}\",\r\n\"b\": 1}";
        assert_eq!(value(&printable_json(json)), value(json));
    }

    #[test]
    fn what_has_a_shape_or_is_a_space_is_visible() {
        for visible in ['a', 'ü', ' ', '\u{a0}', '\u{3000}', '☕', '\u{301}'] {
            assert!(!is_hidden(visible), "{visible:?}");
        }
        for hidden in
            ['\0', '\n', '\u{7f}', '\u{85}', '\u{200b}', '\u{202e}', '\u{2069}', '\u{e0041}']
        {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
    }
}
