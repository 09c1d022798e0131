//! Jobs as rows for queries, beside the store. One process keeps them up from the events of the log, and notes with each
//! step how far they are.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::job::{Cursor, JobId, State, Time};

/// The rows beside a store.
#[async_trait]
pub trait Projection: Send + Sync {
    /// Takes charge of the rows for some seconds, unless another process has. Returns the place in the log up to which they
    /// are.
    async fn hold(&self) -> Result<ProjectionCharge, StoreError>;

    /// Gives up the charge, so that another process can take it at once.
    async fn release(&self) -> Result<(), StoreError>;

    /// Removes all rows, because they are read again. Returns whether this process is in charge.
    async fn clear(&self) -> Result<bool, StoreError>;

    /// Changes rows, and notes how far they are then, in one step. Returns whether this process is still in charge and the
    /// rows were where the step begins; if not, nothing was changed.
    async fn write(&self, step: ProjectionStep) -> Result<bool, StoreError>;

    /// How far the rows are behind.
    async fn figures(&self) -> Result<ProjectionFigures, StoreError>;

    /// The ids of the rows that have been in a final state longest.
    async fn oldest(&self, state: State, most: usize) -> Result<Vec<JobId>, StoreError>;
}

/// How far the rows are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectionFigures {
    /// The name of the node that keeps them up; `None` when none does.
    pub kept_by: Option<String>,
    /// How far they are behind, by the clock of the database; `None` before they are complete.
    pub lag: Option<Duration>,
}

/// Who is in charge of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectionCharge {
    /// Another process.
    Elsewhere,
    /// This process. The rows are complete up to this place, or not complete at all.
    Here(Option<Cursor>),
}

/// A change of the rows.
#[derive(Debug, Clone, Default)]
pub struct ProjectionStep {
    /// How far the rows are before and after it; `None` while they are not complete.
    pub from: Option<Cursor>,
    /// As above.
    pub to: Option<Cursor>,
    /// The time up to which they are then; `None` means now.
    pub as_of: Option<Time>,
    /// New and changed rows.
    pub changed: Vec<ProjectedJob>,
    /// Rows of jobs that are gone.
    pub removed: Vec<JobId>,
}

/// A row, or what has changed in it: then what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedJob {
    /// The job.
    pub id: JobId,
    /// Its labels and its state are always known.
    pub kind: String,
    /// As above.
    pub queue: String,
    /// As above.
    pub tags: Vec<String>,
    /// As above.
    pub state: State,
    /// As above.
    pub attempt: u16,
    /// When it ended; `None` when it has not.
    pub finished_at: Option<Time>,
    /// What is known of a new row.
    pub new: Option<NewRow>,
    /// The least that `max_attempts` is from now on.
    pub least_attempts: Option<u16>,
    /// The other columns.
    pub priority: Option<i16>,
    /// As above.
    pub run_at: Option<Time>,
    /// As above.
    pub started_at: Option<Time>,
    /// As above.
    pub error: Option<String>,
    /// As above.
    pub result: Option<String>,
}

/// What never changes in a row.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRow {
    /// When it was enqueued.
    pub created_at: Time,
    /// The most attempts.
    pub max_attempts: u16,
    /// The payload without secrets, if it is not long.
    pub payload: Option<String>,
    /// The key.
    pub idempotency_key: Option<String>,
}
