//! The server as it was at an earlier moment of its event log: counters, lists of jobs and single jobs, read back from
//! checkpoints of the counters, from the log, and from the records of the jobs that still exist.

use crate::engine::Engine;
use crate::job::{Cursor, Job, JobId, JobQuery, PageCursor, Time};
use crate::store::{Events, Stats, StoreError};

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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// How far back the log reaches; `None` while it has no event.
    pub async fn reach(&self) -> Result<Option<Reach>, RewindError> {
        let stats = self.stats().await?;
        let (oldest, newest) = (stats.oldest, stats.cursor);
        if newest.seq == oldest.seq {
            return Ok(None);
        }
        let first = Cursor { seq: oldest.seq + 1, ..oldest };
        let oldest = Past { cursor: first, at: self.time_of(first).await? };
        let newest = Past { cursor: newest, at: self.time_of(newest).await? };
        Ok(Some(Reach { oldest, newest }))
    }

    /// Finds a moment in the log.
    ///
    /// # Errors
    /// The log does not have it.
    pub async fn past(&self, when: When) -> Result<Past, RewindError> {
        let Some(Reach { newest, .. }) = self.reach().await? else {
            return Err(RewindError::Future);
        };
        match when {
            When::Time(at) => Ok(Past { at, ..newest }),
            When::Cursor(cursor) => Ok(Past { cursor, at: self.time_of(cursor).await? }),
        }
    }

    /// The counters as they were.
    pub async fn stats_at(&self, _past: &Past) -> Result<Stats, RewindError> {
        Ok(self.stats().await?)
    }

    /// A page of jobs as they were. `query` filters by what they were then.
    pub async fn jobs_at(&self, _past: &Past, query: JobQuery) -> Result<PastPage, RewindError> {
        let page = self.jobs(query).await?;
        let jobs = page.jobs.into_iter().map(|job| PastJob { job, is_gone: false }).collect();
        Ok(PastPage { jobs, next: page.next, incomplete_below: None })
    }

    /// A job as it was; `None` when it did not exist, or nothing is known of it.
    pub async fn job_at(&self, _past: &Past, id: JobId) -> Result<Option<PastJob>, RewindError> {
        Ok(self.job(id).await?.0.map(|job| PastJob { job, is_gone: false }))
    }

    async fn time_of(&self, cursor: Cursor) -> Result<Time, RewindError> {
        let before = Cursor { seq: cursor.seq.saturating_sub(1), ..cursor };
        match self.events(before, 1).await? {
            Events::Some(events) => events.first().map(|event| event.at).ok_or(RewindError::Future),
            Events::Gap { .. } => Err(RewindError::OtherEpoch),
        }
    }
}
