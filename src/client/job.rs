//! Jobs as the API describes them.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A job as the server has it. Times are texts of RFC 3339.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct JobInfo {
    /// The id.
    pub id: String,
    /// The kind.
    pub kind: String,
    /// The queue.
    pub queue: String,
    /// `scheduled`, `available`, `running`, `retryable`, `completed`, `discarded` or `cancelled`.
    pub state: String,
    /// The number of attempts that have started.
    pub attempt: u32,
    /// The maximum number of attempts.
    pub max_attempts: u32,
    /// The priority: higher ones run first.
    #[serde(default)]
    pub priority: i32,
    /// The tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The idempotency key.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// When it was submitted.
    pub enqueued_at: String,
    /// When it may start.
    #[serde(default)]
    pub run_at: Option<String>,
    /// When it became final.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// The progress that its handler reported last.
    #[serde(default)]
    pub progress: Option<JobProgress>,
    /// The error of the last attempt that failed.
    #[serde(default)]
    pub error: Option<JobFailure>,
    /// Whether somebody has asked to cancel it.
    #[serde(default)]
    pub cancel_asked: bool,
    /// The payload, as it was sent.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
    /// The result, if it has one that is not null.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// Why it does not run yet.
    #[serde(default)]
    pub why: Option<NotYetRunning>,
    /// The position of the log after which nothing is known about the job: [`EventTail::after`](super::EventTail::after)
    /// follows it from there.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl JobInfo {
    /// Whether it has ended: it is completed, discarded or cancelled.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "discarded" | "cancelled")
    }

    /// Whether it has succeeded.
    pub fn is_completed(&self) -> bool {
        self.state == "completed"
    }
}

/// Why a job does not run yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct NotYetRunning {
    /// The stable name of the reason, such as `queue_paused`.
    pub code: String,
    /// The reason, for people.
    pub text: String,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobProgress {
    /// The units that are done.
    pub done: u64,
    /// The number of all units, when it is known.
    #[serde(default)]
    pub total: Option<u64>,
    /// A short text about the current step.
    #[serde(default)]
    pub message: Option<String>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobFailure {
    /// `error`, `timeout`, `panic` or `lost`.
    pub class: String,
    /// What happened.
    pub message: String,
}

/// The state of a job after a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Cancellation {
    /// The state: `cancelled`, or `running` while the handler has not stopped.
    pub state: String,
    /// Whether the handler has been asked to stop.
    #[serde(default)]
    pub cancel_asked: bool,
}
