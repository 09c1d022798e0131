//! Parsing of form fields into values, and the errors of invalid ones.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::value::RawValue;

use crate::config::units::parse_duration;
use crate::job::shorten::shorten;
use crate::job::{IntegerRange, JsonLimits};

use crate::ui::layout::error::UiError;

/// The errors by form field; those that belong to no field have the key `""`.
pub type Errors = BTreeMap<String, String>;

/// The error of a field; empty if there is none.
pub fn error_of<'a>(errors: &'a Errors, field: &str) -> &'a str {
    errors.get(field).map_or("", String::as_str)
}

/// The pairs of a form or a URL. The inputs of a payload have names that depend on its schema.
pub type Pairs = Vec<(String, String)>;

/// The most fields of a form or a query string.
const MAX_FIELDS: usize = 1_000;

/// Parses a form or a query string.
///
/// # Errors
/// When there are more fields than any form has.
pub fn pairs(encoded: &[u8]) -> Result<Pairs, UiError> {
    let count = encoded.iter().filter(|byte| **byte == b'&').count() + 1;
    if count > MAX_FIELDS {
        return Err(UiError {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            title: "The form has too many fields".into(),
            message: format!("It has {count} fields; the limit is {MAX_FIELDS}."),
            advice: "Send the payload as JSON instead.",
        });
    }
    Ok(url::form_urlencoded::parse(encoded).into_owned().collect())
}

/// The longest text of a field that a form repeats, in characters. It is longer than any field accepts, except for
/// the payload.
const MAX_SHOWN: usize = 300;
/// The same limit for a list of tags or a search.
const MAX_SHOWN_LIST: usize = 3_000;

/// Cuts typed texts to the length that a page may repeat. No field accepts more, and escaped text is up to five
/// times as long.
pub fn cut<'a>(fields: impl IntoIterator<Item = &'a mut String>) {
    fields.into_iter().for_each(|text| cut_to(text, MAX_SHOWN));
}

/// The same limit for a list of tags or a search.
pub fn cut_list(list: &mut String) {
    cut_to(list, MAX_SHOWN_LIST);
}

/// The same for a payload, of which at most `longest` bytes are accepted.
pub fn cut_payload(payload: &mut String, longest: usize) {
    if payload.len() > longest {
        cut_list(payload);
    }
}

fn cut_to(text: &mut String, most: usize) {
    if text.len() > most {
        *text = shorten(text, most);
    }
}

/// Maps a field of the API to the field of the form.
pub fn form_field(field: &str) -> &'static str {
    const SAME: [&str; 7] =
        ["kind", "payload", "queue", "priority", "max_attempts", "idempotency_key", "tags"];
    // The tags of a form are one field.
    let name = field.split('[').next().unwrap_or_default();
    match name {
        "delay_ms" => "delay",
        "run_at" => "at",
        "timeout_ms" => "timeout",
        "backoff" | "backoff.base_ms" => "backoff_base",
        "backoff.cap_ms" => "backoff_cap",
        _ => SAME.into_iter().find(|same| *same == name).unwrap_or_default(),
    }
}

/// The trimmed text of a field; `None` when it is empty.
pub fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Parses a whole number; `None` when the field is empty or invalid.
pub fn number(
    name: &'static str,
    text: &str,
    range: IntegerRange,
    errors: &mut Errors,
) -> Option<i64> {
    let number = range.parse(&filled(text)?);
    number.map_err(|message| errors.insert(name.into(), message)).ok()
}

/// Parses a duration into milliseconds; `None` when the field is empty or invalid.
pub fn duration(name: &'static str, text: &str, errors: &mut Errors) -> Option<u64> {
    match parse_duration(&filled(text)?) {
        Ok(length) => Some(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
        Err(message) => {
            errors.insert(name.into(), message);
            None
        }
    }
}

/// Formats milliseconds exactly and as people write them: `90s`, `1h`, `1500ms`.
pub fn written(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = UNITS.into_iter().find(|(length, _)| ms > 0 && ms.is_multiple_of(*length));
    unit.map_or(format!("{ms}ms"), |(length, unit)| format!("{}{unit}", ms / length))
}

/// Parses a payload within the limits; `None` when the field is empty or invalid.
pub fn json(text: &str, limits: JsonLimits, errors: &mut Errors) -> Option<Box<RawValue>> {
    // Browsers send line breaks as CR LF. A JSON string can contain neither.
    let typed = &text.replace("\r\n", "\n");
    let text = filled(typed)?;
    if let Err(why) = limits.check(&text) {
        errors.insert("payload".into(), why.to_string());
        return None;
    }
    match serde_json::from_str(&text) {
        Ok(raw) => Some(raw),
        Err(error) => {
            errors.insert("payload".into(), json_fault(typed, "this is not valid JSON", &error));
            None
        }
    }
}

/// The words for a typed text that is not JSON, where `invalid` says so. The parser has read the text without the white
/// space around it.
pub fn json_fault(typed: &str, invalid: &str, error: &serde_json::Error) -> String {
    let blank = &typed[..typed.len() - typed.trim_start().len()];
    let (line, column) = (error.line() + blank.matches('\n').count(), error.column());
    let before = if error.line() == 1 { blank.rsplit('\n').next().unwrap_or_default() } else { "" };
    let column = column + before.len();
    let what = if error.is_eof() { "this ends before its JSON is complete" } else { invalid };
    format!("{what}: see line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_is_no_json_has_the_position_of_its_fault() {
        for (typed, words) in [
            ("{", "this ends before its JSON is complete: see line 1, column 1"),
            ("\n\n  {", "this ends before its JSON is complete: see line 3, column 3"),
            ("{\r\n\"a\": [1,", "this ends before its JSON is complete: see line 2, column 8"),
            ("{'a': 1}", "this is not valid JSON: see line 1, column 2"),
            (" [1,]", "this is not valid JSON: see line 1, column 5"),
            ("1 2", "this is not valid JSON: see line 1, column 3"),
        ] {
            let mut errors = Errors::new();
            assert!(json(typed, JsonLimits::default(), &mut errors).is_none());
            assert_eq!(errors["payload"], words, "{typed:?}");
        }
    }
}
