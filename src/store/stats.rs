//! Counters, and how much is stored: what a store can tell of itself without a scan.

use std::collections::BTreeMap;

use crate::job::{Cursor, JobQuery, Kind, QueueName, RateRule, State, Time};

/// Counters.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Jobs in each state, every state present.
    pub states: BTreeMap<State, u64>,
    /// Every queue that holds a stored job, is paused, or has a limit of its own.
    pub queues: BTreeMap<QueueName, QueueStats>,
    /// Jobs of each kind, by state; kinds without jobs may be missing.
    pub kinds: BTreeMap<Kind, BTreeMap<State, u64>>,
    /// The place in the log they were read at.
    pub cursor: Cursor,
    /// The oldest place from which the log is complete.
    pub oldest: Cursor,
}

impl Stats {
    /// How many jobs a query finds, as far as counters reach: they are kept by state within queues and
    /// within kinds, and know nothing of both together, of tags, times and records.
    pub fn count(&self, query: &JobQuery) -> Option<u64> {
        let JobQuery { states, queues, kinds, tags, since, until, terms, after: _, limit: _ } =
            query;
        let beyond = !tags.is_empty() || since.or(*until).is_some() || !terms.is_empty();
        let in_states = |counts: &BTreeMap<State, u64>| -> u64 {
            let wanted = |state: &State| states.is_empty() || states.contains(state);
            counts.iter().filter(|(state, _)| wanted(state)).map(|(_, count)| count).sum()
        };
        match (queues.as_slice(), kinds.as_slice()) {
            (_, _) if beyond => None,
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

/// Counters of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Jobs in each state; states without jobs may be missing.
    pub states: BTreeMap<State, u64>,
    /// Whether claims are held back.
    pub paused: bool,
    /// How many attempts somebody said may run at once; `None`: the configuration says.
    pub concurrency: Option<u32>,
    /// How often somebody said attempts may begin; `None`: the configuration says.
    pub rate_limit: Option<RateRule>,
    /// Since when the job that waits longest is available; `None` when none is. Of more than 1,000
    /// priorities the highest are looked at.
    pub waiting_since: Option<Time>,
}

/// How much is stored, and what was written since the store was opened. A store that keeps nothing on
/// a disk answers with zeros for all of that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storage {
    /// Bytes that the store takes on the disk.
    pub disk_bytes: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Chunks of the journal.
    pub journal_chunks: u64,
    /// Runs of the archive.
    pub archive_runs: u64,
    /// Jobs in the archive.
    pub archived_jobs: u64,
    /// Bytes of the events that were accepted, before compression.
    pub accepted_bytes: u64,
    /// Bytes handed to the storage layer for them: keys, values, the archive, what was written again.
    pub written_bytes: u64,
    /// Groups committed.
    pub groups: u64,
    /// Syncs of the disk.
    pub syncs: u64,
    /// Lists and searches under way.
    pub searches: u64,
    /// Reads of the log under way.
    pub log_reads: u64,
    /// Nanoseconds of the processor that handing a committed group to those who follow takes half of the
    /// time at most.
    pub publish_p50_ns: u64,
    /// The same for all but one in a hundred.
    pub publish_p99_ns: u64,
}
