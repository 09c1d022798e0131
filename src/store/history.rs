//! What was counted over time, for charts of hours and weeks. The store keeps these rows longer than the events that were
//! counted; what their values mean is up to the engine.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::job::{Cursor, Kind, QueueName, Time};

/// The rows of a store. They have no events, so nobody is told of a change.
#[async_trait]
pub trait HistoryTable: Send + Sync {
    /// Stores rows, all or none. Returns `false`, and stores nothing, when rows that have counted as far are stored already
    /// ([`HistoryProgress::may_follow`]).
    async fn put(&self, batch: HistoryBatch) -> Result<bool, StoreError>;

    /// Up to where the stored rows have counted the log; `None` when there are none.
    async fn progress(&self) -> Result<Option<HistoryProgress>, StoreError>;

    /// The rows of a series, from a number on, in the order of their numbers.
    async fn rows(
        &self,
        step: HistoryStep,
        series: HistorySeries,
        from: u64,
    ) -> Result<Vec<HistoryRow>, StoreError>;

    /// The rows with one number, of the whole server, of all queues and of all kinds.
    async fn rows_at(&self, step: HistoryStep, number: u64) -> Result<Vec<HistoryRow>, StoreError>;
}

/// What the number in the key of a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistoryStep {
    /// Minutes since 1970.
    Minute,
    /// Ten minutes since 1970.
    TenMinutes,
    /// Hours since 1970.
    Hour,
    /// Changes of settings, which charts mark at their time.
    Mark,
    /// Events up to which the counters of jobs are stored.
    Counters,
    /// Nothing: the number stands for a schedule, and the row has its newest runs.
    ScheduleRuns,
}

/// Which jobs a row is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistorySeries {
    /// Those of the whole server.
    Server,
    /// Those in a queue.
    Queue(QueueName),
    /// Those of a kind.
    Kind(Kind),
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryKey {
    /// What the number counts.
    pub step: HistoryStep,
    /// Which jobs it is about.
    pub series: HistorySeries,
    /// The number of the interval or of the mark.
    pub number: u64,
}

/// A row: its key, and its value of at most [`MAX_HISTORY_VALUE`] bytes.
pub type HistoryRow = (HistoryKey, Vec<u8>);

/// The most bytes of a value, so that each fits into one piece of every log.
pub const MAX_HISTORY_VALUE: usize = 6_000;

/// Up to where the stored rows have counted the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryProgress {
    /// The last event that was counted.
    pub through: Cursor,
    /// The newest time of an event that was counted.
    pub at: Time,
}

/// Rows that are stored in one step.
#[derive(Debug, Clone)]
pub struct HistoryBatch {
    /// Up to where the rows have counted.
    pub progress: HistoryProgress,
    /// The rows, each with everything that was counted in its interval so far. They replace those of the same keys.
    /// A row without a value only removes the one of its key.
    pub rows: Vec<HistoryRow>,
    /// Removes rows of these steps whose number is less; a bounded number of them, the next batch removes more.
    pub forget: Vec<(HistoryStep, u64)>,
}

impl HistoryStep {
    /// All steps.
    pub const ALL: [HistoryStep; 6] = [
        HistoryStep::Minute,
        HistoryStep::TenMinutes,
        HistoryStep::Hour,
        HistoryStep::Mark,
        HistoryStep::Counters,
        HistoryStep::ScheduleRuns,
    ];

    /// The letter of the step in the keys of the server and of queues.
    pub fn letter(self) -> u8 {
        match self {
            HistoryStep::Minute => b'm',
            HistoryStep::TenMinutes => b't',
            HistoryStep::Hour => b'h',
            HistoryStep::Mark => b'k',
            HistoryStep::Counters => b'c',
            HistoryStep::ScheduleRuns => b'r',
        }
    }
}

impl From<Option<&QueueName>> for HistorySeries {
    /// The series of a queue, or of the whole server.
    fn from(queue: Option<&QueueName>) -> HistorySeries {
        queue.map_or(HistorySeries::Server, |queue| HistorySeries::Queue(queue.clone()))
    }
}

impl HistoryProgress {
    /// Whether rows that have counted so far may be stored when others have counted up to `stored`. Every process that
    /// shares a store counts the same events, so whoever has counted more knows everything that the other one knows.
    pub fn may_follow(&self, stored: Option<&HistoryProgress>) -> bool {
        stored.is_none_or(|stored| {
            stored.through.epoch != self.through.epoch || stored.through.seq < self.through.seq
        })
    }
}
