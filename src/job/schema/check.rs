//! Validation of payloads: the crate `jsonschema` decides whether a payload is accepted and finds what is wrong.

use std::fmt;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::explain::{Finding, explain};
use super::field::{SchemaError, Violation};
use super::formats::FORMATS;
use super::keyword::{is_annotation, unknown};
use super::message;
use super::node::{Allowance, PayloadReader, PayloadValue};
use super::numbers::within_range;
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, MAX_NAME, shorten};
use crate::job::{Json, JsonLimits};

/// The most JSON values of a schema.
const MAX_VALUES: usize = 100_000;

/// The most errors that the validator collects. Each holds the path of a value, which can be as long as the payload.
const MAX_COLLECTED: u32 = 100;
/// The bytes of all paths of a payload that has long names.
const MAX_PATHS: usize = 16 << 20;

/// A compiled schema.
pub struct Check {
    validator: Validator<PayloadReader>,
    /// The JSON values of the schema, which bound the work for each value of a payload.
    size: u64,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Check {
    /// Compiles a schema; `None` when it accepts every payload. Also returns the pointers of unknown keywords.
    ///
    /// # Errors
    /// The text is not JSON, is too large, is not a JSON Schema, or refers to another document.
    pub fn compile(text: &str) -> Result<(Option<Check>, Vec<String>), SchemaError> {
        let limits = JsonLimits { depth: JsonLimits::MAX_DEPTH, values: MAX_VALUES };
        limits.check(text).map_err(|why| SchemaError(why.to_string()))?;
        let schema: Value = Json::parse(text).and_then(|json| json.read()).map_err(SchemaError)?;
        let mut options = jsonschema::options_for::<PayloadReader>()
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true);
        for (name, accepts) in FORMATS {
            options = options.with_format(name, accepts);
        }
        let validator = options.build(&schema).map_err(|error| refusal(&error))?;
        let accepts_all = match &schema {
            Value::Object(keywords) => keywords.keys().all(|keyword| is_annotation(keyword)),
            accepts => *accepts == Value::Bool(true),
        };
        let size = text.bytes().filter(|byte| matches!(byte, b',' | b':')).count() as u64;
        Ok(((!accepts_all).then_some(Check { validator, size }), unknown(&schema)))
    }

    /// Returns at most [`MAX_ERRORS`] violations, followed by the number of the others.
    pub fn check(&self, source: &str, payload: &Json) -> Vec<Violation> {
        let one = |message: String| vec![Violation { field: String::new(), message }];
        let value: Value = match payload.read().or_else(|_| read_in_range(payload)) {
            Ok(value) => value,
            Err(why) => return one(why),
        };
        let bytes = payload.as_str().len();
        match self.accepts(&value, bytes as u64) {
            Some(true) => Vec::new(),
            Some(false) => self.violations(source, &value, bytes),
            None => one("checking this against the schema takes too long".into()),
        }
    }

    /// Whether a payload is accepted; `None` when it would take too long to tell. The validator compares each value of
    /// the payload with each part of the schema a few times at most, except for the strangest schemas.
    fn accepts(&self, value: &Value, bytes: u64) -> Option<bool> {
        /// How often a value may be compared with the same part of the schema.
        const REPEATS: u64 = 16;
        let steps = (self.size + 16).saturating_mul(bytes + 64).saturating_mul(REPEATS);
        let allowance = Allowance::new(steps, u32::MAX);
        let accepted = self.validator.is_valid(PayloadValue::root(value, &allowance));
        (!allowance.is_spent()).then_some(accepted)
    }

    fn violations(&self, source: &str, value: &Value, bytes: usize) -> Vec<Violation> {
        /// How often a byte may be visited. Without this bound, alternatives within alternatives take exponential time.
        const VISITS: u64 = 16;
        let steps = VISITS * bytes as u64 + 64 * self.size + 4_096;
        let errors = (MAX_PATHS / (bytes + 1)).clamp(MAX_ERRORS + 1, MAX_COLLECTED as usize) as u32;
        let allowance = Allowance::new(steps, errors);
        let errors: Vec<ValidationError> =
            self.validator.iter_errors(PayloadValue::root(value, &allowance)).collect();
        let found = explain(source, value, &errors);
        listed(found.findings, found.more, allowance.is_spent())
    }
}

fn read_in_range(payload: &Json) -> Result<Value, String> {
    Json::parse(&within_range(payload.as_str()))?.read()
}

fn listed(findings: Vec<Finding>, unlisted: usize, is_cut: bool) -> Vec<Violation> {
    let more = unlisted + findings.len().saturating_sub(MAX_ERRORS);
    let one = |finding: Finding| Violation {
        field: shorten(&finding.field, MAX_NAME),
        message: shorten(&finding.message, MAX_MESSAGE),
    };
    let mut all: Vec<Violation> = findings.into_iter().take(MAX_ERRORS).map(one).collect();
    let message = match (all.is_empty(), more, is_cut) {
        (true, ..) => "it does not match the schema".into(),
        (false, 0, false) => return all,
        (false, 0, true) => "and more properties may not match".into(),
        (false, _, true) => format!("and at least {more} more properties do not match"),
        (false, _, false) => format!("and {more} more properties do not match"),
    };
    all.push(Violation { field: String::new(), message });
    all
}

/// The error for a text that is JSON but no schema.
fn refusal(error: &ValidationError) -> SchemaError {
    let at = super::source::segments(error.instance_path().as_str());
    let at: Vec<String> = at
        .filter(|segment| segment != "properties")
        .map(|segment| shorten(&segment, MAX_NAME))
        .collect();
    let at = match (at.is_empty(), error.instance_path().as_str()) {
        (false, _) => at.join(": "),
        (true, "") => "the schema".into(),
        (true, _) => "properties".into(),
    };
    let why = message::of_schema(error.kind()).unwrap_or_else(|| error.to_string());
    SchemaError(format!("{at}: {}", shorten(&why, MAX_MESSAGE)))
}
