//! Limits on what errors repeat of a request: a response must never grow with the request that it refuses.

/// The most errors that one response lists; the rest are only counted.
pub const MAX_ERRORS: usize = 20;
/// The most characters of a name that an error repeats.
pub const MAX_NAME: usize = 100;
/// The most characters of one error message.
pub const MAX_MESSAGE: usize = 600;

/// Returns at most the first `max` bytes of a text, cut at a character boundary.
pub fn truncated(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Returns at most the last `max` bytes of a text, cut at a character boundary.
pub fn last_part(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

/// Shortens a text to about `max` characters. The beginning and the end are kept, because parsers name the position of
/// a mistake last, and the bytes between them are counted.
pub fn shorten(text: &str, max: usize) -> String {
    // A text never has more characters than bytes, so the characters of a short one need not be counted.
    if text.len() <= max || text.char_indices().nth(max).is_none() {
        return text.to_owned();
    }
    let head = text.char_indices().nth(max / 2).map_or(text.len(), |(at, _)| at);
    let back = (max / 2).max(1) - 1;
    let tail = text.char_indices().rev().nth(back).map_or(head, |(at, _)| at).max(head);
    format!("{}… ({} bytes are left out) …{}", &text[..head], tail - head, &text[tail..])
}

/// Joins the first items of a list with `between`, followed by the number of the others.
pub fn first_few<T: AsRef<str>>(
    items: impl ExactSizeIterator<Item = T>,
    max: usize,
    between: &str,
) -> String {
    let more = items.len().saturating_sub(max);
    let mut shown: Vec<String> =
        items.take(max).map(|item| shorten(item.as_ref(), MAX_MESSAGE)).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, max, kept) in [
            ("", 5, ""),
            ("abc", 5, "abc"),
            ("abc", 3, "abc"),
            ("aä", 2, "a"),
            ("aä", 3, "aä"),
            ("ä", 0, ""),
        ] {
            assert_eq!(truncated(text, max), kept, "{text:?} in {max} bytes");
        }
        for (text, max, kept) in
            [("", 5, ""), ("abc", 5, "abc"), ("abc", 2, "bc"), ("äa", 2, "a"), ("ä", 1, "")]
        {
            assert_eq!(last_part(text, max), kept, "{text:?} in {max} bytes");
        }
    }

    #[test]
    fn a_short_text_stays_and_a_long_one_keeps_both_ends() {
        assert_eq!(shorten("größe", 5), "größe");
        let long = format!("unknown field `{}`, expected `kind`", "ä".repeat(1_000_000));
        let short = shorten(&long, 100);
        assert!(short.starts_with("unknown field `ä") && short.ends_with("expected `kind`"));
        assert!(short.chars().count() < 150 && short.contains("bytes are left out"), "{short}");
    }

    #[test]
    fn a_long_list_names_the_number_of_missing_items() {
        assert_eq!(first_few(["a", "b"].iter(), 2, ", "), "a, b");
        assert_eq!(first_few(vec!["x"; 90_000].iter(), 2, ", "), "x, x, and 89998 more");
    }
}
