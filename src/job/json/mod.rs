//! JSON values kept as text, so that big integers and the order of keys stay as they were sent.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::job::shorten::shorten;

mod scan;
mod tree;

pub use scan::{JsonLimits, Scan, TooComplex, elements};
pub use tree::{
    NAME_IS_NO_TEXT, NOT_A_CHARACTER, REPEATED, ambiguities, same, same_meaning, text_length,
};

/// One valid JSON value as text. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Json(Arc<str>);

impl Json {
    /// Validates that a text is one JSON value and keeps it unchanged, except for surrounding white space.
    ///
    /// # Errors
    /// The message of the parser, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<&RawValue>(text)
            .map(|raw| Json(raw.get().into()))
            .map_err(|error| error.to_string())
    }

    /// Serializes a value as JSON.
    ///
    /// # Errors
    /// When the value has no JSON form (a map with keys that are not strings), or is nested deeper than
    /// [`JsonLimits::MAX_DEPTH`], which could overflow the stack of its readers.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Unwritable> {
        let limits = JsonLimits { depth: JsonLimits::MAX_DEPTH, ..JsonLimits::NONE };
        let mut out = Bounded { text: Vec::new(), scan: Scan::new(limits), refused: None };
        match (serde_json::to_writer(&mut out, value), out.refused) {
            (_, Some(refused)) => {
                Err(Unwritable::TooComplex(refused, String::from_utf8_lossy(&out.text).into()))
            }
            (Err(error), None) => Err(Unwritable::NoForm(error.to_string())),
            (Ok(()), None) => match String::from_utf8(out.text) {
                Ok(text) => Ok(Json(text.into())),
                Err(error) => Err(Unwritable::NoForm(error.to_string())),
            },
        }
    }

    /// The value with a text that the caller has just written as JSON.
    pub(crate) fn from_written(text: &str) -> Self {
        Json(text.into())
    }

    /// The replacement for a value that is not kept: the reason, and the beginning of its text.
    pub fn left_out(why: TooComplex, text: &str) -> Self {
        /// The bytes of the text that are kept.
        const KEPT_BYTES: usize = 1_000;
        let beginning: String = text.chars().take(KEPT_BYTES).collect();
        let replacement = serde_json::json!({
            "left_out": {"code": why.code(), "message": why.to_string(), "beginning": beginning}
        });
        Json(replacement.to_string().into())
    }

    /// Returns `null`.
    pub fn null() -> Self {
        Json("null".into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Deserializes the value.
    ///
    /// # Errors
    /// The shortened message of the parser, which names the missing or mistyped field. A text that is nested deeper than
    /// [`JsonLimits::MAX_DEPTH`], as older versions stored them, can only be read into types that do not parse it, such
    /// as a `RawValue`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let mut input = serde_json::Deserializer::from_str(&self.0);
        let limits = JsonLimits { depth: JsonLimits::MAX_DEPTH, ..JsonLimits::NONE };
        if limits.check(&self.0).is_ok() {
            // The limit of the parser itself is one level lower than ours.
            input.disable_recursion_limit();
        }
        let read = T::deserialize(&mut input).and_then(|value| input.end().map(|()| value));
        read.map_err(|error| shorten(&error.to_string(), crate::job::shorten::MAX_MESSAGE))
    }

    /// Returns the text in a form that a JSON serializer copies unchanged.
    pub fn raw(&self) -> Box<RawValue> {
        match RawValue::from_string(self.0.to_string()) {
            Ok(raw) => raw,
            Err(_) => RawValue::NULL.to_owned(), // cannot happen: the text was validated when it was received
        }
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Json(raw.get().into())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that a text is one JSON value. `what` is the text in the error, such as `the body`.
///
/// # Errors
/// Where the text is not valid, in the same words at every interface.
pub fn parse_value<'t>(what: &str, text: &'t str) -> Result<&'t RawValue, String> {
    serde_json::from_str(text).map_err(|error| {
        if text.trim().is_empty() {
            return format!("{what} is empty");
        }
        if error.is_eof() {
            return format!("{what} ends before its JSON is complete");
        }
        let (line, column) = (error.line(), error.column());
        format!("{what} is not valid JSON: see line {line}, column {column}")
    })
}

/// Why a value cannot be written as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The value has no JSON form.
    #[error("{0}")]
    NoForm(String),
    /// The value is nested too deeply. The error holds the text up to there.
    #[error("{0}")]
    TooComplex(TooComplex, String),
}

/// A writer that stops a serializer when its output is nested too deeply. The serializer descends into an array or
/// object only after its bracket was written, so it never goes deeper than this writer allows.
struct Bounded {
    text: Vec<u8>,
    scan: Scan,
    refused: Option<TooComplex>,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Err(refused) = self.scan.feed(piece) {
            self.refused = Some(refused);
            return Err(io::Error::other(refused));
        }
        self.text.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_as_typed() {
        let json = Json::parse(" {\"b\":12345678901234567890, \"a\":1.0} ").unwrap();
        assert_eq!(json.as_str(), "{\"b\":12345678901234567890, \"a\":1.0}");
        assert_eq!(json.raw().get(), json.as_str());
        assert!(Json::parse("{\"a\":}").unwrap_err().contains("column"));
        assert!(Json::parse("1 2").is_err());
    }
    #[test]
    fn what_is_accepted_can_be_read_and_what_is_deeper_is_an_error() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deepest = Json::parse(&nested(128)).unwrap();
        let value: serde_json::Value = deepest.read().unwrap();
        assert_eq!(Json::of(&value).unwrap(), deepest);
        for depth in [129, 200_000] {
            let deeper = Json::parse(&nested(depth)).unwrap();
            assert!(deeper.read::<serde_json::Value>().unwrap_err().contains("recursion limit"));
            assert!(deeper.read::<serde::de::IgnoredAny>().is_ok());
            assert_eq!(deeper.raw().get(), deeper.as_str());
        }
    }

    #[test]
    fn a_value_that_is_nested_without_end_is_not_written() {
        struct Endless;
        impl Serialize for Endless {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_seq([Endless])
            }
        }
        let Err(Unwritable::TooComplex(why, text)) = Json::of(&Endless) else {
            panic!("it has no end");
        };
        assert_eq!((why.code(), text.len()), ("json_too_deep", 128));
        let kept = Json::left_out(why, &text);
        assert!(JsonLimits::default().check(kept.as_str()).is_ok());
        assert!(kept.as_str().contains("json_too_deep") && kept.as_str().len() < 1_500);
        let numbered = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(matches!(Json::of(&numbered), Err(Unwritable::NoForm(_))));
    }
}
