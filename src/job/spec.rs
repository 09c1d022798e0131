//! What a submitter asks for.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{IdempotencyKey, JobId, Json, Labels, RetryPolicy, Time};

/// The part of a job that no filter needs; only its priority can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The handler's input.
    pub payload: Json,
    /// Higher runs first within a queue; 0 is usual.
    pub priority: i16,
    /// How often and when to try.
    pub retry: RetryPolicy,
    /// The longest an attempt may run, in milliseconds; `None` is the server's default.
    pub timeout_ms: Option<u64>,
    /// Two submissions with the same key are one job.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// When a new job may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At once.
    Now,
    /// After a delay, counted by the store's clock.
    After(Duration),
    /// At a moment; one in the past means at once.
    At(Time),
}

/// A job on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its name, made by who submits it, so that a retry of the submission can be told apart.
    pub id: JobId,
    /// Queue, kind and tags.
    pub labels: Arc<Labels>,
    /// Everything else that stays.
    pub spec: Arc<Spec>,
    /// When it may run.
    pub start: Start,
}

impl NewJob {
    /// The moment it may run, for a store whose clock says `now`.
    pub fn run_at(&self, now: Time) -> Time {
        match self.start {
            Start::Now => now,
            Start::After(delay) => now.after(delay),
            Start::At(at) => at.max(now),
        }
    }
}
