//! Remote workers and their attempts as the API and the pages show them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::hello::{WorkerAbout, WorkerCommand, WorkerTransport};
use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::table::WorkerEntry;
use super::waiting_claims::Interest;
use crate::job::{Actor, JobId, Labels, Time, WorkerName};

/// The state of a remote worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// It is connected and gets jobs.
    Active,
    /// It was told to claim no more jobs.
    Quiet,
    /// It was told to exit.
    Stopping,
    /// It was not heard of for as long as its leases last.
    Silent,
}

impl WorkerState {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerState::Active => "active",
            WorkerState::Quiet => "quiet",
            WorkerState::Stopping => "stopping",
            WorkerState::Silent => "silent",
        }
    }
}

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
    /// When it was heard of last.
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
}

impl RemoteWorkers {
    /// All workers, by name.
    pub fn reports(&self) -> Vec<WorkerReport> {
        let now = self.clock.now();
        let table = self.table();
        let mut reports: Vec<WorkerReport> =
            table.all().map(|(name, worker)| report(name, worker, now)).collect();
        drop(table);
        reports.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    /// The oldest attempts of remote workers, at most `max`, and the number of all.
    pub fn attempts(&self, max: usize) -> (Vec<RemoteAttempt>, usize) {
        let table = self.table();
        let total = table.leases.len();
        let mut oldest: Vec<&RemoteLease> = table.leases.all().collect();
        if total > max && max > 0 {
            oldest.select_nth_unstable_by_key(max - 1, |held| held.lease.token);
        }
        oldest.truncate(max);
        oldest.sort_unstable_by_key(|held| held.lease.token);
        (oldest.into_iter().map(attempt).collect(), total)
    }
}

impl RemoteWorkers {
    /// The oldest attempts of each of these workers, at most `max` for each.
    pub fn attempts_of(
        &self,
        workers: &[WorkerName],
        max: usize,
    ) -> HashMap<WorkerName, Vec<RemoteAttempt>> {
        let mut held: HashMap<&WorkerName, Vec<&RemoteLease>> =
            workers.iter().map(|worker| (worker, Vec::new())).collect();
        let table = self.table();
        for lease in table.leases.all() {
            if let Some(of_worker) = held.get_mut(&lease.worker) {
                of_worker.push(lease);
            }
        }
        let oldest = |mut held: Vec<&RemoteLease>| {
            held.sort_unstable_by_key(|held| held.lease.token);
            held.into_iter().take(max).map(attempt).collect()
        };
        held.into_iter().map(|(worker, held)| (worker.clone(), oldest(held))).collect()
    }
}

fn report(name: &WorkerName, worker: &WorkerEntry, now: Time) -> WorkerReport {
    let state = match worker.command {
        _ if worker.is_silent => WorkerState::Silent,
        Some(WorkerCommand::Quiet) => WorkerState::Quiet,
        Some(WorkerCommand::Stop) => WorkerState::Stopping,
        Some(WorkerCommand::Resume) | None => WorkerState::Active,
    };
    WorkerReport {
        name: name.clone(),
        about: worker.about.clone(),
        interest: worker.interest.clone(),
        lease: worker.lease,
        transport: worker.transport,
        by: worker.by.clone(),
        connected_at: worker.connected_at,
        seen_at: if worker.is_connected() { now } else { worker.seen_at },
        is_connected: worker.is_connected(),
        state,
        running: worker.held,
    }
}

fn attempt(held: &RemoteLease) -> RemoteAttempt {
    RemoteAttempt {
        job: held.lease.job,
        labels: held.labels.clone(),
        attempt: held.attempt,
        worker: held.worker.clone(),
        started_at: held.started_at,
        heartbeat_at: held.renewed_at,
        lease_until: held.until,
        is_ending: held.is_cancelled,
    }
}
