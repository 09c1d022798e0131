//! Why a verb of the engine could not be done. `http` and `ui` each have one `match` that says what an error
//! becomes there.

use crate::job::schema::Violation;
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, first_few, shorten};
use crate::job::{Invalid, Kind, TooComplex};
use crate::store::StoreError;

/// Why a verb of the engine could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// No handler is registered for the kind.
    #[error("there is no handler for kind {:?}; known kinds: {known}", .kind.as_str())]
    UnknownKind {
        /// What was asked for.
        kind: Kind,
        /// What there is, comma-separated.
        known: String,
        /// The index of its job, when it was one of a batch.
        at: Option<usize>,
    },
    /// The payload does not fit what its kind declares.
    #[error("the payload does not fit kind {kind}: {}", told(.wrong))]
    InvalidPayload {
        /// The kind.
        kind: Kind,
        /// The index of its job, when it was one of a batch.
        at: Option<usize>,
        /// Every property that does not fit.
        wrong: Vec<Violation>,
    },
    /// The payload is longer than the limit.
    #[error("the payload is {size} bytes long and the limit is {limit}")]
    PayloadTooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes accepted.
        limit: usize,
        /// The index of its job, when it was one of a batch.
        at: Option<usize>,
    },
    /// The payload is nested too deep or has too many values.
    #[error("the payload is not accepted: {why}")]
    TooComplex {
        /// The index of its job, when it was one of a batch.
        at: Option<usize>,
        /// What there is too much of.
        why: TooComplex,
    },
    /// A name or number is outside what is accepted.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// As many bulk runs as may be are under way.
    #[error("{limit} bulk runs are under way and the limit is {limit}")]
    TooManyBulks {
        /// The limit.
        limit: usize,
    },
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineError {
    /// The error with the index of its job in the batch, if it is about one job.
    pub fn of_job(mut self, index: usize) -> Self {
        match &mut self {
            EngineError::UnknownKind { at, .. }
            | EngineError::InvalidPayload { at, .. }
            | EngineError::PayloadTooLarge { at, .. }
            | EngineError::TooComplex { at, .. } => *at = Some(index),
            EngineError::Invalid(_) | EngineError::TooManyBulks { .. } | EngineError::Store(_) => {}
        }
        self
    }
}

fn told(wrong: &[Violation]) -> String {
    let one = |wrong: &Violation| match wrong.field.as_str() {
        "" => wrong.message.clone(),
        field => format!("{field}: {}", wrong.message),
    };
    shorten(&first_few(wrong.iter().map(one), MAX_ERRORS, "; "), MAX_MESSAGE)
}
