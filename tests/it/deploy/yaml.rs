//! Reads the YAML of the deployment files: mappings, sequences, scalars and lists in brackets, and nothing else that YAML
//! has. Where Python has a real parser, a test compares the two.

use serde_json::{Map, Value};

/// A line that is not empty: how far it is indented, and its text without a comment.
type Line<'a> = (usize, &'a str);

/// Reads all documents of a file. Panics at anything that it does not understand.
pub fn documents(text: &str) -> Vec<Value> {
    let mut documents = Vec::new();
    for part in text.split("\n---\n") {
        let lines: Vec<Line<'_>> =
            part.lines().map(line).filter(|line| !line.1.is_empty()).collect();
        let mut rest = &lines[..];
        documents.push(block(&mut rest, 0));
        assert!(rest.is_empty(), "{rest:?}");
    }
    documents
}

fn line(line: &str) -> Line<'_> {
    let text = line.split(" #").next().unwrap().trim_end();
    let text = if text.trim_start().starts_with('#') { "" } else { text };
    (text.len() - text.trim_start().len(), text.trim_start())
}

/// Reads the lines with this indentation, and what is nested in them.
fn block(lines: &mut &[Line<'_>], indent: usize) -> Value {
    match lines.first() {
        Some((_, text)) if text.starts_with("- ") => sequence(lines, indent),
        _ => mapping(lines, indent),
    }
}

fn sequence(lines: &mut &[Line<'_>], indent: usize) -> Value {
    let mut items = Vec::new();
    while let Some((at, text)) = lines.first().copied().filter(|line| line.0 >= indent) {
        let item = text.strip_prefix("- ").filter(|_| at == indent);
        let item = item.unwrap_or_else(|| panic!("{text:?} is no item"));
        if key_of(item).is_some() {
            // The item is a mapping that begins beside the dash.
            let end =
                lines[1..].iter().position(|line| line.0 <= indent).map_or(lines.len(), |n| n + 1);
            let nested: Vec<Line<'_>> =
                std::iter::once((indent + 2, item)).chain(lines[1..end].iter().copied()).collect();
            let mut nested = &nested[..];
            items.push(mapping(&mut nested, indent + 2));
            assert!(nested.is_empty(), "{nested:?}");
            *lines = &lines[end..];
        } else {
            items.push(scalar(item));
            *lines = &lines[1..];
        }
    }
    Value::Array(items)
}

fn mapping(lines: &mut &[Line<'_>], indent: usize) -> Value {
    let mut entries = Map::new();
    while let Some((at, text)) = lines.first().copied().filter(|line| line.0 >= indent) {
        let (key, value) =
            key_of(text).filter(|_| at == indent).unwrap_or_else(|| panic!("{text:?}"));
        *lines = &lines[1..];
        let value = match (value, lines.first()) {
            ("", Some((nested, _))) if *nested > indent => block(lines, *nested),
            ("", _) => Value::Null,
            (value, _) => scalar(value),
        };
        assert!(entries.insert(key.to_owned(), value).is_none(), "{key} is there twice");
    }
    Value::Object(entries)
}

fn key_of(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(": ").or_else(|| Some((text.strip_suffix(':')?, "")))?;
    let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    is_plain.then_some((key, value))
}

fn scalar(text: &str) -> Value {
    if let Some(list) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return list.split(", ").map(scalar).collect();
    }
    if let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        assert!(!quoted.contains(['"', '\\']), "{text}");
        return quoted.into();
    }
    assert!(!text.contains(": ") && !text.starts_with(['&', '*', '|', '>', '{', '\'']), "{text}");
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}
