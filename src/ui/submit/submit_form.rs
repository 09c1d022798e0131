//! The fields of the submit form as they were typed, with the conversions to a submission and to JSON for curl,
//! and from an existing job.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::config::units::parse_duration;
use crate::engine::submission::{ATTEMPTS, BackoffFields, PRIORITY};
use crate::engine::{FieldError, Kinds, Submission};
use crate::job::secret::without_secrets;
use crate::job::shorten::MAX_NAME;
use crate::job::{Job, JobId, Json, JsonLimits, Labels, NewJob, Schema, Spec, Time, stable_hash};

use super::form_value::{
    Errors, cut, cut_list, cut_payload, duration, filled, form_field, json, number, written,
};
use super::payload_form::{self, InputTexts, input_fields};
use super::start_at::{self, ResolvedTime, StartChoice, StartError};
use crate::ui::parts::curl;
use crate::ui::parts::curl::CurlTarget;
use crate::ui::parts::json_text;

/// The prefix of idempotency keys that the form generates. Pages do not show such keys.
pub const FORM_KEY_PREFIX: &str = "form:";
/// The prefix of the names of payload inputs; the property follows.
pub const PAYLOAD_PREFIX: &str = "payload.";

/// The form. Every field is text, so that nothing typed is lost when a field is invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each is the field of the same name in `Submission`, or says otherwise
pub struct SubmitForm {
    pub kind: String,
    /// The payload, when it is edited as JSON.
    pub payload: String,
    /// The inputs of the payload, when it is edited by inputs.
    pub fields: InputTexts,
    /// `fields` or `json`; without either, the fields that are present decide how the payload is edited.
    pub view: String,
    /// The kind whose inputs were shown; another one may have been chosen since.
    pub shown: String,
    pub queue: String,
    pub priority: String,
    /// `now`, `in` or `at`; without any of them, the field that is filled in decides.
    pub when: String,
    /// A duration as people write it: `90s`, `5m`.
    pub delay: String,
    /// A date and a time of day, `2026-11-23T08:00`.
    pub at: String,
    /// The time zone of `at`: `UTC`, `+02:00`, `Europe/Zurich`.
    pub zone: String,
    pub max_attempts: String,
    /// The base of the backoff, as a duration.
    pub backoff_base: String,
    /// The cap of the backoff, as a duration.
    pub backoff_cap: String,
    /// The timeout of an attempt, as a duration.
    pub timeout: String,
    /// The tags, separated by commas.
    pub tags: String,
    pub idempotency_key: String,
    /// Generated with the page, so that submitting the same form twice creates one job.
    pub token: String,
    /// The limits of the payload.
    pub limits: JsonLimits,
}

impl SubmitForm {
    /// Parses the pairs of a form or a query string and ignores unknown names. `run_at=2026-11-23T08:00:00Z` fills
    /// in date, time and zone.
    pub fn of(pairs: &[(String, String)]) -> SubmitForm {
        let mut form = SubmitForm::default();
        for (name, value) in pairs {
            match name.strip_prefix(PAYLOAD_PREFIX) {
                // A checked checkbox sends two values; the later one counts.
                Some(property) => drop(form.fields.insert(property.to_owned(), value.clone())),
                None => form.set(name, value),
            }
        }
        form
    }

    /// Sets the limits of the payload.
    pub fn within(self, limits: JsonLimits) -> Self {
        SubmitForm { limits, ..self }
    }

    /// Sets a field; an unknown name is ignored.
    pub fn set(&mut self, name: &str, value: &str) {
        let field = match name {
            "kind" => &mut self.kind,
            "payload" => &mut self.payload,
            "view" => &mut self.view,
            "shown" => &mut self.shown,
            "queue" => &mut self.queue,
            "priority" => &mut self.priority,
            "when" => &mut self.when,
            "delay" => &mut self.delay,
            "at" => &mut self.at,
            "zone" => &mut self.zone,
            "run_at" => return self.start_at(value),
            "max_attempts" => &mut self.max_attempts,
            "backoff_base" => &mut self.backoff_base,
            "backoff_cap" => &mut self.backoff_cap,
            "timeout" => &mut self.timeout,
            "tags" => &mut self.tags,
            "idempotency_key" => &mut self.idempotency_key,
            "token" => &mut self.token,
            _ => return,
        };
        value.clone_into(field);
    }

    fn start_at(&mut self, text: &str) {
        let moment = text.parse::<Time>().ok();
        self.at = moment.map_or_else(|| text.to_owned(), start_at::in_utc);
        self.zone = "UTC".into();
    }

    /// The form as a page repeats it, with texts cut that are longer than any field accepts.
    pub fn shown(mut self, max_payload: usize) -> SubmitForm {
        let typed = self.fields.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
        if typed > max_payload {
            self.fields.retain(|name, _| name.len() <= MAX_NAME);
            cut(self.fields.values_mut());
        }
        cut_payload(&mut self.payload, max_payload);
        cut_list(&mut self.tags);
        cut([
            &mut self.kind,
            &mut self.view,
            &mut self.shown,
            &mut self.queue,
            &mut self.priority,
            &mut self.when,
            &mut self.delay,
            &mut self.at,
            &mut self.zone,
            &mut self.max_attempts,
            &mut self.backoff_base,
            &mut self.backoff_cap,
            &mut self.timeout,
            &mut self.idempotency_key,
            &mut self.token,
        ]);
        self
    }

    /// The bytes of everything typed; the cost of parsing the form grows with it.
    pub fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(name, text)| name.len() + text.len());
        let options = self.options().iter().map(|text| text.len()).sum::<usize>();
        self.kind.len() + self.payload.len() + options + fields.sum::<usize>()
    }

    /// Generates the token of the form unless it has one.
    pub fn with_token(mut self) -> Self {
        if self.token.is_empty() {
            self.token = JobId::generate().to_string();
        }
        self
    }

    /// The form that would create this job, including an idempotency key that people gave it.
    pub fn of_job(job: &Job, kinds: &Kinds) -> Self {
        let key = job.spec.idempotency_key.as_ref().map(ToString::to_string);
        let given = key.filter(|key| !key.starts_with(FORM_KEY_PREFIX));
        SubmitForm {
            idempotency_key: given.unwrap_or_default(),
            ..SubmitForm::resubmitting(job, kinds)
        }
    }

    /// The form that would submit this job again.
    pub fn resubmitting(job: &Job, kinds: &Kinds) -> Self {
        SubmitForm::of_spec(&job.labels, &job.spec, kinds)
    }

    /// The form of a job with these labels and this spec; options with their default value are left empty.
    pub fn of_spec(labels: &Labels, spec: &Spec, kinds: &Kinds) -> Self {
        let defaults = kinds.defaults(&labels.kind);
        let (retry, usual) = (spec.retry, defaults.retry(labels.kind.as_str()));
        let unless = |is_usual: bool, text: String| if is_usual { String::new() } else { text };
        let (backoff, usual_backoff) = (retry.backoff, usual.backoff);
        let tags: Vec<&str> = labels.tags.iter().map(|tag| tag.as_str()).collect();
        SubmitForm {
            kind: labels.kind.to_string(),
            payload: json_text::editable(&without_secrets(&labels.kind, &spec.payload)),
            queue: unless(labels.queue == defaults.queue(), labels.queue.to_string()),
            priority: unless(spec.priority == 0, spec.priority.to_string()),
            max_attempts: unless(
                retry.max_attempts == usual.max_attempts,
                retry.max_attempts.to_string(),
            ),
            backoff_base: unless(
                backoff.base_ms == usual_backoff.base_ms,
                written(backoff.base_ms),
            ),
            backoff_cap: unless(backoff.cap_ms == usual_backoff.cap_ms, written(backoff.cap_ms)),
            timeout: unless(
                spec.timeout_ms == defaults.timeout_ms,
                spec.timeout_ms.map(written).unwrap_or_default(),
            ),
            tags: tags.join(", "),
            ..SubmitForm::default()
        }
    }

    /// Whether any option is filled in, so that the page must unfold the options.
    pub fn has_options(&self) -> bool {
        self.options().iter().any(|text| !text.trim().is_empty())
    }

    fn options(&self) -> [&str; 10] {
        [
            &self.queue,
            &self.priority,
            &self.delay,
            &self.at,
            &self.max_attempts,
            &self.backoff_base,
            &self.backoff_cap,
            &self.timeout,
            &self.tags,
            &self.idempotency_key,
        ]
    }

    /// The schema, when the payload is edited by its inputs.
    pub fn input_schema<'a>(&self, schema: Option<&'a Schema>) -> Option<&'a Schema> {
        let by_fields = match self.view.as_str() {
            "fields" => true,
            "json" => false,
            _ => !self.fields.is_empty() || self.payload.trim().is_empty(),
        };
        schema.filter(|_| by_fields && input_fields(schema).is_some())
    }

    /// Validates every field, the payload and the rules of a submission, and builds the job with the defaults of its kind.
    ///
    /// # Errors
    /// The errors by field.
    pub fn new_job(&self, schema: Option<&Schema>, kinds: &Kinds) -> Result<NewJob, Errors> {
        let mut errors = Errors::new();
        let job = self.read(schema, &mut errors).into_new_job(kinds);
        for FieldError { field, message } in job.as_ref().err().into_iter().flatten() {
            errors.entry(form_field(field).into()).or_insert_with(|| message.clone());
        }
        match job {
            Ok(job) if errors.is_empty() => Ok(job),
            Ok(_) | Err(_) => Err(errors),
        }
    }

    /// Parses every field and adds the errors; invalid fields are left out.
    pub fn read(&self, schema: Option<&Schema>, errors: &mut Errors) -> Submission {
        let base_ms = duration("backoff_base", &self.backoff_base, errors);
        let cap_ms = duration("backoff_cap", &self.backoff_cap, errors);
        let backoff = BackoffFields { base_ms, cap_ms };
        let tags: Vec<String> = self.tags.split(',').filter_map(filled).collect();
        let payload = self.payload(schema, errors);
        let key = filled(&self.idempotency_key);
        let key = key.or_else(|| self.form_key(payload.as_deref().map(RawValue::get)));
        let (delay_ms, run_at) = self.start(errors);
        let attempts = number("max_attempts", &self.max_attempts, ATTEMPTS, errors);
        Submission {
            kind: self.kind.trim().into(),
            payload,
            queue: filled(&self.queue),
            priority: number("priority", &self.priority, PRIORITY, errors),
            delay_ms,
            run_at: run_at.map(|resolved| resolved.rfc3339),
            max_attempts: attempts.and_then(|number| u64::try_from(number).ok()),
            backoff: (base_ms.is_some() || cap_ms.is_some()).then_some(backoff),
            timeout_ms: duration("timeout", &self.timeout, errors),
            idempotency_key: key,
            tags: (!tags.is_empty()).then_some(tags),
        }
    }

    /// Parses the payload. With inputs, each error belongs to its property; with JSON, all errors belong to one field.
    fn payload(&self, schema: Option<&Schema>, errors: &mut Errors) -> Option<Box<RawValue>> {
        if let Some(schema) = self.input_schema(schema) {
            let made = payload_form::parse_inputs(schema, &self.fields);
            for (property, message) in made.wrong {
                let field = if property.is_empty() { "" } else { PAYLOAD_PREFIX };
                errors.insert(format!("{field}{property}"), message);
            }
            if let Err(why) = self.limits.check(&made.payload) {
                errors.insert(String::new(), format!("the payload is not accepted: {why}"));
            }
            return RawValue::from_string(made.payload).ok();
        }
        let payload = json(&self.payload, self.limits, errors);
        if errors.contains_key("payload") {
            return payload;
        }
        let given = payload.clone().map_or_else(Json::null, Json::from);
        let wrong = schema.map(|schema| schema.check(&given)).unwrap_or_default();
        if !wrong.is_empty() {
            let messages = wrong.iter().map(|wrong| match wrong.field.as_str() {
                "" => wrong.message.clone(),
                field => format!("{field}: {}", wrong.message),
            });
            errors.insert("payload".into(), messages.collect::<Vec<String>>().join("; "));
        }
        payload
    }

    /// The chosen kind of start.
    pub fn starts(&self) -> StartChoice {
        let is_filled = |text: &str| !text.trim().is_empty();
        StartChoice::parse(&self.when).unwrap_or(
            match (is_filled(&self.at), is_filled(&self.delay)) {
                (true, _) => StartChoice::At,
                (false, true) => StartChoice::In,
                (false, false) => StartChoice::Now,
            },
        )
    }

    /// The time of a start at a given time; `None` when another start is chosen or the fields are invalid.
    pub fn starts_at(&self) -> Option<ResolvedTime> {
        let chosen = self.starts() == StartChoice::At;
        start_at::resolve(&self.at, &self.zone).ok().filter(|_| chosen)
    }

    /// The delay; `None` when another start is chosen or the field is invalid.
    pub fn starts_in(&self) -> Option<std::time::Duration> {
        let chosen = self.starts() == StartChoice::In;
        parse_duration(&self.delay).ok().filter(|_| chosen)
    }

    /// Reports fields that contradict the chosen start, because they must not be ignored silently.
    fn start(&self, errors: &mut Errors) -> (Option<u64>, Option<ResolvedTime>) {
        let chosen = self.starts();
        let ways = [(StartChoice::In, "delay", &self.delay), (StartChoice::At, "at", &self.at)];
        for (way, field, text) in ways {
            if way != chosen && !text.trim().is_empty() {
                let message =
                    format!("another start is selected: select “{way}”, or clear this field");
                errors.insert(field.into(), message);
            }
            if way == chosen && text.trim().is_empty() {
                errors.insert(field.into(), "a value is required".into());
                return (None, None);
            }
        }
        match chosen {
            StartChoice::Now => (None, None),
            StartChoice::In => (duration("delay", &self.delay, errors), None),
            StartChoice::At => match start_at::resolve(&self.at, &self.zone) {
                Ok(resolved) => (None, Some(resolved)),
                Err(StartError::At(message)) => {
                    errors.insert("at".into(), message);
                    (None, None)
                }
                Err(StartError::Zone(message)) => {
                    errors.insert("zone".into(), message);
                    (None, None)
                }
            },
        }
    }

    /// The idempotency key: a hash of the token and the contents, so that resubmitting a form creates no second job
    /// while a changed form does.
    fn form_key(&self, payload: Option<&str>) -> Option<String> {
        let zone = if self.at.is_empty() { "" } else { &self.zone };
        let contents = [self.kind.as_str(), payload.unwrap_or_default(), zone];
        let token = filled(&self.token)?;
        let hash = stable_hash(contents.into_iter().chain(self.options()));
        Some(format!("{FORM_KEY_PREFIX}{token}:{hash:016x}"))
    }

    /// The submission as a curl command.
    pub fn curl(&self, target: &CurlTarget, schema: Option<&Schema>) -> String {
        let json = self.json(schema);
        if json.len() > curl::MAX_BODY {
            return target.submission(&json);
        }
        let body = Json::parse(&json).as_ref().map(json_text::editable).unwrap_or(json);
        target.submission(&body)
    }

    /// The submission as JSON with the payload as it was typed; invalid fields are left out.
    fn json(&self, schema: Option<&Schema>) -> String {
        let read = self.read(schema, &mut Errors::new());
        let typed = self.payload.trim();
        let payload = match (&read.payload, typed.is_empty()) {
            (Some(raw), _) => raw.get(),
            (None, false) => typed,
            (None, true) => "null",
        };
        let mut fields = vec![field("kind", &read.kind), format!("\"payload\": {payload}")];
        fields.extend(read.queue.map(|queue| field("queue", &queue)));
        fields.extend(read.priority.map(|priority| field("priority", &priority)));
        fields.extend(read.delay_ms.map(|delay| field("delay_ms", &delay)));
        fields.extend(read.run_at.map(|at| field("run_at", &at)));
        fields.extend(read.max_attempts.map(|most| field("max_attempts", &most)));
        fields.extend(read.backoff.map(|backoff| {
            let bounds: BTreeMap<&str, u64> =
                [("base_ms", backoff.base_ms), ("cap_ms", backoff.cap_ms)]
                    .into_iter()
                    .filter_map(|(name, ms)| Some((name, ms?)))
                    .collect();
            field("backoff", &bounds)
        }));
        fields.extend(read.timeout_ms.map(|timeout| field("timeout_ms", &timeout)));
        fields.extend(filled(&self.idempotency_key).map(|key| field("idempotency_key", &key)));
        fields.extend(read.tags.map(|tags| field("tags", &tags)));
        format!("{{{}}}", fields.join(", "))
    }
}

fn field<T: serde::Serialize>(name: &str, value: &T) -> String {
    format!("\"{name}\": {}", serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderMap;

    use super::*;
    use crate::job::Start;

    fn form() -> SubmitForm {
        SubmitForm {
            kind: "echo".into(),
            payload: r#"{"n":12345678901234567890}"#.into(),
            ..SubmitForm::default()
        }
    }

    #[test]
    fn a_form_becomes_a_job() {
        let form = SubmitForm {
            delay: "1m 30s".into(),
            priority: "-3".into(),
            tags: " a, b ,".into(),
            ..form()
        };
        let job = form.new_job(None, &Kinds::default()).unwrap();
        assert_eq!(job.start, Start::After(Duration::from_secs(90)));
        assert_eq!(job.spec.priority, -3);
        assert_eq!(job.spec.payload.as_str(), r#"{"n":12345678901234567890}"#);
        let tags: Vec<&str> = job.labels.tags.iter().map(|tag| tag.as_str()).collect();
        assert_eq!((tags, job.labels.queue.as_str()), (vec!["a", "b"], "default"));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let form = SubmitForm {
            payload: "{".into(),
            priority: "high".into(),
            timeout: "soon".into(),
            queue: "two words".into(),
            ..form()
        };
        let errors = form.new_job(None, &Kinds::default()).unwrap_err();
        assert_eq!(errors.keys().collect::<Vec<_>>(), ["payload", "priority", "queue", "timeout"]);
        assert!(errors["payload"].contains("line 1"), "{errors:?}");
    }

    #[test]
    fn the_same_form_has_the_same_key_and_a_changed_one_another() {
        let sent = form().with_token();
        let key = |form: &SubmitForm| {
            form.new_job(None, &Kinds::default())
                .unwrap()
                .spec
                .idempotency_key
                .clone()
                .unwrap()
                .to_string()
        };
        assert_eq!(key(&sent), key(&sent.clone()));
        assert_ne!(key(&sent), key(&SubmitForm { queue: "mail".into(), ..sent.clone() }));
        assert_ne!(key(&sent), key(&form().with_token()));
        let own = SubmitForm { idempotency_key: "mine".into(), ..sent };
        assert_eq!(key(&own), "mine");
    }

    #[test]
    fn curl_sends_the_same_and_survives_a_quote() {
        let form =
            SubmitForm { payload: r#"{"text":"it's"}"#.into(), delay: "2s".into(), ..form() };
        let curl = form.curl(&CurlTarget::of(&HeaderMap::new(), &Default::default(), None), None);
        assert!(curl.starts_with("curl http://127.0.0.1:8080/api/v1/jobs"), "{curl}");
        assert!(curl.contains(r#""text": "it'\''s""#), "{curl}");
        assert!(curl.contains("\"delay_ms\": 2000\n}'"), "{curl}");
    }
}
