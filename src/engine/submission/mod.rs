//! A job as people and programs submit it, parsed once into a [`NewJob`]. The JSON API, the forms and the command
//! line share it.

pub(super) mod declared_schedules;
pub mod kind;
pub mod schedule;

use std::time::Duration;

use serde_json::value::RawValue;

use crate::engine::Kinds;
pub use crate::job::FieldError;
use crate::job::limits::base_exceeds_cap;
pub use crate::job::limits::{
    ATTEMPTS, BACKOFF_MS, DELAY_MS, MAX_ATTEMPTS, MAX_DELAY_MS, MAX_TAGS, MAX_WAIT_MS, PRIORITY,
    TIMEOUT_MS,
};
use crate::job::{
    Backoff, FieldErrors, Fields, IdempotencyKey, JobId, Json, Kind, Labels, NewJob,
    OmittedOptions, QueueName, RetryPolicy, Spec, Start, Tag, Time,
};

/// A job as submitted. Only `kind` is required.
#[derive(Debug, Default)]
pub struct Submission {
    /// The kind, which selects the handler.
    pub kind: String,
    /// The input of the handler; `null` by default.
    pub payload: Option<Box<RawValue>>,
    /// The queue; by default that of the kind, or else `default`.
    pub queue: Option<String>,
    /// The priority from -32768 to 32767; jobs with higher numbers run first. 0 by default.
    pub priority: Option<i64>,
    /// The delay before the job is due, in milliseconds. Cannot be combined with `run_at`.
    pub delay_ms: Option<u64>,
    /// When the job is due, as an RFC 3339 timestamp. Cannot be combined with `delay_ms`.
    pub run_at: Option<String>,
    /// The most attempts, from 1 to 1000; by default those of the kind, or else as in [`Kind::default_retry`].
    pub max_attempts: Option<u64>,
    /// The backoff between attempts; by default that of the kind, or else as in [`Kind::default_retry`].
    pub backoff: Option<BackoffFields>,
    /// The timeout of one attempt, in milliseconds; by default that of the kind, or else of the server.
    pub timeout_ms: Option<u64>,
    /// Submissions with the same key create only one job.
    pub idempotency_key: Option<String>,
    /// Tags by which the job can be found.
    pub tags: Option<Vec<String>>,
}

/// The backoff between attempts, as submitted.
#[derive(Debug, Default, Clone)]
pub struct BackoffFields {
    /// The upper bound of the first delay, in milliseconds.
    pub base_ms: Option<u64>,
    /// The upper bound of all delays, in milliseconds.
    pub cap_ms: Option<u64>,
}

impl Submission {
    /// Reads a submission from JSON and creates the job with a new id. What it does not say is the default of its kind.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn parse(json: &str, kinds: &Kinds) -> Result<NewJob, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let Some(mut fields) = Fields::read("", json, &mut errors) else {
            return Err(errors.into_errors());
        };
        let mut submission = Submission::of_template(&mut fields, &mut errors);
        submission.delay_ms = milliseconds(fields.integer("delay_ms", DELAY_MS, &mut errors));
        submission.run_at = fields.text("run_at", &mut errors).map(Into::into);
        submission.idempotency_key = fields.text("idempotency_key", &mut errors).map(Into::into);
        fields.finish(&mut errors);
        submission.checked(kinds, errors)
    }

    /// Reads the fields that a job and the jobs of a schedule have in common.
    pub(super) fn of_template(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Submission {
        Submission {
            kind: fields.required_text("kind", errors).unwrap_or_default().into(),
            payload: fields.raw("payload").map(ToOwned::to_owned),
            queue: fields.text("queue", errors).map(Into::into),
            priority: fields.integer("priority", PRIORITY, errors),
            max_attempts: milliseconds(fields.integer("max_attempts", ATTEMPTS, errors)),
            backoff: fields.object("backoff", errors).map(|fields| backoff(fields, errors)),
            timeout_ms: milliseconds(fields.integer("timeout_ms", TIMEOUT_MS, errors)),
            tags: fields
                .texts("tags", errors)
                .map(|tags| tags.into_iter().map(Into::into).collect()),
            ..Submission::default()
        }
    }

    /// Validates all fields and creates the job with a new id, as [`Submission::parse`] does.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn into_new_job(self, kinds: &Kinds) -> Result<NewJob, Vec<FieldError>> {
        self.checked(kinds, FieldErrors::default())
    }

    /// Validates all fields. Those that have an error already are not described twice.
    pub(super) fn checked(
        self,
        kinds: &Kinds,
        mut errors: FieldErrors,
    ) -> Result<NewJob, Vec<FieldError>> {
        let kind = errors.take("kind", Kind::parse(&self.kind));
        let defaults = kind.as_ref().map(|kind| kinds.defaults(kind)).unwrap_or_default();
        let queue = match &self.queue {
            Some(queue) => errors.take("queue", QueueName::parse(queue)),
            None => Some(defaults.queue()),
        };
        let tags = tags(self.tags.unwrap_or_default(), &mut errors);
        let key = self.idempotency_key.as_deref();
        let key = key.and_then(|key| errors.take("idempotency_key", IdempotencyKey::parse(key)));
        let start = start(self.delay_ms, self.run_at.as_deref(), &mut errors);
        let usual = defaults.retry(&self.kind);
        let backoff = self.backoff.unwrap_or_default();
        let omitted = OmittedOptions {
            queue: self.queue.is_none(),
            max_attempts: self.max_attempts.is_none(),
            backoff_base: backoff.base_ms.is_none(),
            backoff_cap: backoff.cap_ms.is_none(),
            timeout: self.timeout_ms.is_none(),
        };
        let retry = retry(usual, self.max_attempts, backoff, &mut errors);
        if let Some(ms) = self.timeout_ms {
            errors.take("timeout_ms", TIMEOUT_MS.check(ms));
        }
        let priority = errors.take("priority", PRIORITY.check(self.priority.unwrap_or_default()));
        let priority = priority.and_then(|priority| i16::try_from(priority).ok());
        let payload = self.payload.map_or_else(Json::null, Json::from);

        let (Some(kind), Some(queue), Some(priority)) = (kind, queue, priority) else {
            return Err(errors.into_errors());
        };
        let labels = Labels { queue, kind, tags: tags.into() };
        let timeout_ms = self.timeout_ms.or(defaults.timeout_ms);
        let spec = Spec { payload, priority, retry, timeout_ms, idempotency_key: key };
        let id = JobId::generate();
        let (labels, spec) = (labels.into(), spec.into());
        errors.finish(NewJob { id, labels, spec, start, by: None, omitted })
    }
}

/// A number that its range has already found to be positive.
fn milliseconds(checked: Option<i64>) -> Option<u64> {
    checked.and_then(|number| u64::try_from(number).ok())
}

fn backoff(mut fields: Fields<'_>, errors: &mut FieldErrors) -> BackoffFields {
    let is_given =
        [fields.optional("base_ms"), fields.optional("cap_ms")].iter().any(Option::is_some);
    if fields.is_empty() {
        errors.add("backoff", "must have base_ms or cap_ms, but is an empty object");
    } else if !is_given {
        // Null is the same as leaving a member out.
        errors.add("backoff", "must have base_ms or cap_ms, but has neither");
    }
    let base_ms = milliseconds(fields.integer("base_ms", BACKOFF_MS, errors));
    let cap_ms = milliseconds(fields.integer("cap_ms", BACKOFF_MS, errors));
    fields.finish(errors);
    BackoffFields { base_ms, cap_ms }
}

fn tags(given: Vec<String>, errors: &mut FieldErrors) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::with_capacity(given.len().min(MAX_TAGS));
    let mut wrong = 0;
    for (at, text) in given.into_iter().enumerate() {
        match Tag::parse(&text) {
            Ok(tag) if tags.contains(&tag) => {}
            Ok(tag) if tags.len() < MAX_TAGS => tags.push(tag),
            Ok(_) => {
                errors.add("tags", format!("at most {MAX_TAGS} different tags are accepted"));
                break;
            }
            Err(error) => {
                errors.add(format!("tags[{at}]"), error.to_string());
                wrong += 1;
            }
        }
        if wrong > MAX_TAGS {
            break; // the answer stays short
        }
    }
    tags
}

fn start(delay_ms: Option<u64>, run_at: Option<&str>, errors: &mut FieldErrors) -> Start {
    let at = run_at.and_then(|text| errors.take("run_at", text.parse::<Time>()));
    let delay = delay_ms.and_then(|ms| errors.take("delay_ms", DELAY_MS.check(ms)));
    if delay_ms.is_some() && run_at.is_some() {
        let field = if at.is_some() { "run_at" } else { "delay_ms" };
        errors.add(field, "set delay_ms or run_at, not both");
    }
    match (milliseconds(delay), at) {
        (None, None) => Start::Now,
        (Some(ms), None) => Start::After(Duration::from_millis(ms)),
        (_, Some(at)) => Start::At(at),
    }
}

/// A missing bound gets its default, adjusted so that it does not contradict the given one.
fn retry(
    usual: RetryPolicy,
    max_attempts: Option<u64>,
    backoff: BackoffFields,
    errors: &mut FieldErrors,
) -> RetryPolicy {
    let attempts = max_attempts.unwrap_or(u64::from(usual.max_attempts));
    let attempts = errors.take("max_attempts", ATTEMPTS.check(attempts));
    for (field, bound) in [("backoff.base_ms", backoff.base_ms), ("backoff.cap_ms", backoff.cap_ms)]
    {
        if let Some(ms) = bound {
            errors.take(field, BACKOFF_MS.check(ms));
        }
    }
    let cap_given = backoff.cap_ms.unwrap_or(usual.backoff.cap_ms);
    let base_ms = backoff.base_ms.unwrap_or(usual.backoff.base_ms.min(cap_given));
    let cap_ms = backoff.cap_ms.unwrap_or(usual.backoff.cap_ms.max(base_ms));
    if base_ms > cap_ms {
        errors.add("backoff.base_ms", base_exceeds_cap(base_ms, cap_ms));
    }
    RetryPolicy {
        max_attempts: attempts
            .and_then(|number| u16::try_from(number).ok())
            .unwrap_or(MAX_ATTEMPTS),
        backoff: Backoff { base_ms, cap_ms },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NewJob, Vec<FieldError>> {
        Submission::parse(text, &Kinds::default())
    }

    fn fields(text: &str) -> Vec<String> {
        parse(text).unwrap_err().into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn only_the_kind_is_required() {
        let job = parse(r#"{"kind":"echo"}"#).unwrap();
        assert_eq!(job.labels.kind.as_str(), "echo");
        assert_eq!(job.labels.queue, QueueName::default());
        assert_eq!(job.spec.payload, Json::null());
        assert_eq!(job.spec.retry, RetryPolicy::default_for("echo"));
        assert_eq!(job.start, Start::Now);
    }

    #[test]
    fn the_default_budget_is_that_of_the_kind_and_what_is_given_replaces_its_part() {
        let retry = |text: &str| parse(text).unwrap().spec.retry;
        let (echo, usual) = (RetryPolicy::default_for("echo"), RetryPolicy::default());
        assert_eq!(retry(r#"{"kind":"http"}"#), usual);
        assert_eq!(retry(r#"{"kind":"mail"}"#), usual);
        let three = RetryPolicy { max_attempts: 3, ..usual };
        assert_eq!(retry(r#"{"kind":"http","max_attempts":3}"#), three);
        let backoff = Backoff { base_ms: 70, ..usual.backoff };
        let given = retry(r#"{"kind":"http","backoff":{"base_ms":70}}"#);
        assert_eq!(given, RetryPolicy { backoff, ..usual });
        let backoff = Backoff { base_ms: 90_000, cap_ms: 90_000 };
        let given = retry(r#"{"kind":"echo","backoff":{"base_ms":90000}}"#);
        assert_eq!(given, RetryPolicy { backoff, ..echo });
    }

    #[test]
    fn every_field_arrives() {
        let job = parse(
            r#"{"kind":"mail","payload":{"b": 1.0,"a":12345678901234567890},"queue":"out",
                "priority":-7,"delay_ms":1500,"max_attempts":3,"backoff":{"base_ms":15,"cap_ms":50},
                "timeout_ms":900,"idempotency_key":"k 1","tags":["x","y","x"]}"#,
        )
        .unwrap();
        assert_eq!(job.spec.payload.as_str(), r#"{"b": 1.0,"a":12345678901234567890}"#);
        assert_eq!((job.labels.queue.as_str(), job.spec.priority), ("out", -7));
        assert_eq!(job.start, Start::After(Duration::from_millis(1_500)));
        let backoff = Backoff { base_ms: 15, cap_ms: 50 };
        assert_eq!(job.spec.retry, RetryPolicy { max_attempts: 3, backoff });
        assert_eq!(job.spec.timeout_ms, Some(900));
        assert_eq!(job.spec.idempotency_key.as_ref().unwrap().as_str(), "k 1");
        let tags: Vec<&str> = job.labels.tags.iter().map(Tag::as_str).collect();
        assert_eq!(tags, ["x", "y"]);
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let wrong = fields(
            r#"{"kind":"no spaces","queue":"a/b","priority":40000,"delay_ms":1,"run_at":"soon",
                "max_attempts":0,"backoff":{"base_ms":90,"cap_ms":80},"timeout_ms":0,
                "idempotency_key":"","tags":["a,b"]}"#,
        );
        assert_eq!(
            wrong,
            [
                "priority",
                "max_attempts",
                "timeout_ms",
                "kind",
                "queue",
                "tags[0]",
                "idempotency_key",
                "run_at",
                "delay_ms",
                "backoff.base_ms",
            ]
        );
    }

    #[test]
    fn numbers_end_where_they_say() {
        for (good, bad) in [
            (r#""max_attempts":1000"#, r#""max_attempts":1001"#),
            (r#""timeout_ms":604800000"#, r#""timeout_ms":604800001"#),
            (r#""backoff":{"cap_ms":604800000}"#, r#""backoff":{"cap_ms":604800001}"#),
            (r#""backoff":{"base_ms":604800000}"#, r#""backoff":{"base_ms":604800001}"#),
            (r#""delay_ms":315532800000"#, r#""delay_ms":315532800001"#),
            (r#""delay_ms":0"#, r#""delay_ms":18446744073709551615"#),
            (r#""timeout_ms":1"#, r#""timeout_ms":18446744073709551615"#),
            (r#""backoff":{"base_ms":10}"#, r#""backoff":{"cap_ms":18446744073709551615}"#),
            (r#""backoff":{"base_ms":10}"#, r#""backoff":{"base_ms":9}"#),
            (r#""backoff":{"cap_ms":10}"#, r#""backoff":{"cap_ms":9}"#),
            (r#""backoff":{"base_ms":10,"cap_ms":10}"#, r#""backoff":{"base_ms":0,"cap_ms":10}"#),
            (r#""run_at":"0000-01-01T00:00:00Z""#, r#""run_at":"-000001-12-31T23:59:59Z""#),
            (r#""run_at":"9999-12-30T22:00:00Z""#, r#""run_at":"9999-12-31T23:59:59Z""#),
            (r#""run_at":"1969-12-31T23:59:59Z""#, r#""run_at":"10000-01-01T00:00:00Z""#),
            (r#""priority":32767"#, r#""priority":32768"#),
            (r#""run_at":"2026-11-23T08:00:00Z""#, r#""run_at":"2026-11-23""#),
        ] {
            parse(&format!(r#"{{"kind":"echo",{good}}}"#)).unwrap();
            assert_eq!(fields(&format!(r#"{{"kind":"echo",{bad}}}"#)).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_short_cap_alone_lowers_the_base() {
        let job = parse(r#"{"kind":"echo","backoff":{"cap_ms":20}}"#).unwrap();
        assert_eq!(job.spec.retry.backoff, Backoff { base_ms: 20, cap_ms: 20 });
    }

    #[test]
    fn too_many_tags_are_refused_and_repeated_ones_are_not_counted() {
        let many = |n: usize| {
            let tags: Vec<String> = (0..n).flat_map(|i| [format!("t{i}"), "t0".into()]).collect();
            Submission { kind: "echo".into(), tags: Some(tags), ..Default::default() }
        };
        let kinds = Kinds::default();
        assert_eq!(many(32).into_new_job(&kinds).unwrap().labels.tags.len(), 32);
        assert_eq!(many(33).into_new_job(&kinds).unwrap_err().len(), 1);
    }
}
