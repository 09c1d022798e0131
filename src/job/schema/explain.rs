//! Turns the errors of the validator into one finding for each wrong value, with the name of its property.

use std::collections::HashMap;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::alternatives::{MismatchCause, cause};
use super::message;
use super::source::{Keywords, segments};
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};

/// The findings in the order of the properties, and the number of those that are only counted.
pub struct Explanation {
    /// One finding for each wrong value.
    pub findings: Vec<Finding>,
    /// The number of unknown properties that are not among the findings.
    pub more: usize,
}

/// One wrong value.
#[derive(Clone)]
pub struct Finding {
    /// The names of the properties that lead to it, as far as no array is in between.
    pub field: String,
    /// What is wrong with it and what is accepted.
    pub message: String,
    /// The position of the property in the schema, and then that of the error.
    order: (usize, usize),
    /// How telling the error is; of several errors about one value, that with the lowest number is kept.
    rank: u8,
}

/// Explains the errors of a payload. Errors that the validator reported after it was stopped are left out.
pub fn explain(source: &str, payload: &Value, errors: &[ValidationError]) -> Explanation {
    let root = Keywords::of(source);
    let names = root.and_then(|root| root.map("properties")).unwrap_or_default();
    let positions = (1..).zip(names).map(|(at, (name, _))| (name.into_owned(), at)).collect();
    let mut explainer = Explainer { source, payload, positions, found: HashMap::new(), more: 0 };
    for error in errors {
        explainer.add(error);
    }
    let mut findings: Vec<Finding> = explainer.found.into_values().collect();
    findings.sort_by_key(|finding| finding.order);
    Explanation { findings, more: explainer.more }
}

struct Explainer<'a> {
    source: &'a str,
    payload: &'a Value,
    /// The position of each property in the schema.
    positions: HashMap<String, usize>,
    /// The findings by the address of the value and the name of its property that is missing or unknown.
    found: HashMap<(*const Value, Option<&'a str>), Finding>,
    more: usize,
}

impl<'a> Explainer<'a> {
    fn add(&mut self, error: &'a ValidationError) {
        let path = error.instance_path().as_str();
        match error.kind() {
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                match cause(context, path) {
                    MismatchCause::Branch(errors) => {
                        errors.iter().for_each(|error| self.add(error))
                    }
                    MismatchCause::Value(at, words) => {
                        let is_null = self.payload.pointer(at).is_some_and(Value::is_null);
                        let words = if is_null { message::NULL.into() } else { words };
                        self.put(at, None, 2, words);
                    }
                    MismatchCause::Missing(name) => {
                        self.put(path, Some(name), 2, message::MISSING.into())
                    }
                    MismatchCause::Unclear if counts(error) => {
                        self.put(path, None, 2, self.words(error))
                    }
                    MismatchCause::Unclear => {}
                }
            }
            _ if !counts(error) => {}
            Kind::Required { property } => {
                self.put(path, property.as_str(), 0, self.words(error));
            }
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                let words = self.words(error);
                for name in unexpected.iter().take(MAX_ERRORS) {
                    self.put(path, Some(name), 0, words.clone());
                }
                self.more += unexpected.len().saturating_sub(MAX_ERRORS);
            }
            // The validator reports this for an object that may have no properties at all.
            Kind::FalseSchema
                if error.schema_path().as_str().ends_with("/additionalProperties") =>
            {
                let names = self.payload.pointer(path).and_then(Value::as_object);
                let names = names.into_iter().flat_map(|object| object.keys());
                self.more += names.clone().count().saturating_sub(MAX_ERRORS);
                for name in names.take(MAX_ERRORS) {
                    self.put(path, Some(name), 0, message::UNKNOWN.into());
                }
            }
            kind => self.put(path, None, rank(kind), self.words(error)),
        }
    }

    fn words(&self, error: &ValidationError) -> String {
        let at = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        let path = error.instance_path().as_str();
        let value = self.payload.pointer(path).filter(|_| !path.is_empty());
        message::of(error.kind(), Keywords::at(self.source, at).as_ref(), value)
    }

    /// Keeps a finding about a value, or about its property of this name.
    fn put(&mut self, path: &str, property: Option<&'a str>, rank: u8, words: String) {
        let place = place(self.payload, path, property);
        let position = self.positions.get(place.property.as_str()).copied();
        let first = if place.property.is_empty() { 0 } else { usize::MAX };
        let order = (position.unwrap_or(first), self.found.len());
        let message = format!("{}{words}", place.prefix);
        let finding = Finding { field: place.field, message, order, rank };
        let kept = self.found.entry((place.value, property));
        kept.and_modify(|kept| {
            if finding.rank < kept.rank {
                *kept = Finding { order: kept.order, ..finding.clone() };
            }
        })
        .or_insert(finding);
    }
}

/// Whether an error was found before the validator was stopped (see `Part::to_value`). The values in the error of
/// `unevaluatedItems` count as errors themselves, so it does not tell.
fn counts(error: &ValidationError) -> bool {
    *error.instance().as_ref() == Value::Bool(true)
        || matches!(error.kind(), Kind::UnevaluatedItems { .. })
}

fn rank(kind: &Kind) -> u8 {
    match kind {
        Kind::Enum { .. } | Kind::Constant { .. } => 0,
        Kind::Type { .. } => 1,
        Kind::Pattern { .. } => 3,
        Kind::Format { .. } => 4,
        _ => 2,
    }
}

/// Where a value is.
struct Place {
    value: *const Value,
    /// The property of the payload that holds it; empty for the payload itself.
    property: String,
    /// The names of the properties down to the first array.
    field: String,
    /// The rest of the path: `entry 2: name: `.
    prefix: String,
}

/// Names the position of a value, or of its property of this name.
fn place(payload: &Value, path: &str, property: Option<&str>) -> Place {
    let (mut value, mut names, mut prefix) = (Some(payload), Vec::new(), String::new());
    for segment in segments(path) {
        let index = segment.parse::<usize>().ok();
        let entry = index.filter(|_| value.is_some_and(Value::is_array));
        value = match entry {
            Some(index) => value.and_then(|value| value.get(index)),
            None => value.and_then(|value| value.get(segment.as_ref())),
        };
        match entry {
            Some(index) => prefix.push_str(&format!("entry {}: ", index + 1)),
            None if prefix.is_empty() => names.push(shorten(&segment, MAX_NAME)),
            None => prefix.push_str(&format!("{}: ", shorten(&segment, MAX_NAME))),
        }
    }
    match property {
        Some(name) if prefix.is_empty() => names.push(shorten(name, MAX_NAME)),
        Some(name) => prefix.push_str(&format!("{}: ", shorten(name, MAX_NAME))),
        None => {}
    }
    Place {
        value: value.map_or(std::ptr::null(), std::ptr::from_ref),
        property: names.first().cloned().unwrap_or_default(),
        field: names.join("."),
        prefix,
    }
}
