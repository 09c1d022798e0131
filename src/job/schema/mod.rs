//! Schemas of payloads: the subset of JSON Schema from which a form can be built. Numbers are checked by their text, so
//! that none loses a digit.

mod check;
mod field;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::job::Json;
use field::Object;

pub use field::{Bounds, Field, Format, SchemaError, Shape, Text, Violation};

/// The schema of a payload. Keywords that are not understood are not checked.
#[derive(Debug, Clone)]
pub struct Schema {
    source: Json,
    /// The properties; `None` when the root is not a plain object with properties.
    object: Option<Object>,
}

impl Schema {
    /// Reads JSON Schema (draft 2020-12): an object with `properties`, `required` and `additionalProperties`;
    /// properties of type string, integer, number, boolean, array of strings, or an `enum` of scalars, with `title`,
    /// `description`, `default`, bounds, `pattern` and `format`. Other keywords are allowed, but the root or property
    /// that has them is not checked.
    ///
    /// # Errors
    /// When it is not JSON, a keyword has a value of the wrong type, or a pattern is not understood.
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        let (source, object) = read::schema(text)?;
        Ok(Schema { source, object })
    }

    /// Returns the schema as it was written.
    pub fn source(&self) -> &Json {
        &self.source
    }

    /// Returns the properties in their original order; `None` when no form can be built from the schema.
    pub fn fields(&self) -> Option<&[Field]> {
        self.object.as_ref().map(|object| object.fields.as_slice())
    }

    /// Returns the violations of a payload, in the order of the properties. A long list is cut and ends with a count.
    pub fn check(&self, payload: &Json) -> Vec<Violation> {
        self.object.as_ref().map(|object| object.check(payload.as_str())).unwrap_or_default()
    }
}

/// The properties of a JSON object in their order, each as it was written; `None` when the text is not an object.
pub fn entries(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let entries = read::entries(json).ok()?;
    Some(entries.into_iter().map(|(name, value)| (name, value.get())).collect())
}
