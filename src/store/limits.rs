//! The bounds a store keeps to. Each is a setting.

use std::time::Duration;

use crate::job::LogCaps;

/// What a store is told at its opening.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Jobs that may wait (scheduled, available, retryable) before `enqueue` answers `Full`.
    pub max_waiting: u64,
    /// Distinct queues. A queue counts while it holds a stored job, is paused, or has a limit of its own.
    pub max_queues: usize,
    /// Schedules.
    pub max_schedules: usize,
    /// How much of each job's log is kept.
    pub log: LogCaps,
    /// How long and how many finished jobs are kept.
    pub retention: Retention,
    /// Transitions of each sort one `tick` does.
    pub tick_step: usize,
    /// Finished jobs that a store on a disk keeps at hand before it packs them away together.
    pub archive_from: usize,
    /// Bytes of a journal below which no old job is copied forward so that old chunks can go.
    pub carry_above: u64,
    /// Events that a store on a disk writes on a thread of their own while it applies what comes next;
    /// fewer are written at once.
    pub pipeline_from: usize,
    /// Reads of the disk under way at once, each on a thread; others wait for their turn. What an allocator
    /// keeps for a thread stays when it is gone, so a burst of reads must not begin hundreds.
    pub readers: usize,
    /// Jobs that one `list` looks at before it answers with what it has found. A little more when they
    /// lie close together.
    pub search_step: usize,
    /// How long one snapshot may hold the trimming up, however fast it is read: an export, a backup.
    pub max_export: Duration,
    /// How long one `list` may take before it answers with what it has found, the wait for its turn among
    /// other searches included. At least one job is looked at.
    pub search_time: Duration,
    /// How many of the readers may search at once, so that others are free for everything else.
    pub search_readers: usize,
    /// Bytes of records that one read of the log, or one page of a list, goes through before it answers
    /// with what it has; a little more, for it always comes further.
    pub read_bytes: usize,
    /// How many of the readers may read the log at once, for the same reason.
    pub log_readers: usize,
}

/// How long and how many finished jobs and events are kept. Jobs past either bound go, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Completed jobs.
    pub completed: Keep,
    /// Cancelled jobs.
    pub cancelled: Keep,
    /// Discarded jobs: the dead letters.
    pub discarded: Keep,
    /// Events in the log.
    pub events: Keep,
}

/// A bound by age and one by count; what is past either goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Since the job finished, or the event was committed; gone once that old.
    pub age: Duration,
    /// How many of the newest.
    pub count: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_waiting: 10_000_000,
            max_queues: 1_000,
            max_schedules: 1_000,
            log: LogCaps::default(),
            retention: Retention::default(),
            tick_step: 1_000,
            archive_from: 2_000,
            carry_above: 32 * 1_024 * 1_024,
            pipeline_from: 512,
            readers: 8,
            search_step: 50_000,
            max_export: Duration::from_secs(3_600),
            search_time: Duration::from_secs(2),
            search_readers: 2,
            read_bytes: 16 * 1_024 * 1_024,
            log_readers: 2,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        let finished = Keep { age: DAY, count: 1_000_000 };
        Retention {
            completed: finished,
            cancelled: finished,
            discarded: Keep { age: 30 * DAY, count: 1_000_000 },
            events: finished,
        }
    }
}
