//! The server as it was at an earlier moment of its event log: counters, lists of jobs and single jobs, read back from
//! checkpoints of the counters, from the log, and from the records of the jobs that still exist.

pub mod limits;
mod past_counters;
mod past_jobs;
mod past_log;

use tokio::sync::OwnedSemaphorePermit;

use crate::engine::Engine;
use crate::job::{Cursor, Event, Job, JobId, PageCursor, Time};
use crate::store::StoreError;

/// What an earlier moment is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The state after the last event at or before this time.
    Time(Time),
    /// The state after this event.
    Cursor(Cursor),
}

/// A moment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The last event that had happened.
    pub cursor: Cursor,
    /// The time that the pages show: of the event, or the one that was asked for if that is later.
    pub at: Time,
}

/// How far back the log reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The oldest moment.
    pub oldest: Past,
    /// The newest one.
    pub newest: Past,
}

/// A job as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PastJob {
    /// The record. Without payload, result, log and the texts of errors if the job is gone.
    pub job: Job,
    /// Whether it has been deleted since, by somebody or by retention.
    pub is_gone: bool,
}

/// A page of jobs as they were, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct PastPage {
    /// The jobs.
    pub jobs: Vec<PastJob>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageCursor>,
    /// Below this id, jobs that have been removed since are missing; `None` when the page is complete.
    pub incomplete_below: Option<JobId>,
}

/// Why a moment cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// The log does not reach back to it.
    #[error("the event log reaches back to {} only", .oldest.at)]
    TooOld {
        /// The oldest moment that can be shown.
        oldest: Past,
    },
    /// It has not come yet.
    #[error("this moment has not come yet")]
    Future,
    /// The cursor is of another log.
    #[error("the cursor belongs to another event log, as before a restore")]
    OtherEpoch,
    /// Events that are needed for it were removed from the log meanwhile.
    #[error("the events of this moment were just removed from the log")]
    Trimmed,
    /// The counters of that moment are not known, because no checkpoint is near enough.
    #[error("the counters of this moment were not kept")]
    NotCounted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Waits until there is room for one more page of an earlier moment, and keeps it as long as the permit lives. Each may
    /// read many thousands of events.
    ///
    /// # Errors
    /// The engine has stopped.
    pub async fn rewind_permit(&self) -> Result<OwnedSemaphorePermit, RewindError> {
        let permit = self.parts.rewinding.clone().acquire_owned().await;
        permit.map_err(|_| RewindError::Store(StoreError::Closed))
    }

    /// How far back the log reaches; `None` while it has no event.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reach(&self) -> Result<Option<Reach>, RewindError> {
        let stats = self.stats().await?;
        let (oldest, newest) = (stats.oldest, stats.cursor);
        if newest.seq == oldest.seq {
            return Ok(None);
        }
        // Counters are known from a while before the oldest checkpoint on.
        let counted = self.parts.observed.lock().checkpoints.oldest().unwrap_or(newest.seq);
        let first =
            (oldest.seq + 1).max(counted.saturating_sub(self.config().rewind.counted_events));
        let oldest = self.moment(Cursor { seq: first, ..oldest }).await?;
        let newest = self.moment(newest).await?;
        Ok(Some(Reach { oldest, newest }))
    }

    /// Finds a moment in the log, and the last event that had happened by then. `reach` is what [`Engine::reach`] returned.
    ///
    /// # Errors
    /// The log does not have it.
    pub async fn past(&self, reach: &Reach, when: When) -> Result<(Past, Event), RewindError> {
        let Reach { oldest, newest } = *reach;
        match when {
            When::Cursor(cursor) if cursor.epoch != newest.cursor.epoch => {
                Err(RewindError::OtherEpoch)
            }
            When::Cursor(cursor) if cursor.seq > newest.cursor.seq => Err(RewindError::Future),
            When::Cursor(cursor) if cursor.seq < oldest.cursor.seq => {
                Err(RewindError::TooOld { oldest })
            }
            When::Cursor(cursor) => {
                let event = self.event(cursor).await?;
                Ok((Past { cursor, at: event.at }, event))
            }
            When::Time(at) if at > self.now() => Err(RewindError::Future),
            When::Time(at) => {
                let end = Time::from_millis(at.millis() + 1);
                let event = self.last_before(oldest.cursor, newest.cursor, end).await?;
                let event = event.ok_or(RewindError::TooOld { oldest })?;
                Ok((Past { cursor: event.cursor(newest.cursor), at }, event))
            }
        }
    }
}
