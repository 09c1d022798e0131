//! Statistics of a store that it can give without a scan: counters, and how much is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ConfiguredLimits;
use crate::job::{Concurrency, Cursor, JobQuery, Kind, QueueName, QueueSettings, State, Time};

/// The numbers of jobs by state, queue and kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// The number of jobs in each state. Every state is present.
    pub states: BTreeMap<State, u64>,
    /// The queues that hold a job, are paused, or have a limit of their own.
    pub queues: BTreeMap<QueueName, QueueStats>,
    /// The number of jobs of each kind by state. Kinds without jobs may be missing.
    pub kinds: BTreeMap<Kind, BTreeMap<State, u64>>,
    /// The cursor at which they were read.
    pub cursor: Cursor,
    /// The oldest cursor from which the log is complete.
    pub oldest: Cursor,
}

impl Stats {
    /// How many jobs a query finds, if the counters can tell. They are kept by state for each queue and for each kind,
    /// so they cannot tell for both together, nor for tags, times and records.
    pub fn count(&self, query: &JobQuery) -> Option<u64> {
        let JobQuery {
            states,
            queues,
            kinds,
            tags,
            since,
            until,
            ended_since,
            ended_until,
            terms,
            after: _,
            limit: _,
            most_examined: _,
        } = query;
        let times = [since, until, ended_since, ended_until];
        let has_other_filters =
            !tags.is_empty() || times.into_iter().any(Option::is_some) || !terms.is_empty();
        let in_states = |counts: &BTreeMap<State, u64>| -> u64 {
            let wanted = |state: &State| states.is_empty() || states.contains(state);
            counts.iter().filter(|(state, _)| wanted(state)).map(|(_, count)| count).sum()
        };
        match (queues.as_slice(), kinds.as_slice()) {
            (_, _) if has_other_filters => None,
            ([], []) => Some(in_states(&self.states)),
            (queues, []) => {
                let of = |name| self.queues.get(name).map_or(0, |queue| in_states(&queue.states));
                Some(queues.iter().map(of).sum())
            }
            ([], kinds) => {
                let of = |kind| self.kinds.get(kind).map_or(0, in_states);
                Some(kinds.iter().map(of).sum())
            }
            (_, _) => None,
        }
    }
}

/// The state of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The number of jobs in each state. States without jobs may be missing.
    pub states: BTreeMap<State, u64>,
    /// What was set for the queue at run time.
    pub settings: QueueSettings,
    /// The limits that the configuration gives to it.
    pub configured: ConfiguredLimits,
    /// Since when the job that has waited longest is available; `None` when there is none. Of more than 1,000
    /// priorities only the highest are examined.
    pub waiting_since: Option<Time>,
    /// How many attempts may run at once, over all workers; `None` when the queue has no limit of its own.
    pub concurrency: Option<Concurrency>,
    /// How long until its rate limit allows the next attempt; `None` when it allows one now.
    pub rate_wait: Option<Duration>,
}

/// How much is stored, and what was written since the store was opened. A store that has no disk returns zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storage {
    /// The size of the store on disk in bytes.
    pub disk_bytes: u64,
    /// The size of the journal in bytes.
    pub journal_bytes: u64,
    /// The number of chunks in the journal.
    pub journal_chunks: u64,
    /// The number of runs in the archive.
    pub archive_runs: u64,
    /// The number of jobs in the archive.
    pub archived_jobs: u64,
    /// The size of the accepted events before compression, in bytes.
    pub accepted_bytes: u64,
    /// The bytes that were written for them: keys and values, including the archive and everything that was rewritten.
    pub written_bytes: u64,
    /// The number of committed groups.
    pub groups: u64,
    /// The number of syncs.
    pub syncs: u64,
    /// The number of lists and searches that are running.
    pub searches: u64,
    /// The number of reads of the log that are running.
    pub log_reads: u64,
    /// The median CPU time of publishing a group to its followers, in nanoseconds.
    pub publish_p50_ns: u64,
    /// The 99th percentile of that time.
    pub publish_p99_ns: u64,
    /// All of these times.
    pub publish_times: PublishTimes,
}

/// The CPU time of publishing groups to their followers, counted in buckets. Each bound is four times the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishTimes {
    /// The count of each bucket alone; the last one has no bound.
    pub counts: [u64; PublishTimes::BUCKETS],
    /// The sum of all times in nanoseconds.
    pub sum_ns: u64,
}

impl PublishTimes {
    /// The number of buckets.
    pub const BUCKETS: usize = 11;
    /// The upper bound of the first bucket, in nanoseconds.
    const FIRST_BOUND_NS: u64 = 1 << 10;

    /// The bucket of a time in nanoseconds.
    pub fn bucket(nanos: u64) -> usize {
        let bounds = (0..Self::BUCKETS - 1).map(Self::bound_ns);
        bounds.take_while(|bound| *bound < nanos).count()
    }

    /// The upper bound of each bucket in seconds, infinite for the last one, and the count of this bucket alone.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = (0..Self::BUCKETS - 1).map(|bucket| Self::bound_ns(bucket) as f64 / 1e9);
        bounds.chain([f64::INFINITY]).zip(self.counts).collect()
    }

    /// The sum of all times in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    fn bound_ns(bucket: usize) -> u64 {
        Self::FIRST_BOUND_NS << (2 * bucket)
    }
}
