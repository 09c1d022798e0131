//! The connected workers that run a kind.

use std::collections::HashMap;

use super::super::kind_workers::KindWorkers;
use super::WorkerTable;
use crate::engine::workers::entry::{WorkerEntry, WorkerState};
use crate::job::{Kind, QueueName};

impl WorkerTable {
    /// How many connected workers take jobs of a kind.
    pub fn workers_of(&self, kind: &Kind) -> usize {
        self.active().filter(|worker| worker.interest.kinds.contains(kind)).count()
    }

    /// How many connected workers take jobs of each kind.
    pub fn workers_by_kind(&self) -> HashMap<Kind, usize> {
        let mut counts = HashMap::new();
        for worker in self.active() {
            for kind in worker.interest.kinds.iter() {
                *counts.entry(kind.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// The connected workers that run a kind, by whether they take jobs of a queue.
    pub fn workers_for(&self, kind: &Kind, queue: &QueueName) -> KindWorkers {
        let mut found = KindWorkers::default();
        let running = |worker: &&WorkerEntry| worker.interest.kinds.contains(kind);
        for worker in self.workers.values().map(Box::as_ref).filter(running) {
            match worker.state() {
                WorkerState::Silent => {}
                WorkerState::Quiet | WorkerState::Stopping => found.withdrawn += 1,
                WorkerState::Active if worker.interest.queues.contains(queue) => found.able += 1,
                WorkerState::Active => found.elsewhere += 1,
            }
        }
        found
    }

    /// The connected workers that take jobs.
    fn active(&self) -> impl Iterator<Item = &WorkerEntry> {
        self.workers
            .values()
            .map(Box::as_ref)
            .filter(|worker| worker.state() == WorkerState::Active)
    }
}
