//! Comparison of two JSON texts by their meaning, in one pass over each and without recursion.

use std::borrow::Cow;

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

/// The values of a valid JSON text, the root last. `None` when an object has a duplicate key or the text is invalid.
fn nodes(text: &str) -> Option<Vec<Node<'_>>> {
    let (mut nodes, mut open): (Vec<Node>, Vec<OpenContainer>) = (Vec::new(), Vec::new());
    let mut rest = text.trim_start();
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => text_length(rest),
            b'{' | b'[' | b'}' | b']' | b',' | b':' => 1,
            _ => rest.find(is_end_of_word).unwrap_or(rest.len()).max(1),
        };
        let (token, after) = rest.split_at_checked(length)?;
        rest = after.trim_start();
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

/// Whether two JSON texts are equal apart from white space, escapes and the order of properties. Numbers are equal when
/// they are written in the same way; an object with a duplicate key equals no other.
pub fn same(a: &str, b: &str) -> bool {
    let (Some(a), Some(b)) = (nodes(a), nodes(b)) else { return false };
    if a.len() != b.len() {
        return false;
    }
    let mut pairs = vec![(a.len() - 1, b.len() - 1)];
    while let Some((one, other)) = pairs.pop() {
        match (&a[one], &b[other]) {
            (Node::Word(one), Node::Word(other)) if one == other => {}
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
    fn what_is_no_json_is_like_nothing() {
        for text in ["", " ", "]", "[", "{", "[}", "{\"a\"}", "{1:2}", "\"open", "{\"a\":1,}"] {
            assert!(!same(text, "null"), "{text:?}");
        }
    }
}
