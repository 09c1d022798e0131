//! What the committer owns: the index, the tables of journal and archive, and the numbers that come next.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::entry::{Entry, Queue};
use super::future_waits::FutureWaits;
use super::index::Index;
use super::meta::Meta;
use super::ready::ReadySets;
use super::shared::Shared;
use super::turns::Turns;
use crate::access::AccessTable;
use crate::job::{Event, Job, JobId, Labels, QueueName, QueueSettings, Time};
use crate::store::SharedLimits;
use crate::store::claim_limits::ClaimLimits;
use crate::store::clock_changes::TickWatch;
use crate::store::kinds::DeclaredKinds;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::log_store::journal::chunks::Journal;
use crate::store::log_store::journal::nodes::{ChangedRows, NodeId};
use crate::store::log_store::journal::row_lengths::RowLengths;
use crate::store::log_store::journal::trail::Trail;
use crate::store::schedules::Schedules;

/// The state of the store between two groups, owned by the committer.
pub struct Core {
    pub shared: Arc<Shared>,
    /// The node that has written the chunk that is being read.
    pub writer: Option<NodeId>,
    /// Which nodes append at present.
    pub turns: Turns,
    pub index: Index,
    pub journal: Journal,
    pub archive: Archive,
    /// The limits of queues and the retention in force. On a shared log they are those of the node that was started last.
    pub limits_in_force: Arc<SharedLimits>,
    /// The description of the store, which says up to which event finished jobs are archived.
    pub meta: Meta,
    /// The rows that another node has changed and that are still to be read.
    pub stale_rows: ChangedRows,
    /// The number of the next event.
    pub next_seq: u64,
    /// Runs that earlier groups have replaced. The next group removes their chunks.
    pub retired: Vec<Arc<Run>>,
    /// Whether the archiver is building a run.
    pub archiving: bool,
    /// The other nodes that are at work, as of the last heartbeat.
    pub nodes_at_work: BTreeSet<NodeId>,
    /// Since when enough jobs have finished for a run, and no other node has written one.
    pub waits_for_run_since: Option<Instant>,
    /// How often another node has changed the archive.
    pub foreign_archives: u64,
    /// When the next `tick` is due, as far as the timer loop knows. An earlier timer has to wake it.
    pub next_tick: Option<Time>,
    /// The `Started` events of claims that were answered although their group then failed to be synced.
    pub unsynced_claims: Vec<Event>,
    /// The events of groups of this node that are in the log although their callers were refused.
    pub refused: Vec<Event>,
    /// The jobs that were enqueued from the inbox, until their group is known to be written or not. They are not taken back,
    /// because their rows are gone with the group.
    pub from_inbox: BTreeSet<JobId>,
    /// Notices when the clock is set, and when time zones become known.
    pub watch: TickWatch,
    /// The waits that began while the clock was ahead, until they are corrected.
    pub future_waits: FutureWaits,
    /// The cron entries. Each has a row of its own in the log.
    pub schedules: Schedules,
    /// The kinds that were declared at run time. Each has a row of its own in the log.
    pub kinds: Arc<DeclaredKinds>,
    /// Users, tokens, sessions and share links. Each has a row of its own in the log.
    pub access: Arc<AccessTable>,
    /// The lengths of these rows.
    pub rows: RowLengths,
}

impl Core {
    /// The number of a queue, which is created if it is new.
    pub fn queue(&mut self, name: &QueueName) -> u32 {
        let (shared, limits) = (&self.shared, &self.limits_in_force);
        self.index.queue(name, || Queue {
            name: name.clone(),
            settings: QueueSettings::default(),
            jobs: 0,
            running: 0,
            limits: ClaimLimits::new(limits.queues.get(name)),
            ready: ReadySets::default(),
            wake: shared.wake(name),
        })
    }

    /// The shared copy of these labels, and the number of the counters for their queue and kind.
    pub fn counters_of(&mut self, labels: &Arc<Labels>) -> (Arc<Labels>, u32) {
        if let Some(known) = self.index.interned(labels) {
            return known;
        }
        let queue = self.queue(&labels.queue);
        let counters = self.index.counters(queue, &labels.kind);
        self.index.intern(labels, counters);
        (labels.clone(), counters)
    }

    /// Adds a run's jobs to the counters.
    pub fn count_run(&mut self, run: &Run) {
        for (queue, kind, state, n) in &run.counts {
            let queue = self.queue(queue);
            let counters = self.index.counters(queue, kind);
            self.index.count(counters, *state, *n);
        }
    }

    /// Subtracts a run's jobs from the counters.
    pub fn uncount_run(&mut self, run: &Run) {
        for (queue, kind, state, n) in &run.counts {
            let queue = self.queue(queue);
            let counters = self.index.counters(queue, kind);
            self.index.uncount(counters, *state, *n);
        }
    }

    /// How many of the other nodes that are at work come before this one in the order of their numbers.
    pub fn nodes_before(&self) -> u32 {
        let before = self.shared.node.map_or(0, |own| self.nodes_at_work.range(..own).count());
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// A number that increases with every outage and with every change that another node makes to the archive.
    pub fn archive_version(&self) -> u64 {
        self.shared.outages.load(Ordering::Acquire) + self.foreign_archives
    }

    /// Forgets the run that is being built. Its jobs are selected again.
    pub fn abandon_run(&mut self) {
        self.archiving = false;
        for id in self.index.sets.finished.values().flat_map(|state| state.values()) {
            if let Some(entry) = self.index.entries.get_mut(id) {
                entry.archiving = false;
            }
        }
    }

    /// Makes the index entry of a stored job.
    pub fn entry_of(&mut self, job: &Job, trail: Trail) -> Entry {
        let (labels, counters) = self.counters_of(&job.labels);
        Entry {
            labels,
            counters,
            priority: job.spec.priority,
            status: job.status,
            run_at: job.run_at,
            is_delayed: job.is_delayed(),
            finished: job.finished_at().map(|at| (job.seq, at)),
            key: job.spec.idempotency_key.clone().map(Box::new),
            trail,
            archiving: false,
        }
    }

    /// Shows readers when processes opened the store.
    pub fn publish_starts(&self) {
        let starts = self.meta.starts.clone();
        *self.shared.starts.write().unwrap_or_else(PoisonError::into_inner) = starts;
    }

    /// Wakes the timer loop when `timer` ends before the next tick.
    pub fn expect_tick(&mut self, timer: Time) {
        if self.next_tick.is_none_or(|next_tick| timer < next_tick) {
            self.next_tick = Some(timer);
            self.shared.timer.notify_one();
        }
    }
}
