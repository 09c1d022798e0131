//! The fields of a job as a page shows them: the choice of a kind, the inputs of its payload and the errors. The form for
//! a new job and the forms of schedules share them.

use axum::http::StatusCode;

use crate::engine::{KindInfo, PayloadError};
use crate::job::schema::Field;
use crate::job::{RetryPolicy, Schema};

use super::form_switch::SwitchedForm;
use super::form_value::{Errors, written};
use super::payload_form::{by_input, input_fields, schema_of};
use super::payload_input::Input;
use super::submit_form::{PAYLOAD_PREFIX, SubmitForm};
use crate::ui::layout::error::{UiError, sentence};

/// Up to this many inputs are all visible at once.
const ALL_SHOWN: usize = 6;

/// The fields of a job, as `templates/partials/_inputs.html` renders them.
pub struct JobFields {
    /// What was typed.
    pub form: SubmitForm,
    /// The kinds to choose from.
    pub kinds: Vec<KindChoice>,
    /// The description of the chosen kind.
    pub about: String,
    /// The errors by field.
    pub errors: Errors,
    /// The field that gets the focus: the first invalid one.
    pub focus: String,
    /// A note about how the payload is edited.
    pub note: String,
    /// The inputs that are always visible.
    pub inputs: Vec<Input>,
    /// The inputs that are folded away because they are optional and empty.
    pub more: Vec<Input>,
    /// Whether the payload can be edited by inputs.
    pub has_inputs: bool,
}

/// A kind to choose from, with its description.
pub struct KindChoice {
    /// The name of the kind.
    pub name: String,
    /// What its jobs do.
    pub about: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

impl JobFields {
    /// The fields of a form. `before` are the names of fields above them on the page, for the focus.
    pub fn of(
        kinds: &[&KindInfo],
        SwitchedForm { form, note }: SwitchedForm,
        errors: Errors,
        before: &[&str],
    ) -> JobFields {
        let chosen = find(kinds, &form.kind);
        let schema = schema_of(chosen);
        let edited = form.input_schema(schema);
        let fields = edited.and_then(|schema| input_fields(Some(schema))).unwrap_or_default();
        let wrong = |name: &str| errors.get(&format!("{PAYLOAD_PREFIX}{name}"));
        let input =
            |(n, field): (usize, &Field)| Input::new(n, field, &form.fields, wrong(&field.name));
        let inputs = (0..).zip(fields).map(input);
        let (inputs, more): (Vec<Input>, Vec<Input>) =
            inputs.partition(|input| fields.len() <= ALL_SHOWN || input.is_needed());
        JobFields {
            kinds: kinds.iter().map(|info| KindChoice::of(info, &form.kind)).collect(),
            about: chosen.map(|info| info.about.clone()).unwrap_or_default(),
            has_inputs: input_fields(schema).is_some(),
            focus: first_wrong(&errors, before, &inputs, &more),
            note,
            inputs,
            more,
            errors,
            form,
        }
    }

    /// Whether the form names a kind without a handler. The page keeps such a kind in the list.
    pub fn kind_is_unknown(&self) -> bool {
        !self.form.kind.is_empty() && !self.kinds.iter().any(|kind| kind.chosen)
    }

    /// The error of a field as a sentence; empty when the field is valid.
    pub fn wrong(&self, field: &str) -> String {
        self.errors.get(field).map(|message| sentence(message)).unwrap_or_default()
    }

    fn usual_retry(&self) -> RetryPolicy {
        RetryPolicy::default_for(self.form.kind.trim())
    }

    /// The number of attempts when the form does not say.
    pub fn usual_attempts(&self) -> String {
        self.usual_retry().max_attempts.to_string()
    }

    /// The initial backoff when the form does not say.
    pub fn usual_base(&self) -> String {
        written(self.usual_retry().backoff.base_ms)
    }

    /// The maximum backoff when the form does not say.
    pub fn usual_cap(&self) -> String {
        written(self.usual_retry().backoff.cap_ms)
    }

    /// The retry policy of the form as a sentence; empty when its fields are invalid.
    pub fn retry_budget(&self) -> String {
        let retry_alone = SubmitForm {
            kind: self.form.kind.clone(),
            max_attempts: self.form.max_attempts.clone(),
            backoff_base: self.form.backoff_base.clone(),
            backoff_cap: self.form.backoff_cap.clone(),
            ..SubmitForm::default()
        };
        let job = retry_alone.new_job(None).ok();
        job.map(|job| sentence(&job.spec.retry.to_string())).unwrap_or_default()
    }

    /// The number of fields that are marked as invalid.
    pub fn marked(&self) -> usize {
        self.errors.keys().filter(|field| !field.is_empty()).count()
    }

    /// Whether the fields other than the kind and the payload must be unfolded, because one is invalid or filled in.
    pub fn shows_options(&self) -> bool {
        let is_option = |field: &String| {
            !matches!(field.as_str(), "" | "kind" | "payload") && !field.starts_with(PAYLOAD_PREFIX)
        };
        self.errors.keys().any(is_option) || self.form.has_options()
    }
}

impl KindChoice {
    fn of(info: &KindInfo, chosen: &str) -> KindChoice {
        let name = info.kind.to_string();
        KindChoice { chosen: name == chosen, about: info.about.clone(), name }
    }
}

/// Looks up a kind by its name.
pub fn find<'a>(kinds: &[&'a KindInfo], name: &str) -> Option<&'a KindInfo> {
    kinds.iter().find(|info| info.kind.as_str() == name).copied()
}

/// The kind that a form begins with: one that needs no setup, or else any.
pub fn first<'a>(kinds: &[&'a KindInfo]) -> Option<&'a KindInfo> {
    find(kinds, "echo").or(kinds.first().copied())
}

/// Maps a refusal of the payload by the engine to the error of the field that caused it.
pub fn refused_payload(
    error: PayloadError,
    form: &SubmitForm,
    schema: Option<&Schema>,
) -> (StatusCode, Errors) {
    if let (PayloadError::Invalid { wrong, .. }, Some(fields)) =
        (&error, form.input_schema(schema).and_then(|schema| input_fields(Some(schema))))
    {
        let errors = wrong.iter().map(|wrong| {
            let (input, message) = by_input(fields, &wrong.field, wrong.message.clone());
            let prefix = if input.is_empty() { "" } else { PAYLOAD_PREFIX };
            (format!("{prefix}{input}"), message)
        });
        return (StatusCode::UNPROCESSABLE_ENTITY, errors.collect());
    }
    let field = match error {
        PayloadError::UnknownKind { .. } => "kind",
        PayloadError::Invalid { .. }
        | PayloadError::TooLarge { .. }
        | PayloadError::TooComplex { .. } => {
            if form.input_schema(schema).is_some() {
                ""
            } else {
                "payload"
            }
        }
    };
    let shown = UiError::from(error);
    if field.is_empty() {
        return refused(shown);
    }
    (shown.status, Errors::from([(field.to_owned(), shown.message)]))
}

/// A refusal that belongs to no field.
pub fn refused(error: UiError) -> (StatusCode, Errors) {
    let message = format!("{}. {} {}", error.title, error.message, error.advice);
    (error.status, Errors::from([(String::new(), message)]))
}

/// The first invalid field, in the order of the page.
fn first_wrong(errors: &Errors, before: &[&str], inputs: &[Input], more: &[Input]) -> String {
    const OPTIONS: [&str; 12] = [
        "max_late",
        "queue",
        "priority",
        "delay",
        "at",
        "zone",
        "max_attempts",
        "timeout",
        "backoff_base",
        "backoff_cap",
        "tags",
        "idempotency_key",
    ];
    let inputs = inputs.iter().chain(more).map(|input| input.name.as_str());
    let before = before.iter().copied();
    let mut order = before.chain(["kind", "payload"]).chain(inputs).chain(OPTIONS);
    order.find(|name| errors.contains_key(*name)).unwrap_or_default().to_owned()
}
