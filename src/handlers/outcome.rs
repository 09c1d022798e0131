//! Short forms of the outcomes that handlers return most.

pub(crate) use crate::engine::handler::done;
use crate::job::Outcome;

/// The end of an attempt that failed; the job's backoff decides when the next one comes.
pub(crate) fn retry(error: impl Into<String>) -> Outcome {
    Outcome::Retry { error: error.into(), after: None }
}

/// The end of a job that no attempt can help.
pub(crate) fn discard(error: impl Into<String>) -> Outcome {
    Outcome::Discard { error: error.into() }
}
