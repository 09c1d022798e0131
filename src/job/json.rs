//! JSON kept as the text that came in: big integers and key order stay as typed.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One valid JSON value as text. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks that a text is one JSON value and keeps it as it is, trimmed.
    ///
    /// # Errors
    /// The parser's words, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<&RawValue>(text)
            .map(|raw| Json(raw.get().into()))
            .map_err(|error| error.to_string())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// When the value has no JSON form (a map with keys that are not strings).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, String> {
        serde_json::to_string(value).map(|text| Json(text.into())).map_err(|e| e.to_string())
    }

    /// `null`.
    pub fn null() -> Self {
        Json("null".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the value into a type.
    ///
    /// # Errors
    /// The parser's words: which field is missing or of the wrong type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(&self.0).map_err(|error| error.to_string())
    }

    /// The same text for a JSON serializer to copy through.
    pub fn raw(&self) -> Box<RawValue> {
        match RawValue::from_string(self.0.to_string()) {
            Ok(raw) => raw,
            Err(_) => RawValue::NULL.to_owned(), // cannot be: the text was checked when it came in
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
}
