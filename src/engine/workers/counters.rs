//! Counters about remote workers since the start of the process, for `/metrics`. None of them is kept per worker, so that
//! their number is bounded.

use std::sync::atomic::{AtomicU64, Ordering};

/// How the attempt of a remote worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteEnd {
    /// The worker reported a result.
    Done,
    /// The worker reported an error after which the job is tried again.
    Retry,
    /// The worker asked for a later attempt.
    Snooze,
    /// The worker reported an error after which the job is not tried again.
    Discard,
    /// The worker stopped because the job was cancelled.
    Cancelled,
    /// The worker gave the job back.
    Returned,
    /// The server ended the attempt at its timeout.
    TimedOut,
    /// The lease expired, and the job was rescued.
    Expired,
}

impl RemoteEnd {
    /// All ends.
    pub const ALL: [RemoteEnd; 8] = [
        RemoteEnd::Done,
        RemoteEnd::Retry,
        RemoteEnd::Snooze,
        RemoteEnd::Discard,
        RemoteEnd::Cancelled,
        RemoteEnd::Returned,
        RemoteEnd::TimedOut,
        RemoteEnd::Expired,
    ];

    /// The public name: the `outcome` that a worker reports, or what the server did.
    pub fn as_str(self) -> &'static str {
        match self {
            RemoteEnd::Done => "done",
            RemoteEnd::Retry => "retry",
            RemoteEnd::Snooze => "snooze",
            RemoteEnd::Discard => "discard",
            RemoteEnd::Cancelled => "cancelled",
            RemoteEnd::Returned => "returned",
            RemoteEnd::TimedOut => "timed_out",
            RemoteEnd::Expired => "expired",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    started: AtomicU64,
    ended: [AtomicU64; RemoteEnd::ALL.len()],
    stale: AtomicU64,
    refused: AtomicU64,
}

impl WorkerCounters {
    /// Notes that attempts have started.
    pub fn started(&self, count: usize) {
        self.started.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Notes that attempts have ended in this way.
    pub fn ended(&self, end: RemoteEnd, count: usize) {
        self.ended[end as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Notes a report about an attempt whose lease was lost.
    pub fn stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a worker was refused because there were too many.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The current values.
    pub fn read(&self) -> RemoteCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RemoteCounts {
            started: read(&self.started),
            ended: RemoteEnd::ALL.map(|end| (end, read(&self.ended[end as usize]))),
            stale: read(&self.stale),
            refused: read(&self.refused),
        }
    }
}

/// The values of the counters.
#[derive(Debug, Clone)]
pub struct RemoteCounts {
    /// The attempts that have started.
    pub started: u64,
    /// The attempts that have ended in each way.
    pub ended: [(RemoteEnd, u64); RemoteEnd::ALL.len()],
    /// The reports about attempts whose leases were lost.
    pub stale: u64,
    /// The workers that were refused because there were too many.
    pub refused: u64,
}
