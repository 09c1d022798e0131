//! The fields that the forms of jobs and schedules send, and the check of the inputs of a payload.

use crate::http::Problem;
use crate::job::fields::{REPEATED, unknown};
use crate::job::schema::{Field, Shape};
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};
use crate::job::{FieldErrors, Schema};

use super::form_value::Pairs;
use super::payload_form::input_fields;
use super::submit_form::{PAYLOAD_PREFIX, SubmitForm};
use crate::ui::layout::form_fields::{Accepts, Choices};

const VIEW: Choices = ("view", &["fields", "json"]);
const TO: Choices = ("to", &["fields", "json"]);
const WHEN: Choices = ("when", &["now", "in", "at"]);
const OVERLAP: Choices = ("overlap", &["allow", "skip"]);
const REPEAT: Choices = ("repeat", &["minutes", "hours", "daily", "weekdays", "weekly", "monthly"]);

/// Names a form's type and lists its fields: those that the forms of jobs and schedules share, and its own.
macro_rules! form {
    ($(#[$about:meta])* $form:ident, [$($own:literal),*], [$($choices:ident),*]) => {
        $(#[$about])*
        pub struct $form;

        impl Accepts for $form {
            const ONCE: &'static [&'static str] = &[
                "kind", "payload", "view", "shown", "queue", "priority", "max_attempts", "backoff_base",
                "backoff_cap", "timeout", "tags", "zone", $($own),*
            ];
            const CHOICES: &'static [Choices] = &[VIEW, $($choices),*];
            const INPUTS: Option<&'static str> = Some(PAYLOAD_PREFIX);
        }
    };
}

form!(
    /// The form of a new job.
    JobForm, ["when", "delay", "at", "idempotency_key", "token"], [WHEN]
);
form!(
    /// The form of a new job that is rendered again, perhaps in another view.
    JobRedrawForm, ["when", "delay", "at", "idempotency_key", "token", "to"], [WHEN, TO]
);
form!(
    /// The form of a schedule.
    ScheduleSaveForm, ["name", "cron", "overlap", "max_late", "repeat", "repeat_minutes", "repeat_hours", "repeat_minute",
    "repeat_times", "repeat_weekday", "repeat_day", "repeat_built"], [OVERLAP, REPEAT]
);
form!(
    /// The form of a schedule that is rendered again, perhaps in another view.
    ScheduleRedrawForm, ["name", "cron", "overlap", "max_late", "to", "repeat", "repeat_minutes", "repeat_hours", "repeat_minute",
    "repeat_times", "repeat_weekday", "repeat_day", "repeat_built"], [OVERLAP, TO, REPEAT]
);

form!(
    /// The form of a new schedule that is rendered again, or that a form of a new job becomes: its start, token and key
    /// are left out.
    NewScheduleForm,
    ["name", "cron", "overlap", "max_late", "to", "when", "delay", "at", "idempotency_key", "token", "repeat",
    "repeat_minutes", "repeat_hours", "repeat_minute", "repeat_times", "repeat_weekday", "repeat_day", "repeat_built"],
    [OVERLAP, TO, WHEN, REPEAT]
);

/// Checks that the inputs of a payload are those of the schema, that each of them is sent once, and that the payload is
/// not also sent as JSON.
///
/// # Errors
/// The fields that would be ignored.
pub fn check_inputs(
    form: &SubmitForm,
    schema: Option<&Schema>,
    pairs: &Pairs,
) -> Result<(), Problem> {
    let edited = form.input_schema(schema);
    let fields = edited.and_then(|schema| input_fields(Some(schema))).unwrap_or_default();
    let mut errors = FieldErrors::default();
    if edited.is_some() && !form.payload.trim().is_empty() {
        errors.add("payload", "cannot be sent together with the fields of the payload");
    }
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (name, value) in pairs {
        let Some(property) = name.strip_prefix(PAYLOAD_PREFIX) else { continue };
        match fields.iter().find(|field| field.name == property) {
            None => errors.add(shorten(name, MAX_NAME), unknown_input(fields)),
            Some(field) if !may_follow(field, property, &seen, value) => {
                errors.add(shorten(name, MAX_NAME), REPEATED);
            }
            Some(_) => {}
        }
        seen.push((property, value));
        if errors.len() > 2 * MAX_ERRORS {
            break; // the answer lists fewer
        }
    }
    errors.finish(()).map_err(Problem::invalid_fields)
}

/// Whether an input may be sent after earlier ones: once, except that a checkbox that is checked also sends the value
/// that it has when it is not checked.
fn may_follow(field: &Field, property: &str, seen: &[(&str, &str)], value: &str) -> bool {
    let earlier: Vec<&str> =
        seen.iter().filter(|(name, _)| *name == property).map(|(_, value)| *value).collect();
    match earlier.as_slice() {
        [] => true,
        [off] => matches!(field.shape, Shape::Boolean) && *off != value && *off != "true",
        [_, _, ..] => false,
    }
}

fn unknown_input(fields: &[Field]) -> String {
    if fields.is_empty() {
        return "is not known; the payload of this form is JSON".to_owned();
    }
    let names: Vec<String> =
        fields.iter().map(|field| format!("{PAYLOAD_PREFIX}{}", field.name)).collect();
    unknown(&names.iter().map(String::as_str).collect::<Vec<_>>())
}
