//! Claims of work: what a worker asks for, and the leases that it gets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{Job, JobId, Kind, LeaseHolder, QueueName, Time, WorkerName};

/// A request for work.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The queues to claim from. Duplicates and unknown queues are harmless.
    pub queues: Vec<QueueName>,
    /// The kinds that the worker can run. No other job is claimed.
    pub kinds: Arc<BTreeSet<Kind>>,
    /// The most jobs to claim.
    pub max: usize,
    /// The worker that will run them.
    pub worker: WorkerName,
    /// Whether the attempts end with the process of the server.
    pub place: WorkerPlace,
    /// How long the leases last unless they are extended.
    pub ttl: Duration,
}

impl Claim {
    /// The holder of the leases.
    pub(super) fn holder(&self) -> LeaseHolder {
        let worker = self.worker.clone();
        match self.place {
            WorkerPlace::InProcess => LeaseHolder::InProcess(worker),
            WorkerPlace::Remote => LeaseHolder::Remote { worker, ttl: self.ttl },
        }
    }
}

/// Where a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerPlace {
    /// In the process of the server: its attempts end when the process does.
    InProcess,
    /// In a process of its own: its attempts survive a restart of the server.
    Remote,
}

/// The answer to a claim.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    /// The leases, in the order in which the jobs are to start.
    pub leases: Vec<Lease>,
    /// When a rate limit held jobs back that the claim could otherwise have taken: how long until the next of them may
    /// start, so that it makes sense to ask again then. Zero when the claim was cut short, so that nodes take turns more often.
    pub retry_in: Option<Duration>,
}

/// The right to run one attempt.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job as it was claimed.
    pub job: Arc<Job>,
    /// The fencing token: the `seq` of the `Started` event.
    pub token: u64,
    /// When it expires unless it is extended, by the steady clock of the store.
    pub expires: Time,
}

impl Lease {
    /// The reference by which the store knows this lease.
    pub fn key(&self) -> LeaseRef {
        LeaseRef { job: self.job.id, token: self.token }
    }
}

/// A reference to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// The job.
    pub job: JobId,
    /// The fencing token.
    pub token: u64,
}
