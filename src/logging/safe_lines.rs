//! Makes log lines safe to show on a terminal and impossible to forge. A path, an error or the name of a file may hold
//! line feeds, escape sequences or characters that reverse the text: they are written as escapes.

use std::borrow::Cow;

use crate::job::hidden::{is_unsafe_on_terminal, printable, printable_json};

/// What a line may contain besides text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStyle {
    /// Only text.
    Plain,
    /// Sequences that set a colour, which the formatter has added. It escapes those in the fields of an event.
    Coloured,
    /// JSON.
    Json,
}

/// A line with its final line feed, and with everything else escaped that could control a terminal.
pub fn safe(line: &[u8], style: LineStyle) -> Cow<'_, [u8]> {
    let (text, end) = match line.split_last() {
        Some((b'\n', text)) => (text, "\n"),
        Some(_) | None => (line, ""),
    };
    if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(line);
    }
    let text = String::from_utf8_lossy(text);
    if !text.contains(is_unsafe_on_terminal) {
        return Cow::Borrowed(line);
    }
    let safe = match style {
        LineStyle::Plain => printable(&text).into_owned(),
        LineStyle::Json => printable_json(&text).replace('\n', "\\n"),
        LineStyle::Coloured => with_colours(&text),
    };
    Cow::Owned((safe + end).into_bytes())
}

/// Escapes everything but sequences that set a colour.
fn with_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut safe = printable(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let end = part.strip_prefix('[').and_then(|rest| {
            let end = rest.find(|char: char| !(char.is_ascii_digit() || char == ';'))?;
            rest[end..].starts_with('m').then_some(end + 2)
        });
        let (colour, rest) = part.split_at(end.unwrap_or(0));
        if end.is_some() {
            safe.push('\u{1b}');
            safe.push_str(colour);
        } else {
            safe.push_str("\\u{1b}");
        }
        safe.push_str(&printable(rest));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_and_cannot_control_a_terminal() {
        let plain = |text: &str| {
            String::from_utf8(safe(text.as_bytes(), LineStyle::Plain).into_owned()).unwrap()
        };
        for (line, shown) in [
            ("INFO request path=/a\n", "INFO request path=/a\n"),
            ("größe 👩\u{200d}🚀\n", "größe 👩\u{200d}🚀\n"),
            ("a\nINFO forged\n", "a\\nINFO forged\n"),
            ("a\u{1b}[2Jb\u{9b}1m\r\u{202e}\n", "a\\u{1b}[2Jb\\u{9b}1m\\r\\u{202e}\n"),
            ("\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(plain(line), shown);
        }
        let coloured =
            "\u{1b}[2m12:00\u{1b}[0m \u{1b}[1;31mERROR\u{1b}[0m a\u{1b}]0;title\u{7}\nb\n";
        let shown = safe(coloured.as_bytes(), LineStyle::Coloured).into_owned();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "\u{1b}[2m12:00\u{1b}[0m \u{1b}[1;31mERROR\u{1b}[0m a\\u{1b}]0;title\\u{7}\\nb\n"
        );
        let json = "{\"path\":\"/\u{9b}\u{202e}\"}\n";
        let shown = safe(json.as_bytes(), LineStyle::Json).into_owned();
        assert_eq!(String::from_utf8(shown).unwrap(), "{\"path\":\"/\\u009b\\u202e\"}\n");
        assert_eq!(&*safe(b"\xff\x1b\n", LineStyle::Plain), "\u{fffd}\\u{1b}\n".as_bytes());
    }
}
