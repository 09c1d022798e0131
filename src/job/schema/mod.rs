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
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};
use crate::job::{Json, ambiguities};
use check::Check;

pub use field::{Bounds, Field, Format, SchemaError, Shape, Text, Violation};

/// The schema of a payload. Cheap to clone. It is serialized as its text.
#[derive(Clone)]
pub struct Schema(Arc<SchemaParts>);

/// Shows the text, because two schemas are the same whether or not they have been compiled.
impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.0.source).finish()
    }
}

struct SchemaParts {
    source: Json,
    /// What is compiled of it. A stored schema is compiled when it is first used, because there may be thousands.
    compiled: OnceLock<Result<CompiledSchema, SchemaError>>,
}

#[derive(Debug)]
struct CompiledSchema {
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
        let compiled = OnceLock::from(Ok(CompiledSchema::of(text)?));
        let source = Json::parse(text).map_err(SchemaError)?;
        Ok(Schema(Arc::new(SchemaParts { source, compiled })))
    }

    /// A schema that was accepted when it was stored. If another version accepted it, this one may not understand it;
    /// then it matches no payload.
    pub fn stored(source: Json) -> Schema {
        Schema(Arc::new(SchemaParts { source, compiled: OnceLock::new() }))
    }

    /// Returns the schema as it was written.
    pub fn source(&self) -> &Json {
        &self.0.source
    }

    /// Returns the properties in their original order; `None` when no form can be built from the schema.
    pub fn fields(&self) -> Option<&[Field]> {
        self.compiled().ok()?.fields.as_deref()
    }

    /// Returns the JSON pointers of the first keywords that JSON Schema does not define. They have no effect, so each
    /// may be a typing error.
    pub fn unknown_keywords(&self) -> &[String] {
        self.compiled().map(|compiled| compiled.unknown.as_slice()).unwrap_or_default()
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
        let check = match self.compiled() {
            Ok(compiled) => compiled.check.as_ref(),
            Err(error) => {
                let message =
                    format!("cannot be checked, because the schema is not valid: {error}");
                return vec![Violation { field: String::new(), message }];
            }
        };
        check.map(|check| check.check(self.source().as_str(), payload)).unwrap_or_default()
    }

    fn compiled(&self) -> Result<&CompiledSchema, &SchemaError> {
        let compile = || CompiledSchema::of(self.source().as_str());
        self.0.compiled.get_or_init(compile).as_ref()
    }
}

impl CompiledSchema {
    fn of(text: &str) -> Result<CompiledSchema, SchemaError> {
        let (check, unknown) = Check::compile(text)?;
        Ok(CompiledSchema { check, fields: read::fields(text), unknown })
    }
}

/// Schemas are equal when their texts are.
impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        self.source() == other.source()
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        self.source().serialize(output)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Schema, D::Error> {
        Json::deserialize(input).map(Schema::stored)
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
