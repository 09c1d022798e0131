//! A job as people and programs submit it, parsed once into a [`NewJob`]. The JSON API, the forms and the command
//! line share it.

pub(super) mod declared_schedules;
pub mod schedule;

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::job::{
    Backoff, IdempotencyKey, Invalid, JobId, Json, Kind, Labels, NewJob, QueueName, RetryPolicy,
    Spec, Start, Tag, Time, optional_object,
};

/// A job as submitted. Only `kind` is required.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The kind, which selects the handler.
    pub kind: String,
    /// The input of the handler; `null` by default.
    pub payload: Option<Box<RawValue>>,
    /// The queue; `default` by default.
    pub queue: Option<String>,
    /// The priority from -32768 to 32767; jobs with higher numbers run first. 0 by default.
    pub priority: Option<i64>,
    /// The delay before the job is due, in milliseconds. Cannot be combined with `run_at`.
    pub delay_ms: Option<u64>,
    /// When the job is due, as an RFC 3339 timestamp. Cannot be combined with `delay_ms`.
    pub run_at: Option<String>,
    /// The most attempts, from 1 to 1000; by default as in [`Kind::default_retry`].
    pub max_attempts: Option<u64>,
    /// The backoff between attempts; by default as in [`Kind::default_retry`].
    #[serde(default, deserialize_with = "optional_object")]
    pub backoff: Option<BackoffFields>,
    /// The timeout of one attempt, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Submissions with the same key create only one job.
    pub idempotency_key: Option<String>,
    /// Tags by which the job can be found.
    pub tags: Option<Vec<String>>,
}

/// The backoff between attempts, as submitted.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackoffFields {
    /// The upper bound of the first delay, in milliseconds.
    pub base_ms: Option<u64>,
    /// The upper bound of all delays, in milliseconds.
    pub cap_ms: Option<u64>,
}

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The name of the field in the API.
    pub field: &'static str,
    /// What is wrong, and what is accepted.
    pub message: String,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The longest `timeout_ms` and the longest `backoff.cap_ms`: seven days.
pub const MAX_WAIT_MS: u64 = 7 * DAY_MS;
/// The longest `delay_ms`: ten years.
pub const MAX_DELAY_MS: u64 = 3_652 * DAY_MS;
/// The largest `max_attempts`.
pub const MAX_ATTEMPTS: u16 = 1_000;
/// The most tags of a job.
pub const MAX_TAGS: usize = 32;

impl Submission {
    /// Validates all fields and creates the job with a new id.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn into_new_job(self) -> Result<NewJob, Vec<FieldError>> {
        let mut errors = Vec::new();
        let kind = errors.name("kind", Kind::parse(&self.kind));
        let queue = match &self.queue {
            Some(queue) => errors.name("queue", QueueName::parse(queue)),
            None => Some(QueueName::default()),
        };
        let tags = tags(self.tags.unwrap_or_default(), &mut errors);
        let key = self.idempotency_key.as_deref();
        let key = key.map(|key| errors.name("idempotency_key", IdempotencyKey::parse(key)));
        let start = start(self.delay_ms, self.run_at.as_deref(), &mut errors);
        let usual = RetryPolicy::default_for(&self.kind);
        let backoff = self.backoff.unwrap_or_default();
        let retry = retry(usual, self.max_attempts, backoff, &mut errors);
        let timeout = self.timeout_ms.map(|ms| errors.within("timeout_ms", ms, 1, MAX_WAIT_MS));
        let priority = i16::try_from(self.priority.unwrap_or_default()).unwrap_or_else(|_| {
            errors.add("priority", format!("must be {} to {}", i16::MIN, i16::MAX));
            0
        });
        let payload = self.payload.map_or_else(Json::null, Json::from);

        let (Some(kind), Some(queue), true) = (kind, queue, errors.is_empty()) else {
            return Err(errors);
        };
        let labels = Labels { queue, kind, tags: tags.into() };
        let spec =
            Spec { payload, priority, retry, timeout_ms: timeout, idempotency_key: key.flatten() };
        Ok(NewJob { id: JobId::generate(), labels: labels.into(), spec: spec.into(), start })
    }
}

/// Collects errors, so that one answer names all invalid fields.
trait FieldErrors {
    fn add(&mut self, field: &'static str, message: String);

    fn name<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.to_string())).ok()
    }

    fn within(&mut self, field: &'static str, got: u64, min: u64, max: u64) -> u64 {
        if !(min..=max).contains(&got) {
            self.add(field, format!("must be {min} to {max}, not {got}"));
        }
        got
    }
}

impl FieldErrors for Vec<FieldError> {
    fn add(&mut self, field: &'static str, message: String) {
        self.push(FieldError { field, message });
    }
}

fn tags(given: Vec<String>, errors: &mut Vec<FieldError>) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::with_capacity(given.len().min(MAX_TAGS));
    for text in given {
        match Tag::parse(&text) {
            Ok(tag) if tags.contains(&tag) => {}
            Ok(tag) if tags.len() < MAX_TAGS => tags.push(tag),
            Ok(_) => {
                errors.add("tags", format!("at most {MAX_TAGS} different tags are accepted"));
                break;
            }
            Err(error) => errors.add("tags", error.to_string()),
        }
        if errors.len() > MAX_TAGS {
            break; // one message is enough, and the answer stays short
        }
    }
    tags
}

fn start(delay_ms: Option<u64>, run_at: Option<&str>, errors: &mut Vec<FieldError>) -> Start {
    let at = run_at.map(|text| {
        text.parse::<Time>().unwrap_or_else(|message| {
            errors.add("run_at", message);
            Time::default()
        })
    });
    let delay = delay_ms.map(|ms| errors.within("delay_ms", ms, 0, MAX_DELAY_MS));
    match (delay, at) {
        (None, None) => Start::Now,
        (Some(ms), None) => Start::After(Duration::from_millis(ms)),
        (None, Some(at)) => Start::At(at),
        (Some(_), Some(at)) => {
            errors.add("run_at", "set delay_ms or run_at, not both".to_owned());
            Start::At(at)
        }
    }
}

/// A missing bound gets its default, adjusted so that it does not contradict the given one.
fn retry(
    usual: RetryPolicy,
    max_attempts: Option<u64>,
    backoff: BackoffFields,
    errors: &mut Vec<FieldError>,
) -> RetryPolicy {
    let attempts = max_attempts.unwrap_or(u64::from(usual.max_attempts));
    let attempts = errors.within("max_attempts", attempts, 1, u64::from(MAX_ATTEMPTS));
    let cap_given = backoff.cap_ms.unwrap_or(usual.backoff.cap_ms);
    let base_ms = backoff.base_ms.unwrap_or(usual.backoff.base_ms.min(cap_given));
    let cap_ms = backoff.cap_ms.unwrap_or(usual.backoff.cap_ms.max(base_ms));
    errors.within("backoff", cap_ms, 0, MAX_WAIT_MS);
    if base_ms > cap_ms {
        errors.add("backoff", format!("the initial backoff ({base_ms} ms) must not exceed the maximum backoff ({cap_ms} ms)"));
    }
    RetryPolicy {
        max_attempts: u16::try_from(attempts).unwrap_or(MAX_ATTEMPTS),
        backoff: Backoff { base_ms, cap_ms },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NewJob, Vec<FieldError>> {
        serde_json::from_str::<Submission>(text).unwrap().into_new_job()
    }

    fn fields(text: &str) -> Vec<&'static str> {
        parse(text).unwrap_err().iter().map(|error| error.field).collect()
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
        let backoff = Backoff { base_ms: 7, ..usual.backoff };
        let given = retry(r#"{"kind":"http","backoff":{"base_ms":7}}"#);
        assert_eq!(given, RetryPolicy { backoff, ..usual });
        let backoff = Backoff { base_ms: 90_000, cap_ms: 90_000 };
        let given = retry(r#"{"kind":"echo","backoff":{"base_ms":90000}}"#);
        assert_eq!(given, RetryPolicy { backoff, ..echo });
    }

    #[test]
    fn every_field_arrives() {
        let job = parse(
            r#"{"kind":"mail","payload":{"b": 1.0,"a":12345678901234567890},"queue":"out",
                "priority":-7,"delay_ms":1500,"max_attempts":3,"backoff":{"base_ms":5,"cap_ms":50},
                "timeout_ms":900,"idempotency_key":"k 1","tags":["x","y","x"]}"#,
        )
        .unwrap();
        assert_eq!(job.spec.payload.as_str(), r#"{"b": 1.0,"a":12345678901234567890}"#);
        assert_eq!((job.labels.queue.as_str(), job.spec.priority), ("out", -7));
        assert_eq!(job.start, Start::After(Duration::from_millis(1_500)));
        let backoff = Backoff { base_ms: 5, cap_ms: 50 };
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
                "max_attempts":0,"backoff":{"base_ms":9,"cap_ms":8},"timeout_ms":0,
                "idempotency_key":"","tags":["a,b"]}"#,
        );
        assert_eq!(
            wrong,
            [
                "kind",
                "queue",
                "tags",
                "idempotency_key",
                "run_at",
                "run_at",
                "max_attempts",
                "backoff",
                "timeout_ms",
                "priority"
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
            (r#""backoff":{"base_ms":0}"#, r#""backoff":{"cap_ms":18446744073709551615}"#),
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
        assert_eq!(many(32).into_new_job().unwrap().labels.tags.len(), 32);
        assert_eq!(many(33).into_new_job().unwrap_err().len(), 1);
    }
}
