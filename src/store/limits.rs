//! The limits of a store. Each is a setting.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claim_limits::ConfiguredLimits;
use super::permissions::GroupAccess;
use crate::access::AccessLimits;
use crate::job::{LogCaps, QueueName};

/// The limits of a store, given at its opening.
#[derive(Debug, Clone)]
pub struct StoreLimits {
    /// How many jobs may wait (scheduled, available, retryable) before `enqueue` answers `Full`.
    pub max_waiting: u64,
    /// How many queues there may be. A queue counts while it holds a stored job, is paused, or has a limit of its own.
    pub max_queues: usize,
    /// The limits that the configuration gives to queues.
    pub queues: BTreeMap<QueueName, ConfiguredLimits>,
    /// How many schedules there may be.
    pub max_schedules: usize,
    /// How many kinds may be declared at run time, by the API and by workers.
    pub max_kinds: usize,
    /// How much of each job's log is kept.
    pub log: LogCaps,
    /// How long and how many finished jobs are kept.
    pub retention: Retention,
    /// How many transitions of each sort one `tick` may do.
    pub tick_step: usize,
    /// The number of finished jobs at which a store on disk moves them to its archive.
    pub archive_from: usize,
    /// The size of a journal in bytes below which no job is copied forward to remove old chunks.
    pub carry_above: u64,
    /// The number of events from which a store on disk writes a group on a thread of its own while it applies the next
    /// one.
    pub pipeline_from: usize,
    /// How many reads of the disk may run at once, each on a thread. The allocator keeps memory for each thread, so a
    /// burst of reads must not start hundreds of them.
    pub readers: usize,
    /// How many jobs one `list` examines before it answers with what it has found. It may examine a few more.
    pub search_step: usize,
    /// How long one snapshot, such as an export or a backup, may keep the log from being trimmed.
    pub max_export: Duration,
    /// How long one `list` may take before it answers with what it has found, including the wait for other searches. At
    /// least one job is examined.
    pub search_time: Duration,
    /// How many of the readers may search at once, so that the others are free for everything else.
    pub search_readers: usize,
    /// The size in bytes of the records that one read of the log, or one page of a list, reads before it answers. It
    /// may be exceeded by one record, so that every read makes progress.
    pub read_bytes: usize,
    /// How many of the readers may read the log at once, for the same reason.
    pub log_readers: usize,
    /// The limits of users, tokens, sessions and share links.
    pub access: AccessLimits,
    /// Whether a start warns when a group has access to the data directory.
    pub group_access: GroupAccess,
    /// How long a node of a shared log may be silent before the others give back what it was running.
    pub node_silence: Duration,
}

/// The limits that all nodes of a shared log apply alike, whatever their configurations say: those of the node that was
/// started last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLimits {
    /// The limits that the configuration gives to queues.
    pub queues: BTreeMap<QueueName, ConfiguredLimits>,
    /// How long and how many finished jobs are kept.
    pub retention: Retention,
}

impl StoreLimits {
    /// Those that other nodes apply as well.
    pub fn shared(&self) -> SharedLimits {
        SharedLimits { queues: self.queues.clone(), retention: self.retention }
    }
}

/// How long and how many finished jobs and events are kept. Jobs past either bound are removed, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The bound of completed jobs.
    pub completed: Keep,
    /// The bound of cancelled jobs.
    pub cancelled: Keep,
    /// The bound of discarded jobs.
    pub discarded: Keep,
    /// The bound of events in the log.
    pub events: Keep,
}

/// A bound by age and by count. What is past either of them is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The age at which it is removed, counted from the end of the job or the commit of the event.
    pub age: Duration,
    /// How many of the newest are kept.
    pub count: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            max_waiting: 10_000_000,
            max_queues: 1_000,
            queues: BTreeMap::new(),
            max_schedules: 1_000,
            max_kinds: 10_000,
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
            access: AccessLimits::default(),
            group_access: GroupAccess::default(),
            node_silence: Duration::from_secs(15),
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
