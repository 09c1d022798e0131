//! Remote workers and their attempts as the API and the pages show them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{WorkerEntry, WorkerState};
use super::registration::{WorkerAbout, WorkerTransport};
use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::table::WorkerTable;
use super::waiting_claims::Interest;
use crate::job::{Actor, JobId, Labels, Time, WorkerName};

/// A remote worker as it is shown.
#[derive(Debug, Clone)]
pub struct WorkerReport {
    /// Its name.
    pub name: WorkerName,
    /// What it says about itself.
    pub about: WorkerAbout,
    /// The jobs that it can run.
    pub interest: Arc<Interest>,
    /// How long its leases last.
    pub lease: Duration,
    /// How it is connected.
    pub transport: WorkerTransport,
    /// The user or the token that it is authenticated as.
    pub by: Option<Actor>,
    /// When it connected.
    pub connected_at: Time,
    /// When it was heard from last.
    pub seen_at: Time,
    /// Whether it has an open WebSocket, or a claim of it waits.
    pub is_connected: bool,
    /// Its state.
    pub state: WorkerState,
    /// The number of jobs that it holds.
    pub running: usize,
}

/// An attempt of a remote worker.
#[derive(Debug, Clone)]
pub struct RemoteAttempt {
    /// The job.
    pub job: JobId,
    /// Its queue, kind and tags.
    pub labels: Arc<Labels>,
    /// The number of the attempt.
    pub attempt: u16,
    /// The worker.
    pub worker: WorkerName,
    /// When it started.
    pub started_at: Time,
    /// When its lease was taken or last extended.
    pub heartbeat_at: Time,
    /// When the lease expires unless it is extended.
    pub lease_until: Time,
    /// Whether it was asked to end.
    pub is_ending: bool,
    /// Whether its worker was not heard from for as long as its leases last.
    pub is_worker_silent: bool,
}

impl RemoteWorkers {
    /// The oldest attempts of remote workers, at most `max`, and the number of all.
    pub fn attempts(&self, max: usize) -> (Vec<RemoteAttempt>, usize) {
        let table = self.table();
        let oldest = table.leases.by_age().take(max).map(|held| attempt(&table, held));
        (oldest.collect(), table.leases.len())
    }

    /// The oldest attempts of each of these workers, at most `max` for each.
    pub fn attempts_of(
        &self,
        workers: &[WorkerName],
        max: usize,
    ) -> HashMap<WorkerName, Vec<RemoteAttempt>> {
        let table = self.table();
        let oldest = |worker: &WorkerName| {
            let held = table.leases.of_worker(worker).take(max);
            (worker.clone(), held.map(|held| attempt(&table, held)).collect())
        };
        workers.iter().map(oldest).collect()
    }
}

impl WorkerEntry {
    /// The worker as it is shown.
    pub fn report(&self, name: &WorkerName, now: Time) -> WorkerReport {
        WorkerReport {
            name: name.clone(),
            about: self.about.clone(),
            interest: self.interest.clone(),
            lease: self.lease,
            transport: self.transport,
            by: self.by.clone(),
            connected_at: self.connected_at,
            seen_at: if self.is_connected() { now } else { self.seen_at },
            is_connected: self.is_connected(),
            state: self.state(),
            running: self.held,
        }
    }
}

fn attempt(table: &WorkerTable, held: &RemoteLease) -> RemoteAttempt {
    RemoteAttempt {
        job: held.lease.job,
        labels: held.labels.clone(),
        attempt: held.attempt,
        worker: held.worker.clone(),
        started_at: held.started_at,
        heartbeat_at: held.renewed_at,
        lease_until: held.until,
        is_ending: held.is_cancelled,
        is_worker_silent: table.get(&held.worker).is_some_and(|worker| worker.is_silent),
    }
}
