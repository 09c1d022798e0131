//! From what was typed into one field of a form to its value, and what is wrong with it.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::http::StatusCode;
use serde_json::value::RawValue;

use crate::config::units::parse_duration;
use crate::job::JsonLimits;

use super::error::UiError;

/// What is wrong, by the form's field; under `""` what belongs to none.
pub type Errors = BTreeMap<String, String>;

/// A form as browsers and addresses write it; properties of a payload make names that only it knows.
pub type Pairs = Vec<(String, String)>;

/// The most fields of a form or an address.
const MAX_FIELDS: usize = 1_000;

/// Reads a form or the query of an address.
///
/// # Errors
/// When there are more fields than any page has.
pub fn pairs(encoded: &[u8]) -> Result<Pairs, UiError> {
    let count = encoded.iter().filter(|byte| **byte == b'&').count() + 1;
    if count > MAX_FIELDS {
        return Err(UiError {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            title: "The form has too many fields".into(),
            message: format!("There are {count} fields; at most {MAX_FIELDS} are accepted."),
            advice: "Send the payload as JSON instead.",
        });
    }
    Ok(url::form_urlencoded::parse(encoded).into_owned().collect())
}

/// The form's field for a field of the API.
pub fn form_field(field: &'static str) -> &'static str {
    match field {
        "kind" | "payload" | "queue" | "priority" | "max_attempts" | "idempotency_key" | "tags" => {
            field
        }
        "delay_ms" => "delay",
        "run_at" => "at",
        "timeout_ms" => "timeout",
        "backoff" => "backoff_base",
        _ => "",
    }
}

/// What was typed, without white space around it; `None` when nothing was.
pub fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A whole number; `None` when there is none, or it cannot be read.
pub fn number<T: FromStr>(name: &'static str, text: &str, errors: &mut Errors) -> Option<T> {
    let text = filled(text)?;
    let number = text.parse().ok();
    if number.is_none() {
        errors.insert(name.into(), format!("{text:?} is not a whole number"));
    }
    number
}

/// A length of time in milliseconds; `None` when there is none, or it cannot be read.
pub fn duration(name: &'static str, text: &str, errors: &mut Errors) -> Option<u64> {
    match parse_duration(&filled(text)?) {
        Ok(length) => Some(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
        Err(message) => {
            errors.insert(name.into(), message);
            None
        }
    }
}

/// Milliseconds as people write them, exactly: `90s`, `1h`, `1500ms`.
pub fn written(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = UNITS.into_iter().find(|(length, _)| ms > 0 && ms.is_multiple_of(*length));
    unit.map_or(format!("{ms}ms"), |(length, unit)| format!("{}{unit}", ms / length))
}

/// A payload within the limits; `None` when there is none, or it is not accepted.
pub fn json(text: &str, limits: JsonLimits, errors: &mut Errors) -> Option<Box<RawValue>> {
    // Browsers send line ends as CR LF; inside a JSON string neither can stand.
    let text = filled(text)?.replace("\r\n", "\n");
    if let Err(why) = limits.check(&text) {
        errors.insert("payload".into(), why.to_string());
        return None;
    }
    match serde_json::from_str(&text) {
        Ok(raw) => Some(raw),
        Err(error) => {
            errors.insert("payload".into(), format!("this is not JSON: {error}"));
            None
        }
    }
}
