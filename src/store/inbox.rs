//! Jobs that programs submit in SQL, in transactions of their own. They wait in an inbox beside the log, until a node
//! enqueues them and removes them from it in one step.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{EnqueueError, StoreError};
use crate::job::{JobId, NewJob};

/// The inbox beside a store.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Notified (`notify_one`) when something was submitted. A notification may be lost.
    fn arrivals(&self) -> Arc<Notify>;

    /// Tells submitters how long a payload may be.
    async fn set_max_payload(&self, bytes: usize) -> Result<(), StoreError>;

    /// The oldest submissions that this process should enqueue now: those of these kinds, and those that wait although no
    /// process has taken them. Their number and size are bounded.
    async fn read(&self, kinds: Vec<String>) -> Result<Vec<InboxRow>, StoreError>;

    /// Enqueues jobs from the inbox, each or not, and removes their rows in the same step. Answers in order, or with `None`
    /// when another process has changed the inbox or the log meanwhile: then nothing was done, and the inbox has to be
    /// read again.
    async fn take(&self, jobs: Vec<NewJob>) -> Result<Option<Vec<InboxAnswer>>, StoreError>;

    /// How much waits.
    async fn figures(&self) -> Result<InboxFigures, StoreError>;

    /// Moves submissions that make no job out of the inbox, to where their submitters can see why.
    async fn dismiss(&self, rows: Vec<NotEnqueued>) -> Result<(), StoreError>;
}

/// What waits in the inbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InboxFigures {
    /// The number of submissions, counted up to [`InboxFigures::MAX_COUNTED`].
    pub waiting: u64,
    /// How long ago the oldest of them was submitted, by the clock of the database; 0 if nothing waits.
    pub oldest: Duration,
    /// The number of refused submissions that nobody has removed or enqueued again, counted up to the same number.
    pub refused: u64,
}

impl InboxFigures {
    /// The most submissions that are counted, so that the cost of a count is bounded.
    pub const MAX_COUNTED: u64 = 100_000;
}

/// A submission that waits in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// The id of the job, which its submitter knows.
    pub id: JobId,
    /// The job as the JSON API accepts it.
    pub submission: String,
    /// How long ago it was submitted, by the clock of the database.
    pub age: Duration,
}

/// What became of a job from the inbox.
#[derive(Debug, Clone, PartialEq)]
pub enum InboxAnswer {
    /// It was enqueued, and its row is gone.
    Enqueued,
    /// The job with this id stands for it: it has the same idempotency key, or it is this job.
    Existing(JobId),
    /// It was refused, and would be refused again.
    Refused(EnqueueError),
    /// It cannot be enqueued now, because the backlog is full or because another job of the same batch has its key.
    Waits,
}

/// A submission that makes no job. It moves from the inbox to where its submitter can see why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotEnqueued {
    /// The id that the job would have had.
    pub id: JobId,
    /// The code of the reason, as in the JSON API.
    pub code: &'static str,
    /// The reason in words.
    pub reason: String,
    /// The job that stands for it.
    pub existing: Option<JobId>,
}
