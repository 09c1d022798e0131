//! A submission as people and programs write it, parsed once into a [`NewJob`]. Shared by JSON, forms
//! and the command line.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::job::NewJob;

/// One job as submitted. Only `kind` is required.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Names the handler.
    pub kind: String,
    /// The handler's input; `null` when left out.
    pub payload: Option<Box<RawValue>>,
    /// Where it waits; `default` when left out.
    pub queue: Option<String>,
    /// -32768 to 32767, higher first; 0 when left out.
    pub priority: Option<i64>,
    /// Not before this many milliseconds from now. Excludes `run_at`.
    pub delay_ms: Option<u64>,
    /// Not before this moment, RFC 3339. Excludes `delay_ms`.
    pub run_at: Option<String>,
    /// Attempts in all, 1 to 1000; 10 when left out.
    pub max_attempts: Option<u64>,
    /// Waits between attempts; 1 s doubling up to 1 h when left out.
    pub backoff: Option<BackoffFields>,
    /// The longest one attempt may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Two submissions with the same key are one job.
    pub idempotency_key: Option<String>,
    /// Labels to find the job by.
    pub tags: Option<Vec<String>>,
}

/// The waits between attempts, as submitted.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackoffFields {
    /// The bound of the first wait, in milliseconds.
    pub base_ms: Option<u64>,
    /// The bound of every wait, in milliseconds.
    pub cap_ms: Option<u64>,
}

/// A field that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name in the API.
    pub field: &'static str,
    /// What was wrong and what is accepted.
    pub message: String,
}

impl Submission {
    /// Checks every field and makes the job, with a fresh id.
    ///
    /// # Errors
    /// Every field that is wrong, not only the first.
    pub fn into_new_job(self) -> Result<NewJob, Vec<FieldError>> {
        todo!("the http helper writes this first")
    }
}
