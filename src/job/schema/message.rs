//! The words for what is wrong with a value and what is accepted.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, JsonTypeSet};
use serde_json::Value;
use serde_json::value::RawValue;

use super::field::{Bounds, Shape};
use super::formats;
use super::source::Keywords;
use crate::job::Json;
use crate::job::shorten::{MAX_ERRORS, first_few};

/// The words for a `null` that is not accepted.
pub const NULL: &str = "null is not accepted";
/// The words for a value that is missing.
pub const MISSING: &str = "a value is required";
/// The words for a property that is not declared.
pub const UNKNOWN: &str = "unknown property";

/// Describes an error about one value. `keywords` are those beside the keyword that refused it, as they were written;
/// `None` when the schema is part of another document.
pub fn of(kind: &Kind, keywords: Option<&Keywords>, value: Option<&Value>) -> String {
    let bounds = |least, most, one: &str, several: &str| {
        let bounds = keywords.map(|keywords| keywords.bounds(least, most));
        let bounds = bounds.filter(|bounds| *bounds != Bounds::default()).unwrap_or(limit(kind));
        let words = bounds.words();
        let unit = if words.ends_with(" 1") { one } else { several };
        format!("expected {words}{unit}")
    };
    let refuses_null =
        matches!(kind, Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. });
    if refuses_null && value.is_some_and(Value::is_null) {
        return NULL.into();
    }
    match kind {
        // An optional value is described without `null`.
        Kind::Type { kind } => match set(kind).remove(JsonType::Null) {
            others if others.is_empty() => format!("expected {}", types(set(kind))),
            others => format!("expected {}", types(others)),
        },
        Kind::Enum { options } => {
            let written = keywords.and_then(|keywords| keywords.list("enum"));
            let values = match written {
                Some(written) => one_of(written.iter().map(|raw| raw.get())),
                None => one_of(options.as_array().into_iter().flatten().map(Value::to_string)),
            };
            format!("expected {values}")
        }
        Kind::Constant { expected_value } => {
            let written = keywords.and_then(|keywords| keywords.raw("const")).map(RawValue::get);
            format!("expected {}", written.map_or(expected_value.to_string(), str::to_owned))
        }
        Kind::Minimum { .. } | Kind::Maximum { .. } => bounds("minimum", "maximum", "", ""),
        Kind::ExclusiveMinimum { limit } => format!("expected more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("expected less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("expected a multiple of {multiple_of}"),
        Kind::MinLength { .. } | Kind::MaxLength { .. } => {
            bounds("minLength", "maxLength", " character", " characters")
        }
        Kind::MinItems { .. } | Kind::MaxItems { .. } => {
            bounds("minItems", "maxItems", " entry", " entries")
        }
        Kind::MinProperties { .. } | Kind::MaxProperties { .. } => {
            bounds("minProperties", "maxProperties", " property", " properties")
        }
        Kind::Pattern { pattern } => {
            let written = keywords.and_then(|keywords| keywords.read::<String>("pattern"));
            format!("it does not match the pattern {}", written.as_ref().unwrap_or(pattern))
        }
        Kind::Format { format } => format!("expected {}", formats::words(format)),
        Kind::Required { .. } => MISSING.into(),
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => {
            let known = keywords.and_then(|keywords| keywords.map("properties"));
            match known.filter(|known| !known.is_empty()) {
                Some(known) => {
                    let known = first_few(known.iter().map(|(name, _)| name), MAX_ERRORS, ", ");
                    format!("{UNKNOWN}; known properties: {known}")
                }
                None => UNKNOWN.into(),
            }
        }
        Kind::AdditionalItems { limit } => format!("expected at most {limit} entries"),
        Kind::UnevaluatedItems { .. } => "it has entries that are not accepted".into(),
        Kind::UniqueItems => "two entries are equal".into(),
        Kind::Contains => "too few or too many entries match the required schema".into(),
        Kind::PropertyNames { error } => {
            let name = error.instance().as_str().unwrap_or_default();
            let name = serde_json::Value::from(name);
            format!("the name {name} is not accepted: {}", of(error.kind(), None, None))
        }
        Kind::ContentEncoding { content_encoding } => {
            format!("expected a string encoded as {content_encoding}")
        }
        Kind::ContentMediaType { content_media_type } => {
            format!("expected a string of type {content_media_type}")
        }
        Kind::FromUtf8 { .. } => "expected an encoded string".into(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            format!("it matches none of the {} accepted forms", context.len())
        }
        Kind::OneOfMultipleValid { .. } => "it matches more than one of the accepted forms".into(),
        Kind::Not { .. } | Kind::FalseSchema => "this value is not accepted".into(),
        Kind::Custom { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Referencing(_) => "it does not match the schema".into(),
    }
}

/// The limit that a value exceeds.
fn limit(kind: &Kind) -> Bounds {
    let count = |limit: &u64| Some(*limit as f64);
    match kind {
        Kind::Minimum { limit } => Bounds { least: limit.as_f64(), most: None },
        Kind::Maximum { limit } => Bounds { least: None, most: limit.as_f64() },
        Kind::MinLength { limit } | Kind::MinItems { limit } | Kind::MinProperties { limit } => {
            Bounds { least: count(limit), most: None }
        }
        Kind::MaxLength { limit } | Kind::MaxItems { limit } | Kind::MaxProperties { limit } => {
            Bounds { least: None, most: count(limit) }
        }
        _ => Bounds::default(),
    }
}

/// Describes why a schema is refused; `None` when the words of the validator are better.
pub fn of_schema(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Type { kind } => Some(format!("expected {}", types(set(kind)))),
        Kind::Referencing(error) => {
            Some(format!("only references within the schema are followed: {error}"))
        }
        _ => None,
    }
}

/// Lists accepted values.
pub fn one_of<T: AsRef<str>>(values: impl Iterator<Item = T>) -> String {
    let values: Vec<T> = values.collect();
    format!("one of {}", first_few(values.iter(), MAX_ERRORS, ", "))
}

impl Shape {
    /// Says what is expected instead of a text that cannot be read as a value of this shape.
    pub fn expected(&self) -> String {
        match self {
            Shape::Text(_) => format!("expected {}", word(JsonType::String)),
            Shape::Integer(_) => format!("expected {}", word(JsonType::Integer)),
            Shape::Number(_) => format!("expected {}", word(JsonType::Number)),
            Shape::Boolean => format!("expected {}", word(JsonType::Boolean)),
            Shape::Choice(choices) => {
                format!("expected {}", one_of(choices.iter().map(Json::as_str)))
            }
            Shape::Texts { .. } => format!("expected {}", word(JsonType::Array)),
            Shape::Any => String::new(),
        }
    }
}

fn set(kind: &TypeKind) -> JsonTypeSet {
    match kind {
        TypeKind::Single(one) => JsonTypeSet::from(*one),
        TypeKind::Multiple(set) => *set,
    }
}

/// Lists accepted types; objects come first and `null` last.
pub fn types(set: JsonTypeSet) -> String {
    let order = [
        JsonType::Object,
        JsonType::Array,
        JsonType::String,
        JsonType::Integer,
        JsonType::Number,
        JsonType::Boolean,
        JsonType::Null,
    ];
    let words: Vec<&str> = order.into_iter().filter(|one| set.contains(*one)).map(word).collect();
    words.join(" or ")
}

fn word(one: JsonType) -> &'static str {
    match one {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}
