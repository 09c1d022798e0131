//! The errors of the engine's verbs. `http` and `ui` each have one `match` that turns an error into an answer.

use crate::job::schema::Violation;
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, first_few, shorten};
use crate::job::{Invalid, Kind, TooComplex};
use crate::store::StoreError;

/// Why a verb of the engine failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// No handler is registered for the kind.
    #[error("there is no handler for kind {:?}; known kinds: {known}", .kind.as_str())]
    UnknownKind {
        /// The kind that was asked for.
        kind: Kind,
        /// The known kinds, separated by commas.
        known: String,
        /// The index of the job, when it was part of a batch.
        at: Option<usize>,
    },
    /// The payload does not match the schema of its kind.
    #[error("the payload does not match the schema of kind {kind}: {}", describe(.wrong))]
    InvalidPayload {
        /// The kind.
        kind: Kind,
        /// The index of the job, when it was part of a batch.
        at: Option<usize>,
        /// Every property that does not match.
        wrong: Vec<Violation>,
    },
    /// The payload is longer than the limit.
    #[error("the payload is {size} bytes long and the limit is {limit}")]
    PayloadTooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes accepted.
        limit: usize,
        /// The index of the job, when it was part of a batch.
        at: Option<usize>,
    },
    /// The payload is nested too deeply or has too many values.
    #[error("the payload is not accepted: {why}")]
    TooComplex {
        /// The index of the job, when it was part of a batch.
        at: Option<usize>,
        /// Which limit the payload exceeds.
        why: TooComplex,
    },
    /// A name or number is outside what is accepted.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The limit of concurrent bulk runs is reached.
    #[error("{limit} bulk runs are running already, which is the limit")]
    TooManyBulks {
        /// The limit.
        limit: usize,
    },
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineError {
    /// Adds the index of the job in its batch, if the error is about one job.
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

fn describe(wrong: &[Violation]) -> String {
    let one = |wrong: &Violation| match wrong.field.as_str() {
        "" => wrong.message.clone(),
        field => format!("{field}: {}", wrong.message),
    };
    shorten(&first_few(wrong.iter().map(one), MAX_ERRORS, "; "), MAX_MESSAGE)
}
