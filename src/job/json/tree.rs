//! Comparison of two JSON texts by their meaning, and what readers of a text could understand differently; in one pass
//! over each and without recursion.

use std::borrow::Cow;

use crate::job::decimal::Decimal;

/// The words for a member that occurs twice.
pub const REPEATED: &str = "occurs more than once";
/// The words for a string with half of a surrogate pair.
pub const NOT_A_CHARACTER: &str = "must be a string, but has an escape that is not a character";
/// The words for an object with such a name.
pub const NAME_IS_NO_TEXT: &str = "has a member whose name is not valid text";

/// One value of a text. Children come before their parents, which refer to them by index.
#[derive(Debug, PartialEq, Eq)]
enum Node<'a> {
    /// A number or a literal such as `true`, as it is written.
    Word(&'a str),
    /// A decoded string.
    Text(Cow<'a, str>),
    Array(Vec<usize>),
    /// The members, sorted by key.
    Object(Vec<(Cow<'a, str>, usize)>),
}

/// An array or object that is not closed yet.
enum OpenContainer<'a> {
    Array(Vec<usize>),
    Object(Vec<(Cow<'a, str>, usize)>, Option<Cow<'a, str>>),
}

/// The tokens of a JSON text, each with its first byte: strings, numbers and literals as they are written, and single
/// characters.
fn tokens(text: &str) -> impl Iterator<Item = (u8, &str)> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        let first = rest.bytes().next()?;
        let length = match first {
            b'"' => text_length(rest),
            b'{' | b'[' | b'}' | b']' | b',' | b':' => 1,
            _ => rest.find(is_end_of_word).unwrap_or(rest.len()).max(1),
        };
        let (token, after) = rest.split_at_checked(length)?;
        rest = after.trim_start();
        Some((first, token))
    })
}

/// The values of a valid JSON text, the root last. `None` when an object has a duplicate key or the text is invalid.
fn nodes(text: &str) -> Option<Vec<Node<'_>>> {
    let (mut nodes, mut open): (Vec<Node>, Vec<OpenContainer>) = (Vec::new(), Vec::new());
    for (first, token) in tokens(text) {
        let node = match first {
            b'[' => {
                open.push(OpenContainer::Array(Vec::new()));
                continue;
            }
            b'{' => {
                open.push(OpenContainer::Object(Vec::new(), None));
                continue;
            }
            b',' | b':' => continue,
            b']' | b'}' => match open.pop()? {
                OpenContainer::Array(items) => Node::Array(items),
                OpenContainer::Object(mut fields, _) => {
                    fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                    let is_double = fields.windows(2).any(|pair| pair[0].0 == pair[1].0);
                    if is_double {
                        return None;
                    }
                    Node::Object(fields)
                }
            },
            b'"' => {
                let text = plain(token)?;
                match open.last_mut() {
                    Some(OpenContainer::Object(_, key @ None)) => {
                        *key = Some(text);
                        continue;
                    }
                    Some(OpenContainer::Object(..) | OpenContainer::Array(_)) | None => {
                        Node::Text(text)
                    }
                }
            }
            _ => Node::Word(token),
        };
        nodes.push(node);
        let number = nodes.len() - 1;
        match open.last_mut() {
            Some(OpenContainer::Array(items)) => items.push(number),
            Some(OpenContainer::Object(fields, key)) => fields.push((key.take()?, number)),
            None => {}
        }
    }
    Some(nodes).filter(|nodes| open.is_empty() && !nodes.is_empty())
}

/// An array or object whose end has not been reached, and the place in it.
enum OpenPath<'a> {
    /// The index of the element.
    Array(usize),
    /// The names so far, of which the last one is the current member's if it is named.
    Object { names: Vec<Cow<'a, str>>, is_named: bool },
}

/// What a valid JSON text has that its readers would understand differently: the paths of the first members that occur more
/// than once, and of strings with an escape that is not a character, each with what is wrong.
pub fn ambiguities(text: &str, max: usize) -> Vec<(String, &'static str)> {
    let mut open: Vec<OpenPath> = Vec::new();
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for (first, token) in tokens(text) {
        if found.len() >= max {
            break;
        }
        match first {
            b'[' => open.push(OpenPath::Array(0)),
            b'{' => open.push(OpenPath::Object { names: Vec::new(), is_named: false }),
            b',' => match open.last_mut() {
                Some(OpenPath::Array(index)) => *index += 1,
                Some(OpenPath::Object { is_named, .. }) => *is_named = false,
                None => {}
            },
            b'"' => {
                let text = plain(token);
                match (open.last_mut(), text) {
                    (Some(OpenPath::Object { names, is_named: is_named @ false }), Some(name)) => {
                        names.push(name);
                        *is_named = true;
                    }
                    (Some(OpenPath::Object { is_named: is_named @ false, names }), None) => {
                        names.push(Cow::Borrowed(token));
                        *is_named = true;
                        found.push((path(&open[..open.len() - 1]), NAME_IS_NO_TEXT));
                    }
                    (_, Some(_)) => {}
                    (_, None) => found.push((path(&open), NOT_A_CHARACTER)),
                }
            }
            b']' | b'}' => {
                if let Some(OpenPath::Object { mut names, .. }) = open.pop() {
                    names.sort_unstable();
                    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
                        let at = path(&open);
                        let dot = if at.is_empty() { "" } else { "." };
                        found.push((format!("{at}{dot}{}", pair[0]), REPEATED));
                    }
                }
            }
            _ => {}
        }
    }
    found.dedup();
    found.truncate(max);
    found
}

/// The path to the current value of nested arrays and objects, such as `items[2].name`.
fn path(open: &[OpenPath]) -> String {
    let mut path = String::new();
    for part in open {
        match part {
            OpenPath::Array(index) => path.push_str(&format!("[{index}]")),
            OpenPath::Object { names, .. } => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(names.last().map_or("", |name| name));
            }
        }
    }
    path
}

/// Whether two JSON texts are equal apart from white space, escapes and the order of properties. Numbers are equal when
/// they are written in the same way; an object with a duplicate key equals no other.
pub fn same(a: &str, b: &str) -> bool {
    are_same(a, b, |one, other| one == other)
}

/// Whether two JSON texts have the same meaning: as [`same`], but `100`, `1e2` and `100.0` are equal, too.
pub fn same_meaning(a: &str, b: &str) -> bool {
    are_same(a, b, |one, other| one == other || are_equal(one, other))
}

fn are_same(a: &str, b: &str, are_equal_words: impl Fn(&str, &str) -> bool) -> bool {
    let (Some(a), Some(b)) = (nodes(a), nodes(b)) else { return false };
    if a.len() != b.len() {
        return false;
    }
    let mut pairs = vec![(a.len() - 1, b.len() - 1)];
    while let Some((one, other)) = pairs.pop() {
        match (&a[one], &b[other]) {
            (Node::Word(one), Node::Word(other)) if are_equal_words(one, other) => {}
            (Node::Text(one), Node::Text(other)) if one == other => {}
            (Node::Array(one), Node::Array(other)) if one.len() == other.len() => {
                pairs.extend(one.iter().copied().zip(other.iter().copied()));
            }
            (Node::Object(one), Node::Object(other)) if one.len() == other.len() => {
                for ((key, one), (other_key, other)) in one.iter().zip(other) {
                    if key != other_key {
                        return false;
                    }
                    pairs.push((*one, *other));
                }
            }
            (Node::Word(_) | Node::Text(_) | Node::Array(_) | Node::Object(_), _) => return false,
        }
    }
    true
}

/// Whether two numbers are equal, exactly.
fn are_equal(one: &str, other: &str) -> bool {
    let number = Decimal::parse(one);
    number.is_some() && number == Decimal::parse(other)
}

fn is_end_of_word(c: char) -> bool {
    matches!(c, '{' | '[' | '}' | ']' | ',' | ':' | '"' | ' ' | '\t' | '\r' | '\n')
}

/// Decodes a string literal.
fn plain(literal: &str) -> Option<Cow<'_, str>> {
    match literal.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Some(Cow::Borrowed(text)),
        Some(_) => serde_json::from_str(literal).ok().map(Cow::Owned),
        None => None,
    }
}

/// The length in bytes of the string literal at the beginning of `text`, including its quotes.
pub fn text_length(text: &str) -> usize {
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

    #[test]
    fn depth_and_width_do_not_matter() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(same(&deep, &deep.replace('1', " 1 ")) && !same(&deep, &deep.replace('1', "2")));
        let deep = format!("{}1{}", "{\"a\":".repeat(200_000), "}".repeat(200_000));
        assert!(same(&deep, &deep));
        let key = |n: usize| format!("\"key {n}\":{n}");
        let up: Vec<String> = (0..100_000).map(key).collect();
        let down: Vec<String> = (0..100_000).rev().map(key).collect();
        let [up, down] = [up, down].map(|keys| format!("{{{}}}", keys.join(",")));
        assert!(same(&up, &down) && !same(&up, &down.replacen(":9", ":8", 1)));
    }

    #[test]
    fn members_that_occur_twice_and_escapes_that_are_no_characters_are_found_with_their_paths() {
        for (text, expected) in [
            (r#"{"ms":1,"ms":2}"#, &[("ms", REPEATED)][..]),
            (r#"{"ms":1,"\u006ds":1}"#, &[("ms", REPEATED)]),
            (r#"{"a":1,"a":1,"a":1}"#, &[("a", REPEATED)]),
            (r#"{"url":"x","headers":{"b":"1","a":"2","b":"1"}}"#, &[("headers.b", REPEATED)]),
            (r#"[1,{"a":[{},{"x":{},"x":[]}]}]"#, &[("[1].a[1].x", REPEATED)]),
            (r#"{"":1,"":2}"#, &[("", REPEATED)]),
            (r#"{"a":"\ud800"}"#, &[("a", NOT_A_CHARACTER)]),
            (r#"["x","\udc00\ud800"]"#, &[("[1]", NOT_A_CHARACTER)]),
            (r#"{"a":{"\ud800":1}}"#, &[("a", NAME_IS_NO_TEXT)]),
            (r#"{"a":{"a":"a"},"b":["a","a"],"c":"\ud83d\ude00"}"#, &[]),
            ("1", &[]),
            ("{", &[]),
            ("", &[]),
        ] {
            let found = ambiguities(text, 20);
            let found: Vec<_> = found.iter().map(|(at, what)| (at.as_str(), *what)).collect();
            assert_eq!(found, expected, "{text}");
        }
        let many = format!("{{{}}}", vec!["\"a\":{\"b\":1,\"b\":2}"; 1_000].join(","));
        assert_eq!(ambiguities(&many, 20).len(), 1, "the path is the same");
        let many = format!("[{}]", vec!["{\"b\":1,\"b\":2}"; 1_000].join(","));
        assert_eq!(ambiguities(&many, 20).len(), 20);
        assert!(ambiguities(&"[".repeat(200_000), 20).is_empty());
    }

    #[test]
    fn numbers_are_compared_by_their_values() {
        for (one, other, are_same) in [
            ("100", "1e2", true),
            ("[100.0, -0]", "[1E+2,0.0]", true),
            (r#"{"n":{"a":[1,10e-1]}}"#, r#"{"n":{"a":[1.0,1]}}"#, true),
            ("12345678901234567890", "12345678901234567891", false),
            ("9007199254740993", "9007199254740992.0", false),
            ("1e999999999999999999999", "1e999999999999999999999", true),
            ("1", "true", false),
            ("1", "\"1\"", false),
            ("0.1", "0.10000000000000001", false),
        ] {
            assert_eq!(same_meaning(one, other), are_same, "{one} {other}");
            assert_eq!(same(one, other), one == other, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_json_is_like_nothing() {
        for text in ["", " ", "]", "[", "{", "[}", "{\"a\"}", "{1:2}", "\"open", "{\"a\":1,}"] {
            assert!(!same(text, "null"), "{text:?}");
        }
    }
}
