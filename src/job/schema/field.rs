//! The properties that a schema declares, the violations of payloads, and the error for an invalid schema.

use std::collections::HashMap;

use regex::Regex;

use crate::job::Json;

/// The root object of a schema from which a form can be built.
#[derive(Debug, Clone)]
pub struct Object {
    /// The properties in their original order.
    pub fields: Vec<Field>,
    /// The index of each field by its name.
    pub positions: HashMap<String, usize>,
    /// Whether undeclared properties are refused.
    pub closed: bool,
}

/// One property.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name in the payload.
    pub name: String,
    /// Whether the property is required.
    pub required: bool,
    /// Whether the value may be `null`.
    pub nullable: bool,
    /// The title for people; empty when the name is enough.
    pub title: String,
    /// The description in a sentence or two.
    pub description: String,
    /// The value that applies when the property is left out.
    pub default: Option<Json>,
    /// The accepted values.
    pub shape: Shape,
}

/// The accepted values of a property.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A string.
    Text(Text),
    /// A whole number within bounds.
    Integer(Bounds),
    /// A number within bounds.
    Number(Bounds),
    /// `true` or `false`.
    Boolean,
    /// One of these values.
    Choice(Vec<Json>),
    /// An array of strings.
    Texts {
        /// The accepted elements.
        each: Box<Shape>,
        /// The number of elements.
        count: Bounds,
    },
    /// Any value, which people edit as JSON.
    Any,
}

/// The rules for a string.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// The length in characters.
    pub length: Bounds,
    /// The pattern that must match a part of it.
    pub pattern: Option<Regex>,
    /// The format of its content.
    pub format: Option<Format>,
}

/// The formats that are checked; all others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An RFC 3339 time.
    DateTime,
    /// An absolute URI.
    Uri,
    /// An email address: a text with an `@` in it.
    Email,
}

/// Inclusive bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    /// The lower bound.
    pub least: Option<f64>,
    /// The upper bound.
    pub most: Option<f64>,
}

/// A violation of the schema by a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the property; empty for the payload itself.
    pub field: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// Why a text is not a usable schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a usable JSON Schema: {0}")]
pub struct SchemaError(pub(super) String);
