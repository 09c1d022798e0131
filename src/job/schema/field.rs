//! The properties that a schema declares, and what can be wrong with a payload or with the schema itself.

use std::collections::HashMap;

use regex::Regex;

use crate::job::Json;

/// The root of a schema that a form can be made of.
#[derive(Debug, Clone)]
pub struct Object {
    /// The properties, in the order they were written.
    pub fields: Vec<Field>,
    /// Where each field is, by its name.
    pub positions: HashMap<String, usize>,
    /// Whether other properties are refused.
    pub closed: bool,
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
pub struct Violation {
    /// Its name; empty when it is the payload itself.
    pub field: String,
    /// What is wrong, and what is accepted.
    pub message: String,
}

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no JSON Schema that can be used: {0}")]
pub struct SchemaError(pub(super) String);
