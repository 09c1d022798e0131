//! What a store is told about remote workers: only that something has happened to one of them.

use crate::job::{Actor, Fact, WorkerChange, WorkerName};

/// Something that happened to a remote worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerNotice {
    /// The worker.
    pub worker: WorkerName,
    /// What happened to it.
    pub change: WorkerChange,
    /// Who caused it, if it was not the server itself.
    pub by: Option<Actor>,
}

impl WorkerNotice {
    /// The fact for the event, and who caused it.
    pub fn into_fact(self) -> (Fact, Option<Actor>) {
        (Fact::Worker { worker: self.worker, change: self.change }, self.by)
    }
}
