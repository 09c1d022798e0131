//! The fields of a job as a page shows them: the choice of a kind, the inputs of its payload and the errors. The form for
//! a new job and the forms of schedules share them.

use axum::http::StatusCode;

use crate::engine::{KindInfo, Kinds, KnownKind, PayloadError};
use crate::job::schema::Field;
use crate::job::{Kind, KindDefaults, RetryPolicy, Schema};

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
    /// What applies where the form does not say.
    defaults: KindDefaults,
    /// The retry policy of the form as a sentence; empty when its fields are invalid.
    pub retry_budget: String,
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
        kinds: &Kinds,
        SwitchedForm { form, note }: SwitchedForm,
        errors: Errors,
        before: &[&str],
    ) -> JobFields {
        let chosen = find(kinds, &form.kind);
        let schema = schema_of(chosen.as_ref());
        let edited = form.input_schema(schema);
        let fields = edited.and_then(|schema| input_fields(Some(schema))).unwrap_or_default();
        let wrong = |name: &str| errors.get(&format!("{PAYLOAD_PREFIX}{name}"));
        let input =
            |(n, field): (usize, &Field)| Input::new(n, field, &form.fields, wrong(&field.name));
        let inputs = (0..).zip(fields).map(input);
        let (inputs, more): (Vec<Input>, Vec<Input>) =
            inputs.partition(|input| fields.len() <= ALL_SHOWN || input.is_needed());
        JobFields {
            kinds: kinds.all().into_iter().map(|kind| KindChoice::of(kind, &form.kind)).collect(),
            has_inputs: input_fields(schema).is_some(),
            about: chosen.map(|info| info.about).unwrap_or_default(),
            defaults: defaults(kinds, &form),
            retry_budget: retry_budget(kinds, &form),
            focus: first_wrong(&errors, before, &inputs, &more),
            note,
            inputs,
            more,
            errors,
            form,
        }
    }

    /// Whether the form names an unknown kind. The page keeps such a kind in the list.
    pub fn kind_is_unknown(&self) -> bool {
        !self.form.kind.is_empty() && !self.kinds.iter().any(|kind| kind.chosen)
    }

    /// The error of a field as a sentence; empty when the field is valid.
    pub fn wrong(&self, field: &str) -> String {
        self.errors.get(field).map(|message| sentence(message)).unwrap_or_default()
    }

    /// The queue when the form does not say.
    pub fn usual_queue(&self) -> String {
        self.defaults.queue().to_string()
    }

    /// The timeout when the form does not say.
    pub fn usual_timeout(&self) -> String {
        self.defaults.timeout_ms.map_or_else(|| "the server’s default".into(), written)
    }

    fn usual_retry(&self) -> RetryPolicy {
        self.defaults.retry(self.form.kind.trim())
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
    fn of(known: KnownKind, chosen: &str) -> KindChoice {
        let name = known.info.kind.to_string();
        KindChoice { chosen: name == chosen, about: known.info.about, name }
    }
}

/// What applies where a form does not say.
fn defaults(kinds: &Kinds, form: &SubmitForm) -> KindDefaults {
    let kind = Kind::stored(form.kind.trim());
    kind.map(|kind| kinds.defaults(&kind)).unwrap_or_default()
}

/// The retry policy of a form as a sentence; empty when its fields are invalid.
fn retry_budget(kinds: &Kinds, form: &SubmitForm) -> String {
    let retry_alone = SubmitForm {
        kind: form.kind.clone(),
        max_attempts: form.max_attempts.clone(),
        backoff_base: form.backoff_base.clone(),
        backoff_cap: form.backoff_cap.clone(),
        ..SubmitForm::default()
    };
    let job = retry_alone.new_job(None, kinds).ok();
    job.map(|job| sentence(&job.spec.retry.to_string())).unwrap_or_default()
}

/// Looks up a kind by its name.
pub fn find(kinds: &Kinds, name: &str) -> Option<KindInfo> {
    let kind = Kind::stored(name).ok()?;
    Some(kinds.find(&kind)?.info)
}

/// The kind that a form begins with: one that needs no setup, or else any.
pub fn first(kinds: &Kinds) -> Option<KindInfo> {
    let any = || kinds.names().first().and_then(|kind| kinds.find(kind));
    find(kinds, "echo").or_else(|| Some(any()?.info))
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
