//! Short forms of common outcomes.

pub(crate) use crate::engine::handler::done;
use crate::job::Outcome;

/// A failed attempt; the job's backoff decides when it is retried.
pub(crate) fn retry(error: impl Into<String>) -> Outcome {
    Outcome::Retry { error: error.into(), after: None }
}

/// A failed attempt that no retry can help; the job is discarded.
pub(crate) fn discard(error: impl Into<String>) -> Outcome {
    Outcome::Discard { error: error.into() }
}
