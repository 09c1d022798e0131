//! What payloads of a kind look like: the part of JSON Schema that a form can be made of. Pure; numbers are
//! judged by their text, so that none loses a digit.

mod check;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;

use super::Json;

/// A declared shape of payloads. What it cannot judge it lets through: only what is understood is checked.
#[derive(Debug, Clone)]
pub struct Schema {
    source: Json,
    /// None when the root is not a plain object with properties.
    object: Option<Object>,
}

#[derive(Debug, Clone)]
struct Object {
    fields: Vec<Field>,
    /// Where each field is, by its name.
    places: HashMap<String, usize>,
    /// Whether other properties are refused.
    closed: bool,
}

/// One property.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the payload.
    pub name: String,
    /// Whether it must be there.
    pub required: bool,
    /// Whether `null` may stand for it.
    pub nullable: bool,
    /// How people call it; empty when the name says it.
    pub title: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// What holds when it is left out.
    pub default: Option<Json>,
    /// What it may be.
    pub shape: Shape,
}

/// What a property may be.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A text.
    Text(Text),
    /// A whole number within bounds.
    Integer(Bounds),
    /// A number within bounds.
    Number(Bounds),
    /// `true` or `false`.
    Boolean,
    /// One of these values.
    Choice(Vec<Json>),
    /// An array of texts.
    Texts {
        /// What each must be.
        each: Box<Shape>,
        /// How many.
        count: Bounds,
    },
    /// Anything: it is written as JSON.
    Any,
}

/// Rules of a text.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Its length in characters.
    pub length: Bounds,
    /// What must be found in it.
    pub pattern: Option<Regex>,
    /// What it stands for.
    pub format: Option<Format>,
}

/// Formats that are checked; others are only names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An RFC 3339 time.
    DateTime,
    /// An absolute URI.
    Uri,
    /// An address with an `@` in it.
    Email,
}

/// The least and the most, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    /// At least.
    pub least: Option<f64>,
    /// At most.
    pub most: Option<f64>,
}

/// A property that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its name; empty when it is the payload itself.
    pub field: String,
    /// What is wrong, and what is accepted.
    pub message: String,
}

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no JSON Schema that can be used: {0}")]
pub struct SchemaError(String);

impl Schema {
    /// Reads JSON Schema (draft 2020-12): an object with `properties`, `required` and
    /// `additionalProperties`; properties of type string, integer, number, boolean, array of strings, or
    /// an `enum` of scalars, with `title`, `description`, `default`, bounds, `pattern` and `format`. Other
    /// keywords are allowed and make what they stand at unchecked.
    ///
    /// # Errors
    /// When it is not JSON, a keyword has a value of the wrong type, or a pattern is not understood.
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        read::schema(text)
    }

    /// The schema as it was written.
    pub fn source(&self) -> &Json {
        &self.source
    }

    /// The properties, in the order they were written; `None` when a form cannot be made of it.
    pub fn fields(&self) -> Option<&[Field]> {
        self.object.as_ref().map(|object| object.fields.as_slice())
    }

    /// What in a payload does not fit, in the order of the properties; of very much the first, and how much more
    /// there is.
    pub fn check(&self, payload: &Json) -> Vec<Wrong> {
        self.object.as_ref().map(|object| object.check(payload.as_str())).unwrap_or_default()
    }
}

/// The properties of a JSON object in their order, each as it was written; `None` when it is no object.
pub fn entries(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let entries = read::entries(json).ok()?;
    Some(entries.into_iter().map(|(name, value)| (name, value.get())).collect())
}
