//! Decoding of the escapes in strings of JSON, one at a time, so that a caller can stop anywhere.

use std::borrow::Cow;

use memchr::memchr;

/// The character of an escape `\uXXXX` at the beginning of a text, or of two that are a surrogate pair, and its length.
/// `None` for other escapes and for half of a pair.
pub fn read_unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let first = unit(0)?;
    if let Some(char) = char::from_u32(first.into()) {
        return Some((char, 6));
    }
    let pair = char::decode_utf16([first, unit(6)?]).next()?;
    pair.ok().map(|char| (char, 12))
}

/// The character of any escape of JSON at the beginning of a text, and its length. `None` for half of a surrogate pair,
/// which no text can hold, and for everything that is no escape.
pub fn read_escape(text: &str) -> Option<(char, usize)> {
    let char = match text.as_bytes().get(..2)? {
        [b'\\', b'u'] => return read_unicode_escape(text),
        [b'\\', b'"'] => '"',
        [b'\\', b'\\'] => '\\',
        [b'\\', b'/'] => '/',
        [b'\\', b'b'] => '\u{8}',
        [b'\\', b'f'] => '\u{c}',
        [b'\\', b'n'] => '\n',
        [b'\\', b'r'] => '\r',
        [b'\\', b't'] => '\t',
        _ => return None,
    };
    Some((char, 2))
}

/// A text with its escapes decoded; what is no escape stays as it is.
pub fn decoded(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut decoded = String::new();
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        let (char, length) = read_escape(escape).unwrap_or(('\\', 1));
        decoded.push_str(plain);
        decoded.push(char);
        rest = &escape[length..];
    }
    if decoded.is_empty() {
        return Cow::Borrowed(text);
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_string_is_the_one_that_a_parser_reads() {
        for text in [
            "plain",
            "",
            r"M\u00fcller",
            r"\u004D\u00FCller",
            r"\ud83e\udd80 and \uD83E\uDD80",
            r#"say \"hi\""#,
            r"a\/b\\c",
            r"\b\f\n\r\t",
            r"\\u00fc",
            r"\\\u00fc",
            "Müller",
        ] {
            let parsed: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(decoded(text), parsed, "{text}");
        }
    }

    #[test]
    fn what_is_no_escape_stays_as_it_is() {
        for text in [r"\ud83e", r"\udd80\ud83e", r"\u12", r"\u+123", r"C:\users\qü", "\\", r"\x41"]
        {
            assert_eq!(decoded(text), text);
        }
        assert_eq!(decoded(r"\ud83e\u0041"), r"\ud83eA");
    }
}
