//! What the committer owns between groups.

use std::sync::Arc;

use super::index::{Entry, Index};
use super::meta::Meta;
use super::shared::Shared;
use crate::job::{Event, Job, Labels, QueueName, Time};
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::log_store::journal::chunks::Journal;
use crate::store::log_store::journal::schedule_rows::Rows;
use crate::store::log_store::journal::trail::Trail;
use crate::store::schedules::Schedules;

/// What the committer owns between groups.
pub struct Core {
    pub shared: Arc<Shared>,
    pub index: Index,
    pub journal: Journal,
    pub archive: Archive,
    /// Stored beside the archive; says which finished jobs it holds.
    pub meta: Meta,
    /// The number of the next event.
    pub next_seq: u64,
    /// Runs that were replaced by the last groups; the next one removes their chunks.
    pub retired: Vec<Arc<Run>>,
    /// The archiver is at work on a run.
    pub archiving: bool,
    /// When the last `tick` expects the next one; an earlier timer is worth a wake.
    pub expected: Option<Time>,
    /// `Started` events whose claims were answered although their group then failed to be synced.
    pub unsure: Vec<Event>,
    /// The cron entries, each with a row of its own on the disk.
    pub schedules: Schedules,
    pub schedule_rows: Rows,
}

impl Core {
    /// The queue's number, made when it is new.
    pub fn queue(&mut self, name: &QueueName) -> u32 {
        let shared = &self.shared;
        self.index.queue(name, || shared.wake(name))
    }

    /// One shared copy of equal labels, and the number of their counters.
    pub fn group_of(&mut self, labels: &Arc<Labels>) -> (Arc<Labels>, u32) {
        if let Some(known) = self.index.interned(labels) {
            return known;
        }
        let queue = self.queue(&labels.queue);
        let group = self.index.group(queue, &labels.kind);
        self.index.intern(labels, group);
        (labels.clone(), group)
    }

    /// Counts a run's jobs.
    pub fn count_run(&mut self, run: &Run) {
        for (queue, kind, state, n) in &run.counts {
            let queue = self.queue(queue);
            let group = self.index.group(queue, kind);
            self.index.count(group, *state, *n);
        }
    }

    /// Takes a run's jobs out of the counts.
    pub fn uncount_run(&mut self, run: &Run) {
        for (queue, kind, state, n) in &run.counts {
            let queue = self.queue(queue);
            let group = self.index.group(queue, kind);
            self.index.uncount(group, *state, *n);
        }
    }

    /// The index entry for a whole job.
    pub fn entry_of(&mut self, job: &Job, trail: Trail) -> Entry {
        let (labels, group) = self.group_of(&job.labels);
        Entry {
            labels,
            group,
            priority: job.spec.priority,
            status: job.status,
            run_at: job.run_at,
            finished: job.finished_at().map(|at| (job.seq, at)),
            key: job.spec.idempotency_key.clone().map(Box::new),
            trail,
            archiving: false,
        }
    }

    /// Asks for a tick when `timer` ends before the next one.
    pub fn expect(&mut self, timer: Time) {
        if self.expected.is_none_or(|expected| timer < expected) {
            self.expected = Some(timer);
            self.shared.timer.notify_one();
        }
    }
}
