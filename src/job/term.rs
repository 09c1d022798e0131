//! What a search looks for in one job's record: a text, an error, a value at a path of the payload.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Job, State};

/// One condition of a search. Shows itself as people type it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// A text in the payload, the kind, a tag or the error.
    Text(Needle),
    /// A text in the error, or the error's class.
    Error(Needle),
    /// A text in the payload.
    Payload(Needle),
    /// A value at a path of the payload. A list has every value that one of its elements has.
    At {
        /// Keys, or places in lists, from the top.
        path: Box<[Box<str>]>,
        /// What must be there.
        value: Value,
    },
}

/// A text to be found in another one, whatever the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    shown: Box<str>,
    folded: Box<str>,
}

/// A value as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `42`: the number, or the text; `true`, `false`, `null` likewise.
    Bare(Box<str>),
    /// `"42"`: the text only.
    Quoted(Box<str>),
}

impl Needle {
    /// A text to look for; it must not be empty.
    pub fn new(text: &str) -> Needle {
        Needle { shown: text.into(), folded: text.to_lowercase().into() }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    fn is_in(&self, text: &str) -> bool {
        let wanted = self.folded.as_bytes();
        if !self.folded.is_ascii() {
            return text.to_lowercase().contains(&*self.folded);
        }
        let Some(first) = wanted.first() else { return true };
        let mut windows = text.as_bytes().windows(wanted.len());
        windows.any(|part| part[0].eq_ignore_ascii_case(first) && part.eq_ignore_ascii_case(wanted))
    }
}

impl Term {
    /// Whether a job has it. The error of a job that came through in the end is none.
    pub fn is_in(&self, job: &Job) -> bool {
        let failure = || job.last_failure().filter(|_| job.status.state != State::Completed);
        let payload = job.spec.payload.as_str();
        match self {
            Term::Text(needle) => {
                needle.is_in(payload)
                    || needle.is_in(job.labels.kind.as_str())
                    || job.labels.tags.iter().any(|tag| needle.is_in(tag.as_str()))
                    || failure().is_some_and(|failure| needle.is_in(&failure.message))
            }
            Term::Error(needle) => failure().is_some_and(|failure| {
                failure.class.as_str() == &*needle.folded || needle.is_in(&failure.message)
            }),
            Term::Payload(needle) => needle.is_in(payload),
            Term::At { path, value } => may_have(payload, path) && value.is_at(payload, path),
        }
    }
}

/// Whether a payload can have the path, at a glance: only an escaped key is not seen in the text.
fn may_have(payload: &str, path: &[Box<str>]) -> bool {
    let last = path.iter().rev().find(|key| key.parse::<usize>().is_err());
    last.is_none_or(|key| payload.contains(&**key)) || payload.contains('\\')
}

impl Value {
    fn is_at(&self, json: &str, path: &[Box<str>]) -> bool {
        let start = json.trim_start().as_bytes().first();
        match (start, path.split_first()) {
            (Some(b'['), place) => elements(json).iter().enumerate().any(|(at, element)| {
                let named = place.filter(|(key, _)| key.parse() == Ok(at));
                named.is_some_and(|(_, rest)| self.is_at(element.get(), rest))
                    || self.is_at(element.get(), path)
            }),
            (Some(b'{'), Some((key, rest))) => {
                member(json, key).is_some_and(|value| self.is_at(value.get(), rest))
            }
            (_, None) => self.is(json.trim()),
            (_, Some(_)) => false,
        }
    }

    fn is(&self, scalar: &str) -> bool {
        let text = || serde_json::from_str::<Cow<'_, str>>(scalar).ok();
        match self {
            Value::Quoted(wanted) => text().is_some_and(|text| text == **wanted),
            Value::Bare(wanted) if scalar.starts_with('"') => {
                text().is_some_and(|text| text == **wanted)
            }
            Value::Bare(wanted) => *scalar == **wanted || same_number(scalar, wanted),
        }
    }
}

/// 1.50 is 1.5; whole numbers are compared as they are written, however big.
fn same_number(a: &str, b: &str) -> bool {
    let written_whole = |text: &str| !text.contains(['.', 'e', 'E']);
    if written_whole(a) && written_whole(b) {
        return false; // they would have been the same text
    }
    let looks = |text: &str| text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let read = |text: &str| text.parse::<f64>().ok().filter(|n| looks(text) && n.is_finite());
    read(a).is_some() && read(a) == read(b)
}

/// The elements of a list; none when it is no list.
fn elements(json: &str) -> Vec<&RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The value of an object's key; the last one when the key stands there twice, as parsers read it.
fn member<'a>(json: &'a str, key: &str) -> Option<&'a RawValue> {
    Member(key).deserialize(&mut serde_json::Deserializer::from_str(json)).ok().flatten()
}

/// Reads one value out of an object and passes over the others.
struct Member<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(None)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaced = |text: &str| text.is_empty() || text.contains(char::is_whitespace);
        let value = |text: &str| spaced(text) || text.starts_with('"');
        match self {
            Term::Text(needle) => {
                let text = needle.as_str();
                quote_if(value(text) || text.contains(':'), text, f)
            }
            Term::Error(needle) => {
                f.write_str("error:")?;
                quote_if(value(needle.as_str()), needle.as_str(), f)
            }
            Term::Payload(needle) => {
                f.write_str("payload:")?;
                quote_if(value(needle.as_str()), needle.as_str(), f)
            }
            Term::At { path, value: wanted } => {
                f.write_str("payload")?;
                for key in path {
                    let odd = spaced(key) || key.contains(['.', ':', '"']);
                    f.write_str(".")?;
                    quote_if(odd, key, f)?;
                }
                f.write_str(":")?;
                match wanted {
                    Value::Bare(text) => quote_if(value(text), text, f),
                    Value::Quoted(text) => quote_if(true, text, f),
                }
            }
        }
    }
}

fn quote_if(needed: bool, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if needed {
        write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"user":{"id":42,"name":"Ada \"L\"","on":true,"no":null},
        "big":12345678901234567890,"price":1.50,"ids":[1,{"sku":"a-7"},[3]],"odd.key":"x","\u0061b":1}"#;

    fn has(path: &[&str], value: &str) -> bool {
        let path: Vec<Box<str>> = path.iter().map(|key| (*key).into()).collect();
        let value = match value.strip_prefix('\'') {
            Some(quoted) => Value::Quoted(quoted.into()),
            None => Value::Bare(value.into()),
        };
        may_have(PAYLOAD, &path) && value.is_at(PAYLOAD, &path)
    }

    #[test]
    fn a_value_is_found_at_its_path_and_nowhere_else() {
        for (path, value) in [
            (&["user", "id"][..], "42"),
            (&["user", "name"], "'Ada \"L\""),
            (&["user", "on"], "true"),
            (&["user", "no"], "null"),
            (&["big"], "12345678901234567890"),
            (&["price"], "1.5"),
            (&["ids"], "1"),
            (&["ids", "0"], "1"),
            (&["ids", "sku"], "a-7"),
            (&["ids", "1", "sku"], "a-7"),
            (&["ids"], "3"),
            (&["odd.key"], "x"),
            (&["ab"], "1"),
        ] {
            assert!(has(path, value), "{path:?} {value}");
        }
        for (path, value) in [
            (&["user", "id"][..], "4"),
            (&["user", "id"], "'42"),
            (&["id"], "42"),
            (&["user"], "42"),
            (&["user", "on"], "'true"),
            (&["big"], "12345678901234567891"),
            (&["ids", "1"], "1"),
            (&["user", "id", "x"], "42"),
            (&["odd", "key"], "x"),
        ] {
            assert!(!has(path, value), "{path:?} {value}");
        }
    }

    #[test]
    fn a_text_is_found_whatever_its_case() {
        for (needle, text) in [("TIMED", "it timed out"), ("ß", "Straße"), ("ÄPFEL", "äpfel")] {
            assert!(Needle::new(needle).is_in(text), "{needle} in {text}");
        }
        assert!(!Needle::new("timed out!").is_in("timed out"));
    }
}
