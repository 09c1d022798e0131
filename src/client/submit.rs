//! Submissions of jobs.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::error::ClientError;
use super::http::{ApiRequest, RepeatRule, ServerApi};

/// A job to submit: created by [`Client::submit`](super::Client::submit), or by
/// [`JobDraft::new`] for [`Client::submit_many`](super::Client::submit_many).
///
/// What is not set is decided by the server: the defaults of the kind, or those of all jobs.
#[derive(Debug)]
#[must_use = "a job is submitted by `send` or `submit_many`"]
pub struct JobDraft<Sender = ()> {
    body: SubmissionBody,
    /// An error of the payload is reported when the job is submitted.
    payload: Result<Box<RawValue>, serde_json::Error>,
    sender: Sender,
}

/// The body of a submission, as the API takes it.
#[derive(Debug, Default, Serialize)]
pub struct SubmissionBody {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<DraftBackoff>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// The delay before the first retry, and the longest one.
#[derive(Debug, Serialize)]
pub struct DraftBackoff {
    pub base_ms: u64,
    pub cap_ms: u64,
}

/// A job that the server has stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Submitted {
    /// The job's id.
    pub id: String,
    /// Whether a job with the same idempotency key existed already; then this is that job. It is also set when the answer
    /// to the first request was lost, and the client has repeated it.
    #[serde(default)]
    pub existing: bool,
}

impl JobDraft {
    /// Creates a job with a payload, which is written as JSON.
    pub fn new(kind: impl Into<String>, payload: &(impl Serialize + ?Sized)) -> JobDraft {
        JobDraft::by(kind.into(), payload, ())
    }
}

impl<Sender> JobDraft<Sender> {
    pub(super) fn by(
        kind: String,
        payload: &(impl Serialize + ?Sized),
        sender: Sender,
    ) -> JobDraft<Sender> {
        let body = SubmissionBody { kind, ..SubmissionBody::default() };
        JobDraft { body, payload: to_raw_value(payload), sender }
    }

    /// Sets the queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.body.queue = Some(queue.into());
        self
    }

    /// Sets the priority; jobs with a higher one run first.
    pub fn priority(mut self, priority: i16) -> Self {
        self.body.priority = Some(priority);
        self
    }

    /// Sets how long after its submission the job may start.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.body.delay_ms = Some(millis(delay));
        self
    }

    /// Sets when the job may start, in the format of RFC 3339: `2026-11-23T08:00:00Z`.
    pub fn run_at(mut self, time: impl Into<String>) -> Self {
        self.body.run_at = Some(time.into());
        self
    }

    /// Sets the maximum number of attempts.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.body.max_attempts = Some(attempts);
        self
    }

    /// Sets the delay before the first retry, which doubles with each further one up to `cap`.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.body.backoff = Some(DraftBackoff { base_ms: millis(base), cap_ms: millis(cap) });
        self
    }

    /// Sets how long an attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.body.timeout_ms = Some(millis(timeout));
        self
    }

    /// Sets the idempotency key: a job that is submitted twice with the same key is stored once. Without a key, the
    /// client chooses a random one, so that it can repeat the request safely.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.body.idempotency_key = Some(key.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.body.tags.push(tag.into());
        self
    }

    /// The body of the request.
    fn into_body(self) -> Result<SubmissionBody, ClientError> {
        let mut body = self.body;
        body.payload = Some(self.payload.map_err(ClientError::InvalidPayload)?);
        body.idempotency_key.get_or_insert_with(random_key);
        Ok(body)
    }
}

/// Where a job is submitted.
#[derive(Debug, Clone, Copy)]
pub struct DraftSender<'a>(pub(super) &'a ServerApi);

impl JobDraft<DraftSender<'_>> {
    /// Submits the job and returns when it is on disk.
    ///
    /// # Errors
    /// The payload cannot be written as JSON, or the server cannot be reached or refuses.
    pub async fn send(self) -> Result<Submitted, ClientError> {
        let DraftSender(api) = self.sender;
        let body = text(&self.into_body()?)?;
        let request = ApiRequest::post("/api/v1/jobs", Some(body), RepeatRule::Always);
        api.json(request).await
    }
}

/// Submits many jobs, all or none.
pub(super) async fn submit_many(
    api: &ServerApi,
    jobs: impl IntoIterator<Item = JobDraft>,
) -> Result<Vec<Submitted>, ClientError> {
    #[derive(Deserialize)]
    struct SubmittedList {
        jobs: Vec<Submitted>,
    }
    let bodies: Vec<SubmissionBody> =
        jobs.into_iter().map(JobDraft::into_body).collect::<Result<_, _>>()?;
    if bodies.is_empty() {
        return Ok(Vec::new());
    }
    let request = ApiRequest::post("/api/v1/jobs", Some(text(&bodies)?), RepeatRule::Always);
    api.json::<SubmittedList>(request).await.map(|list| list.jobs)
}

fn text(body: &impl Serialize) -> Result<String, ClientError> {
    serde_json::to_string(body).map_err(ClientError::InvalidPayload)
}

/// Whole milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A random text of 128 bits. The keys of the hasher come from the operating system, so that two processes never choose
/// the same.
pub(super) fn random_key() -> String {
    static KEYS: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = &*KEYS;
    format!("{:016x}{:016x}", high.hash_one(count), low.hash_one((count, 1)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_submission_has_only_what_was_set() {
        let draft = JobDraft::new("resize", &json!({"width": 640})).idempotency_key("k");
        let body = serde_json::to_value(draft.into_body().unwrap()).unwrap();
        let least = json!({"kind": "resize", "payload": {"width": 640}, "idempotency_key": "k"});
        assert_eq!(body, least);
        let draft = JobDraft::new("resize", &Value::Null)
            .queue("images")
            .priority(-3)
            .delay(Duration::from_secs(5))
            .run_at("2026-11-23T08:00:00Z")
            .max_attempts(3)
            .backoff(Duration::from_secs(1), Duration::from_secs(60))
            .timeout(Duration::from_secs(9))
            .tag("blue")
            .idempotency_key("k");
        let body = serde_json::to_value(draft.into_body().unwrap()).unwrap();
        let all = json!({"kind": "resize", "payload": null, "queue": "images", "priority": -3, "delay_ms": 5_000,
            "run_at": "2026-11-23T08:00:00Z", "max_attempts": 3, "backoff": {"base_ms": 1_000, "cap_ms": 60_000},
            "timeout_ms": 9_000, "idempotency_key": "k", "tags": ["blue"]});
        assert_eq!(body, all);
    }

    #[test]
    fn a_submission_without_a_key_gets_a_random_one() {
        let keys: std::collections::HashSet<String> = (0..1_000)
            .map(|_| JobDraft::new("x", &()).into_body().unwrap().idempotency_key.unwrap())
            .collect();
        assert_eq!(keys.len(), 1_000);
        assert!(keys.iter().all(|key| key.len() == 32));
    }
}
