//! The properties that a form shows, the violations of payloads, and the error for an unusable schema.

use crate::job::Json;

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

/// The accepted values of a property, as far as an input can express them.
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
    pub pattern: Option<String>,
    /// The format of its content.
    pub format: Option<Format>,
}

/// The formats that have an input of their own.
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

impl Bounds {
    /// Describes the bounds: `at least 1`, `at most 9`, `1 to 9`; empty without bounds.
    pub fn words(self) -> String {
        match (self.least, self.most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => String::new(),
        }
    }
}

/// A violation of the schema by a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the property; those of nested objects are joined by dots: `address.city`. Empty for the payload
    /// itself.
    pub field: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// Why a text is not a usable schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a usable JSON Schema: {0}")]
pub struct SchemaError(pub(super) String);
