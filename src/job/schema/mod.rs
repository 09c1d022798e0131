//! Schemas of payloads (JSON Schema). The crate `jsonschema` validates payloads; the fields of forms are read here.

mod alternatives;
mod check;
mod explain;
mod field;
mod formats;
mod keyword;
mod message;
mod node;
mod numbers;
mod order;
mod read;
mod source;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};
use crate::job::{Json, ambiguities};
use check::Check;

pub use field::{Bounds, Field, Format, SchemaError, Shape, Text, Violation};

/// The schema of a payload, compiled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schema(Arc<SchemaParts>);

#[derive(Debug)]
struct SchemaParts {
    source: Json,
    /// The validator; `None` when the schema accepts every payload.
    check: Option<Check>,
    /// The properties that a form can show; `None` when the root is not a plain object with properties.
    fields: Option<Vec<Field>>,
    /// The JSON pointers of keywords that JSON Schema does not define.
    unknown: Vec<String>,
}

impl Schema {
    /// Compiles a JSON Schema (draft 2020-12, or an older one that `$schema` names). Payloads are validated against
    /// all of it, with these particularities:
    ///
    /// - References must stay within the schema: `{"$ref": "#/$defs/address"}`.
    /// - `1.0` is not an `integer`, because serde does not read it as one.
    /// - `pattern` has the syntax of the crate `regex`, which takes linear time and has no look-around.
    /// - `format` is checked, except for `regex` and formats that JSON Schema does not define.
    ///
    /// A form is built from a root of type `object`. Its properties have inputs if they are strings, numbers, booleans,
    /// arrays of strings, or a choice between constants, also behind a reference or when `null` is an alternative. All
    /// others are edited as JSON.
    ///
    /// # Errors
    /// The text is not JSON, is not a valid schema, has a pattern that is not understood, or refers to another
    /// document.
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        let (check, unknown) = Check::compile(text)?;
        let source = Json::parse(text).map_err(SchemaError)?;
        Ok(Schema(Arc::new(SchemaParts { check, fields: read::fields(text), source, unknown })))
    }

    /// Returns the schema as it was written.
    pub fn source(&self) -> &Json {
        &self.0.source
    }

    /// Returns the properties in their original order; `None` when no form can be built from the schema.
    pub fn fields(&self) -> Option<&[Field]> {
        self.0.fields.as_deref()
    }

    /// Returns the JSON pointers of the first keywords that JSON Schema does not define. They have no effect, so each
    /// may be a typing error.
    pub fn unknown_keywords(&self) -> &[String] {
        &self.0.unknown
    }

    /// Returns the violations of a payload, in the order of the properties. A long list is cut and ends with a count. A
    /// payload that readers would understand differently, because a member occurs twice, matches no schema.
    pub fn check(&self, payload: &Json) -> Vec<Violation> {
        let ambiguous = ambiguities(payload.as_str(), MAX_ERRORS).into_iter();
        let ambiguous = ambiguous.map(|(field, message)| Violation {
            field: shorten(&field, MAX_NAME),
            message: message.to_owned(),
        });
        let ambiguous: Vec<Violation> = ambiguous.collect();
        if !ambiguous.is_empty() {
            return ambiguous;
        }
        let check = self.0.check.as_ref();
        check.map(|check| check.check(self.source().as_str(), payload)).unwrap_or_default()
    }
}

/// The properties of a JSON object in their order, each as it was written; `None` when the text is not an object.
pub fn entries(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    Some(members(json)?.into_iter().map(|(name, value)| (name, value.get())).collect())
}

/// The same with values that can be kept without parsing them again.
pub fn members(json: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    source::entries(json).ok()
}
