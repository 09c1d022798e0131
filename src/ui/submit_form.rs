//! The fields of the submit form as they were typed, and the way from them to a submission, to JSON for
//! curl, and back from a job that is to run again.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::units::parse_duration;
use crate::engine::submission::BackoffFields;
use crate::engine::{FieldError, Submission};
use crate::job::{Job, JobId, Json, NewJob, RetryPolicy};

use super::assets::fnv1a;
use super::curl::Target;
use super::json_text;

/// Idempotency keys that the form made begin with this; people need not see them.
pub const FORM_KEY_PREFIX: &str = "form:";

/// Every field as text, so that nothing typed is lost when one of them is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // each is the field of the same name in `Submission`, or says otherwise
pub struct SubmitForm {
    pub kind: String,
    pub payload: String,
    pub queue: String,
    pub priority: String,
    /// A duration as people write it: `90s`, `5m`.
    pub delay: String,
    pub run_at: String,
    pub max_attempts: String,
    /// A duration: the bound of the first wait.
    pub backoff_base: String,
    /// A duration: the bound of every wait.
    pub backoff_cap: String,
    /// A duration.
    pub timeout: String,
    /// Separated by commas.
    pub tags: String,
    pub idempotency_key: String,
    /// Made with the page: a second sending of the same form makes no second job.
    pub token: String,
}

/// What is wrong, by the form's field; under `""` what belongs to none.
pub type Errors = BTreeMap<&'static str, String>;

impl SubmitForm {
    /// Gives the form its token unless it has one.
    pub fn with_token(mut self) -> Self {
        if self.token.is_empty() {
            self.token = JobId::generate().to_string();
        }
        self
    }

    /// The form that made this job: as it would be submitted once more, with the key that people gave it.
    pub fn as_made(job: &Job) -> Self {
        let key = job.spec.idempotency_key.as_ref().map(ToString::to_string);
        let given = key.filter(|key| !key.starts_with(FORM_KEY_PREFIX));
        SubmitForm { idempotency_key: given.unwrap_or_default(), ..SubmitForm::again(job) }
    }

    /// The form that would submit this job once more.
    pub fn again(job: &Job) -> Self {
        let default = RetryPolicy::default();
        let retry = job.spec.retry;
        let unless = |usual: bool, text: String| if usual { String::new() } else { text };
        let ms = |ms: u64| format!("{ms}ms");
        let tags: Vec<&str> = job.labels.tags.iter().map(|tag| tag.as_str()).collect();
        SubmitForm {
            kind: job.labels.kind.to_string(),
            payload: json_text::pretty(&job.spec.payload),
            queue: unless(job.labels.queue.as_str() == "default", job.labels.queue.to_string()),
            priority: unless(job.spec.priority == 0, job.spec.priority.to_string()),
            max_attempts: unless(
                retry.max_attempts == default.max_attempts,
                retry.max_attempts.to_string(),
            ),
            backoff_base: unless(
                retry.backoff.base_ms == default.backoff.base_ms,
                ms(retry.backoff.base_ms),
            ),
            backoff_cap: unless(
                retry.backoff.cap_ms == default.backoff.cap_ms,
                ms(retry.backoff.cap_ms),
            ),
            timeout: job.spec.timeout_ms.map(ms).unwrap_or_default(),
            tags: tags.join(", "),
            ..SubmitForm::default()
        }
    }

    /// Whether any of the folded options is filled in; the page then shows them.
    pub fn has_options(&self) -> bool {
        self.options().iter().any(|text| !text.trim().is_empty())
    }

    fn options(&self) -> [&str; 10] {
        [
            &self.queue,
            &self.priority,
            &self.delay,
            &self.run_at,
            &self.max_attempts,
            &self.backoff_base,
            &self.backoff_cap,
            &self.timeout,
            &self.tags,
            &self.idempotency_key,
        ]
    }

    /// Checks every field, those of the form's own shape and the rules of the submission, and makes
    /// the job.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn new_job(&self) -> Result<NewJob, Errors> {
        let mut errors = Errors::new();
        let job = self.read(&mut errors).into_new_job();
        for FieldError { field, message } in job.as_ref().err().into_iter().flatten() {
            errors.entry(form_field(field)).or_insert_with(|| message.clone());
        }
        match job {
            Ok(job) if errors.is_empty() => Ok(job),
            Ok(_) | Err(_) => Err(errors),
        }
    }

    fn read(&self, errors: &mut Errors) -> Submission {
        let base_ms = duration("backoff_base", &self.backoff_base, errors);
        let cap_ms = duration("backoff_cap", &self.backoff_cap, errors);
        let backoff = BackoffFields { base_ms, cap_ms };
        let tags: Vec<String> = self.tags.split(',').filter_map(filled).collect();
        Submission {
            kind: self.kind.trim().into(),
            payload: payload(&self.payload, errors),
            queue: filled(&self.queue),
            priority: number("priority", &self.priority, errors),
            delay_ms: duration("delay", &self.delay, errors),
            run_at: filled(&self.run_at),
            max_attempts: number("max_attempts", &self.max_attempts, errors),
            backoff: (base_ms.is_some() || cap_ms.is_some()).then_some(backoff),
            timeout_ms: duration("timeout", &self.timeout, errors),
            idempotency_key: filled(&self.idempotency_key).or_else(|| self.form_key()),
            tags: (!tags.is_empty()).then_some(tags),
        }
    }

    /// The token and the contents: the same form sent twice is one job, a changed one is another.
    fn form_key(&self) -> Option<String> {
        let contents =
            [self.kind.as_str(), self.payload.as_str()].into_iter().chain(self.options());
        let token = filled(&self.token)?;
        Some(format!("{FORM_KEY_PREFIX}{token}:{:016x}", fnv1a(contents)))
    }

    /// The same submission for a terminal.
    pub fn curl(&self, target: &Target) -> String {
        let json = self.json();
        let body = Json::parse(&json).as_ref().map(json_text::pretty).unwrap_or(json);
        target.curl(&body)
    }

    /// The submission as JSON, the payload as it was typed; fields that cannot be read are left out.
    fn json(&self) -> String {
        let read = self.read(&mut Errors::new());
        let typed = self.payload.trim();
        let payload = if typed.is_empty() { "null" } else { typed };
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

/// The form's field for a field of the API.
fn form_field(field: &'static str) -> &'static str {
    match field {
        "kind" | "payload" | "queue" | "priority" | "run_at" | "max_attempts"
        | "idempotency_key" | "tags" => field,
        "delay_ms" => "delay",
        "timeout_ms" => "timeout",
        "backoff" => "backoff_base",
        _ => "",
    }
}

fn field<T: serde::Serialize>(name: &str, value: &T) -> String {
    format!("\"{name}\": {}", serde_json::to_string(value).unwrap_or_default())
}

fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number<T: FromStr>(name: &'static str, text: &str, errors: &mut Errors) -> Option<T> {
    let text = filled(text)?;
    let number = text.parse().ok();
    if number.is_none() {
        errors.insert(name, format!("{text:?} is not a whole number"));
    }
    number
}

fn duration(name: &'static str, text: &str, errors: &mut Errors) -> Option<u64> {
    match parse_duration(&filled(text)?) {
        Ok(length) => Some(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
        Err(message) => {
            errors.insert(name, message);
            None
        }
    }
}

fn payload(text: &str, errors: &mut Errors) -> Option<Box<RawValue>> {
    // Browsers send line ends as CR LF; inside a JSON string neither can stand.
    let text = filled(text)?.replace("\r\n", "\n");
    match serde_json::from_str(&text) {
        Ok(raw) => Some(raw),
        Err(error) => {
            errors.insert("payload", format!("this is not JSON: {error}"));
            None
        }
    }
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
        let job = form.new_job().unwrap();
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
        let errors = form.new_job().unwrap_err();
        assert_eq!(
            errors.keys().copied().collect::<Vec<_>>(),
            ["payload", "priority", "queue", "timeout"]
        );
        assert!(errors["payload"].contains("line 1"), "{errors:?}");
    }

    #[test]
    fn the_same_form_has_the_same_key_and_a_changed_one_another() {
        let sent = form().with_token();
        let key = |form: &SubmitForm| {
            form.new_job().unwrap().spec.idempotency_key.clone().unwrap().to_string()
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
        let curl = form.curl(&Target::of(&HeaderMap::new()));
        assert!(curl.starts_with("curl http://127.0.0.1:8080/api/v1/jobs"), "{curl}");
        assert!(curl.contains(r#""text": "it'\''s""#), "{curl}");
        assert!(curl.contains("\"delay_ms\": 2000\n}'"), "{curl}");
    }
}
