//! The parts of the index: what it keeps of a job, of its lease, and of a queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState as FastHash;
use tokio::sync::Notify;

use super::ready::ReadySets;
use crate::job::{IdempotencyKey, JobId, Labels, QueueName, QueueSettings, State, Status, Time};
use crate::store::claim_limits::ClaimLimits;
use crate::store::log_store::journal::nodes::NodeId;
use crate::store::log_store::journal::trail::Trail;

/// What the index keeps of a job. Payload, history and log stay in the chunks of its trail.
#[derive(Debug, Clone)]
pub struct Entry {
    pub labels: Arc<Labels>,
    /// The number of the counters for its queue and kind.
    pub counters: u32,
    pub priority: i16,
    pub status: Status,
    /// When it is due, or was. After the clock was set, it can differ from the time in the record.
    pub run_at: Time,
    /// Whether `run_at` is the end of a delay and not a time that somebody chose, so that it moves with the clock.
    pub is_delayed: bool,
    /// The event that ended it and when; it is archived and pruned in this order.
    pub finished: Option<(u64, Time)>,
    pub key: Option<Box<IdempotencyKey>>,
    pub trail: Trail,
    /// Whether the archiver is writing its record. Controls wait for that.
    pub archiving: bool,
}

/// Where a job is: which loops of this process it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobPlace {
    pub state: State,
    pub counters: u32,
    pub run_at: Time,
}

impl Entry {
    /// Where the job is.
    pub fn place(&self) -> JobPlace {
        JobPlace { state: self.status.state, counters: self.counters, run_at: self.run_at }
    }
}

/// The lease of a running job.
#[derive(Debug, Clone)]
pub struct HeldLease {
    pub token: u64,
    pub keeper: LeaseKeeper,
    /// How long it is kept after the end of the server process through which it was claimed; `None` when the attempt
    /// ends with that process.
    pub kept_for: Option<Duration>,
}

/// Who gives a job back when its lease expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseKeeper {
    /// This process, when the steady clock shows this time.
    Here(Time),
    /// Another node, which knows when it expires; any node once that one is silent.
    Node(NodeId),
}

impl HeldLease {
    /// When it expires, by the steady clock, if this process has to know.
    pub fn expires(&self) -> Option<Time> {
        match self.keeper {
            LeaseKeeper::Here(expires) => Some(expires),
            LeaseKeeper::Node(_) => None,
        }
    }
}

/// The leases by job.
pub type LeasesByJob = HashMap<JobId, HeldLease, FastHash>;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    pub name: QueueName,
    pub settings: QueueSettings,
    /// The number of its jobs in any state, including archived ones.
    pub jobs: u64,
    /// The number of its running jobs.
    pub running: u64,
    /// What claims enforce.
    pub limits: ClaimLimits,
    pub ready: ReadySets,
    /// Wakes the dispatcher of the queue when there may be work.
    pub wake: Arc<Notify>,
}

impl Queue {
    /// Whether it counts towards the limit of queues: it holds a job, is paused, or has a limit of its own.
    pub fn is_known(&self) -> bool {
        self.jobs > 0 || !self.settings.is_default()
    }

    /// Changes its settings, and applies the limits among them.
    pub fn set(&mut self, settings: QueueSettings) {
        self.settings = settings;
        self.limits.set(&settings);
    }
}
