//! Submissions of jobs.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::api_time::ApiTime;
use super::error::ClientError;
use super::http::{ApiRequest, RepeatRule, ServerApi};
use super::kind::{JobKind, JobOptions};

/// A job to submit: created by [`Client::submit`](super::Client::submit) and
/// [`Client::submit_kind`](super::Client::submit_kind), which await it or call [`JobDraft::send`], or by [`JobDraft::of`] and
/// [`JobDraft::new`] for [`Client::submit_many`](super::Client::submit_many).
///
/// What is not set is decided by the server: the defaults of the kind, or those of all jobs.
#[derive(Debug)]
#[must_use = "a job is submitted when its draft is awaited, or by `send` or `submit_many`"]
pub struct JobDraft<Sender = ()> {
    body: SubmissionBody,
    /// An error of the payload is reported when the job is submitted.
    payload: Result<Box<RawValue>, serde_json::Error>,
    /// The idempotency key that the payload asks for, if none is set.
    unique_key: Option<String>,
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

impl DraftBackoff {
    fn new(base: Duration, cap: Duration) -> DraftBackoff {
        DraftBackoff { base_ms: millis(base), cap_ms: millis(cap) }
    }
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
    /// Creates a job of a kind with a payload, which is written as JSON.
    pub fn new(kind: impl Into<String>, payload: &(impl Serialize + ?Sized)) -> JobDraft {
        JobDraft::by(kind.into(), payload, ())
    }

    /// Creates a job with the kind, the options and the unique key of its payload.
    pub fn of<J: JobKind>(job: &J) -> JobDraft {
        JobDraft::of_kind(job, ())
    }
}

impl<Sender> JobDraft<Sender> {
    pub(crate) fn by(
        kind: String,
        payload: &(impl Serialize + ?Sized),
        sender: Sender,
    ) -> JobDraft<Sender> {
        let body = SubmissionBody { kind, ..SubmissionBody::default() };
        JobDraft { body, payload: to_raw_value(payload), unique_key: None, sender }
    }

    pub(crate) fn of_kind<J: JobKind>(job: &J, sender: Sender) -> JobDraft<Sender> {
        let JobOptions { queue, priority, max_attempts, backoff, timeout, delay, tags } =
            J::options();
        let body = SubmissionBody {
            kind: J::KIND.to_owned(),
            queue,
            priority,
            max_attempts,
            backoff: backoff.map(|(base, cap)| DraftBackoff::new(base, cap)),
            timeout_ms: timeout.map(millis),
            delay_ms: delay.map(millis),
            tags,
            ..SubmissionBody::default()
        };
        JobDraft { body, payload: to_raw_value(job), unique_key: job.unique_key(), sender }
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

    /// Sets how long after its submission the job may start, instead of a time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.body.delay_ms = Some(millis(delay));
        self.body.run_at = None;
        self
    }

    /// Sets when the job may start, instead of a delay: a [`SystemTime`](std::time::SystemTime), or a text of RFC 3339 such as
    /// `2026-11-23T08:00:00Z`.
    pub fn run_at(mut self, time: impl Into<ApiTime>) -> Self {
        self.body.run_at = Some(time.into().into_text());
        self.body.delay_ms = None;
        self
    }

    /// Sets the maximum number of attempts.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.body.max_attempts = Some(attempts);
        self
    }

    /// Sets the delay before the first retry, which doubles with each further one up to `cap`.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.body.backoff = Some(DraftBackoff::new(base, cap));
        self
    }

    /// Sets how long an attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.body.timeout_ms = Some(millis(timeout));
        self
    }

    /// Sets the idempotency key: a job that is submitted twice with the same key is stored once. Without a key, it is the
    /// [unique key](JobKind::unique_key) of the payload; if there is none either, the client chooses a random one, so that it
    /// can repeat the request safely.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.body.idempotency_key = Some(key.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.body.tags.push(tag.into());
        self
    }

    /// Sets the tags, instead of those that it has.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.body.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The body of the request.
    fn into_body(self) -> Result<SubmissionBody, ClientError> {
        let mut body = self.body;
        body.payload = Some(self.payload.map_err(ClientError::InvalidPayload)?);
        let key = body.idempotency_key.take().or(self.unique_key);
        body.idempotency_key = Some(key.unwrap_or_else(random_key));
        Ok(body)
    }
}

/// Submits a draft of [`Client::submit`](super::Client::submit).
#[derive(Debug, Clone, Copy)]
pub struct DraftSender<'a>(pub(super) &'a ServerApi);

impl JobDraft<DraftSender<'_>> {
    /// Submits the job and returns when it is on disk. Awaiting the draft does the same.
    ///
    /// # Errors
    /// The payload cannot be written as JSON, or the server cannot be reached or refuses.
    pub async fn send(self) -> Result<Submitted, ClientError> {
        let DraftSender(api) = self.sender;
        submit_one(api, self.into_body()?).await
    }
}

impl<'a> IntoFuture for JobDraft<DraftSender<'a>> {
    type Output = Result<Submitted, ClientError>;
    type IntoFuture = PendingSubmission<'a>;

    fn into_future(self) -> PendingSubmission<'a> {
        Box::pin(self.send())
    }
}

/// Submits a draft of a handler ([`Context::enqueue`](super::Context::enqueue)).
#[derive(Debug, Clone, Copy)]
pub struct AttemptSender<'a> {
    pub(crate) api: &'a ServerApi,
    /// The id of the running job.
    pub(crate) job: &'a str,
}

impl JobDraft<AttemptSender<'_>> {
    /// Enqueues the job once for the running job, whatever the number of its attempts: the idempotency key is
    /// `<id of the running job>/<name>`.
    ///
    /// A job is run at least once. If its handler enqueues another job and then fails, or its server or worker is killed, the
    /// next attempt enqueues that job again. With this, the second submission is answered with the job that the first one
    /// stored ([`Submitted::existing`]). Choose a name for each job that the handler enqueues, and the same payload in each
    /// attempt: the server refuses a key that was used for something else.
    pub fn once(self, name: impl AsRef<str>) -> Self {
        let key = format!("{}/{}", self.sender.job, name.as_ref());
        self.idempotency_key(key)
    }

    /// Enqueues the job and returns when it is on disk. Awaiting the draft does the same.
    ///
    /// # Errors
    /// The payload cannot be written as JSON, or the server cannot be reached or refuses. A context for a test has no server:
    /// [`ClientError::NoServer`].
    pub async fn send(self) -> Result<Submitted, ClientError> {
        let api = self.sender.api;
        submit_one(api, self.into_body()?).await
    }
}

impl<'a> IntoFuture for JobDraft<AttemptSender<'a>> {
    type Output = Result<Submitted, ClientError>;
    type IntoFuture = PendingSubmission<'a>;

    fn into_future(self) -> PendingSubmission<'a> {
        Box::pin(self.send())
    }
}

/// The future of a draft that is awaited.
pub type PendingSubmission<'a> =
    Pin<Box<dyn Future<Output = Result<Submitted, ClientError>> + Send + 'a>>;

async fn submit_one(api: &ServerApi, body: SubmissionBody) -> Result<Submitted, ClientError> {
    let request = ApiRequest::post("/api/v1/jobs", Some(text(&body)?), RepeatRule::Always);
    api.json(request).await
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
    use std::time::SystemTime;

    use serde_json::{Value, json};

    use super::super::transport::RequestRoute;
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
            .max_attempts(3)
            .backoff(Duration::from_secs(1), Duration::from_secs(60))
            .timeout(Duration::from_secs(9))
            .tag("blue")
            .idempotency_key("k");
        let body = serde_json::to_value(draft.into_body().unwrap()).unwrap();
        let all = json!({"kind": "resize", "payload": null, "queue": "images", "priority": -3, "delay_ms": 5_000,
            "max_attempts": 3, "backoff": {"base_ms": 1_000, "cap_ms": 60_000},
            "timeout_ms": 9_000, "idempotency_key": "k", "tags": ["blue"]});
        assert_eq!(body, all);
    }

    #[test]
    fn a_time_takes_the_place_of_a_delay_and_a_delay_that_of_a_time() {
        let draft = || JobDraft::new("x", &()).delay(Duration::from_secs(5));
        let body = draft().run_at(SystemTime::UNIX_EPOCH).into_body().unwrap();
        assert_eq!(
            (body.delay_ms, body.run_at.as_deref()),
            (None, Some("1970-01-01T00:00:00.000Z"))
        );
        let body = draft().run_at("2026-11-23T08:00:00Z").into_body().unwrap();
        assert_eq!((body.delay_ms, body.run_at.as_deref()), (None, Some("2026-11-23T08:00:00Z")));
        let body =
            draft().run_at("2026-11-23T08:00:00Z").delay(Duration::ZERO).into_body().unwrap();
        assert_eq!((body.delay_ms, body.run_at), (Some(0), None));
    }

    #[derive(Serialize)]
    struct Resize {
        width: u32,
        #[serde(skip)]
        key: Option<&'static str>,
    }

    impl JobKind for Resize {
        const KIND: &'static str = "resize";

        fn options() -> JobOptions {
            let (base, cap) = (Duration::from_secs(1), Duration::from_secs(60));
            let options = JobOptions::new().queue("images").priority(3).max_attempts(5);
            options.backoff(base, cap).timeout(base).delay(cap).tag("media").tag("slow")
        }

        fn unique_key(&self) -> Option<String> {
            self.key.map(Into::into)
        }
    }

    #[test]
    fn a_typed_job_has_the_options_of_its_kind_and_each_can_be_overridden() {
        let job = Resize { width: 640, key: Some("resize 640") };
        let body = serde_json::to_value(JobDraft::of(&job).into_body().unwrap()).unwrap();
        let options = json!({"kind": "resize", "payload": {"width": 640}, "queue": "images", "priority": 3,
            "delay_ms": 60_000, "max_attempts": 5, "backoff": {"base_ms": 1_000, "cap_ms": 60_000},
            "timeout_ms": 1_000, "idempotency_key": "resize 640", "tags": ["media", "slow"]});
        assert_eq!(body, options);
        let draft = JobDraft::of(&job)
            .queue("other")
            .priority(-1)
            .max_attempts(1)
            .backoff(Duration::ZERO, Duration::ZERO)
            .timeout(Duration::from_secs(2))
            .delay(Duration::ZERO)
            .tags(["fast"])
            .tag("more")
            .idempotency_key("k");
        let body = serde_json::to_value(draft.into_body().unwrap()).unwrap();
        let overridden = json!({"kind": "resize", "payload": {"width": 640}, "queue": "other", "priority": -1,
            "delay_ms": 0, "max_attempts": 1, "backoff": {"base_ms": 0, "cap_ms": 0}, "timeout_ms": 2_000,
            "idempotency_key": "k", "tags": ["fast", "more"]});
        assert_eq!(body, overridden);
        let random = JobDraft::of(&Resize { width: 1, key: None }).into_body().unwrap();
        assert_eq!(random.idempotency_key.unwrap().len(), 32);
    }

    #[tokio::test]
    async fn a_draft_of_a_handler_can_have_a_key_of_its_job() {
        let job = Resize { width: 640, key: Some("resize 640") };
        let api = ServerApi::by(RequestRoute::Nowhere);
        let draft = || JobDraft::of_kind(&job, AttemptSender { api: &api, job: "0199" });
        let key = |draft: JobDraft<_>| draft.into_body().unwrap().idempotency_key.unwrap();
        assert_eq!(key(draft()), "resize 640");
        assert_eq!(key(draft().once("thumbnail")), "0199/thumbnail");
        assert_eq!(draft().await.unwrap_err().code(), "no_server");
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
