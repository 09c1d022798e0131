//! The errors of the engine's verbs: each verb returns one that has only what can happen to it. `http` and `ui` each
//! turn them into answers.

use crate::job::schema::Violation;
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, first_few, shorten};
use crate::job::{Kind, TooComplex};
use crate::store::{
    ControlError, EnqueueError, JobControlError, KindError, ReusedKey, ScheduleError, StoreError,
};

/// Why a kind and its payload are not accepted, for a job or for the jobs of a schedule.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PayloadError {
    /// There is no such kind.
    #[error("there is no kind {:?}; known kinds: {known}", .kind.as_str())]
    UnknownKind {
        /// The kind that was asked for.
        kind: Kind,
        /// The first known kinds, separated by commas.
        known: String,
        /// The index of the job, when it was part of a batch.
        at: Option<usize>,
    },
    /// The payload does not match the schema of its kind.
    #[error("the payload does not match the schema of kind {kind}: {}", describe(.wrong))]
    Invalid {
        /// The kind.
        kind: Kind,
        /// The index of the job, when it was part of a batch.
        at: Option<usize>,
        /// Every property that does not match.
        wrong: Vec<Violation>,
    },
    /// The payload is longer than the limit.
    #[error("the payload is {size} bytes long and the limit is {limit}")]
    TooLarge {
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
}

impl PayloadError {
    /// Adds the index of the job in its batch.
    pub fn of_job(mut self, index: usize) -> Self {
        match &mut self {
            PayloadError::UnknownKind { at, .. }
            | PayloadError::Invalid { at, .. }
            | PayloadError::TooLarge { at, .. }
            | PayloadError::TooComplex { at, .. } => *at = Some(index),
        }
        self
    }
}

/// Why jobs were not enqueued.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// The kind or the payload of a job is not accepted.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The store refused the jobs or failed.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
}

impl SubmitError {
    /// Adds the index of the job in its batch, if the error is about one job.
    pub fn of_job(self, index: usize) -> Self {
        match self {
            SubmitError::Payload(error) => SubmitError::Payload(error.of_job(index)),
            SubmitError::Enqueue(EnqueueError::KeyReused(reused)) => {
                EnqueueError::KeyReused(ReusedKey { at: Some(index), ..reused }).into()
            }
            SubmitError::Enqueue(_) => self,
        }
    }
}

/// Why a schedule was not created or replaced.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SetScheduleError {
    /// The kind or the payload of its jobs is not accepted.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The store refused the schedule or failed.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Why a kind was not declared, or its declaration not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclareKindError {
    /// This process has a handler for the kind, which decides what its payloads are.
    #[error(
        "this server has a handler for the kind, so it cannot be declared; its defaults can be set \
         in the configuration"
    )]
    BuiltIn,
    /// The configuration declares the kind, so only the configuration can change it.
    #[error("this kind is declared in the configuration and can only be changed there")]
    Configured,
    /// The store refused the change or failed.
    #[error(transparent)]
    Kind(#[from] KindError),
}

/// Why an action on one job was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobActionError {
    /// There is no such job, or its state does not allow the action.
    #[error(transparent)]
    Job(#[from] JobControlError),
    /// The store refused the action for another reason, or failed.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Why a bulk run was not started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BulkError {
    /// The limit of concurrent bulk runs is reached.
    #[error("{limit} bulk runs are running already, which is the limit")]
    TooManyRuns {
        /// The limit.
        limit: usize,
    },
    /// The store could not count the jobs.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn describe(wrong: &[Violation]) -> String {
    let one = |wrong: &Violation| match wrong.field.as_str() {
        "" => wrong.message.clone(),
        field => format!("{field}: {}", wrong.message),
    };
    shorten(&first_few(wrong.iter().map(one), MAX_ERRORS, "; "), MAX_MESSAGE)
}
