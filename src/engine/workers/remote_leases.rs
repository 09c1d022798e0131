//! The leases that remote workers hold: whose they are, and when their attempts have run for too long.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::job::{Backoff, Job, JobId, Labels, LeaseHolder, Time, WorkerName};
use crate::store::LeaseRef;

/// One reading of the two clocks: `at` of the store's clock, and `now` of the monotonic clock that measures deadlines.
#[derive(Debug, Clone, Copy)]
pub struct ClockReadings {
    pub at: Time,
    pub now: Instant,
}

/// A lease of a remote worker.
#[derive(Debug, Clone)]
pub struct RemoteLease {
    pub lease: LeaseRef,
    pub worker: WorkerName,
    /// The number of the worker's process among those with its name.
    pub process: u32,
    pub labels: Arc<Labels>,
    /// The number of the attempt, and how long the next one waits if it fails.
    pub attempt: u16,
    pub backoff: Backoff,
    pub started_at: Time,
    /// When it was taken or last extended.
    pub renewed_at: Time,
    /// When it expires unless it is extended.
    pub until: Time,
    /// How long the attempt may take, and when it has taken that long.
    pub timeout: Duration,
    pub deadline: Instant,
    /// Whether the job is to be cancelled.
    pub is_cancelled: bool,
    /// Whether its outcome is being stored, so that it is not reported as lost when the job leaves the running state.
    pub is_settling: bool,
}

impl RemoteLease {
    /// The lease of a running job, as seen at `from`; `None` if no remote worker holds the job under this lease.
    pub fn of(
        job: &Job,
        lease: LeaseRef,
        default_timeout: Duration,
        from: ClockReadings,
    ) -> Option<RemoteLease> {
        let (token, LeaseHolder::Remote { worker, .. }) = job.lease()? else { return None };
        if token != lease.token {
            return None;
        }
        let started = job.history.iter().rev().find(|moment| moment.seq == token);
        let started_at = started.map_or(from.at, |moment| moment.at);
        let timeout = job.spec.timeout_ms.map_or(default_timeout, Duration::from_millis);
        let left = timeout.saturating_sub(from.at.since(started_at));
        Some(RemoteLease {
            lease,
            worker: worker.clone(),
            process: 0,
            labels: job.labels.clone(),
            attempt: job.status.attempt,
            backoff: job.spec.retry.backoff,
            started_at,
            renewed_at: from.at,
            until: from.at,
            timeout,
            deadline: from.now + left,
            is_cancelled: job.status.cancel_asked,
            is_settling: false,
        })
    }
}

/// All leases of remote workers that this process knows. At the start it reads those in the store.
#[derive(Debug, Default)]
pub struct RemoteLeases {
    by_job: HashMap<JobId, RemoteLease>,
    /// The jobs in the order in which their attempts started, by the tokens of their leases.
    by_age: BTreeMap<u64, JobId>,
    /// The same for each worker that holds a lease.
    by_worker: HashMap<WorkerName, BTreeMap<u64, JobId>>,
    deadlines: BTreeSet<(Instant, JobId)>,
    /// Jobs that were cancelled before their leases arrived here.
    asked_before_claim: HashSet<JobId>,
    /// The leases that have ended while those in the store are read, which may be older than that.
    ended_while_restoring: Option<HashSet<LeaseRef>>,
}

impl RemoteLeases {
    /// Adds a lease. Returns an older one of the same job, which is lost.
    pub fn insert(&mut self, mut lease: RemoteLease) -> Option<RemoteLease> {
        let job = lease.lease.job;
        let older = self.remove(job);
        lease.is_cancelled |=
            !self.asked_before_claim.is_empty() && self.asked_before_claim.remove(&job);
        self.deadlines.insert((lease.deadline, job));
        self.by_age.insert(lease.lease.token, job);
        let of_worker = self.by_worker.entry(lease.worker.clone()).or_default();
        of_worker.insert(lease.lease.token, job);
        self.by_job.insert(job, lease);
        older.filter(|older| older.lease != LeaseRef { job, token: self.by_job[&job].lease.token })
    }

    /// Notes that the leases in the store are being read.
    pub fn begin_restoring(&mut self) {
        self.ended_while_restoring = Some(HashSet::new());
    }

    /// Notes that the leases in the store have been read.
    pub fn end_restoring(&mut self) {
        self.ended_while_restoring = None;
    }

    /// Whether a lease that was read from the store has ended since.
    pub fn has_ended(&self, lease: LeaseRef) -> bool {
        self.ended_while_restoring.as_ref().is_some_and(|ended| ended.contains(&lease))
    }

    /// The lease, if it is held.
    pub fn get(&self, lease: LeaseRef) -> Option<&RemoteLease> {
        self.by_job.get(&lease.job).filter(|held| held.lease == lease)
    }

    /// Mutable access to the lease, if it is held.
    pub fn get_mut(&mut self, lease: LeaseRef) -> Option<&mut RemoteLease> {
        self.by_job.get_mut(&lease.job).filter(|held| held.lease == lease)
    }

    /// The lease of a job.
    pub fn of_job(&self, job: JobId) -> Option<&RemoteLease> {
        self.by_job.get(&job)
    }

    /// Notes that the end of a lease was not stored. Its deadline counts again, which may have passed meanwhile.
    pub fn settling_failed(&mut self, lease: LeaseRef) {
        let Some(held) = self.get_mut(lease) else { return };
        held.is_settling = false;
        let deadline = (held.deadline, lease.job);
        self.deadlines.insert(deadline);
    }

    /// Removes a lease, if it is held.
    pub fn end(&mut self, lease: LeaseRef) -> Option<RemoteLease> {
        if let Some(ended) = &mut self.ended_while_restoring {
            ended.insert(lease);
        }
        self.get(lease)?;
        self.remove(lease.job)
    }

    fn remove(&mut self, job: JobId) -> Option<RemoteLease> {
        let held = self.by_job.remove(&job)?;
        self.deadlines.remove(&(held.deadline, job));
        self.by_age.remove(&held.lease.token);
        if let Some(of_worker) = self.by_worker.get_mut(&held.worker) {
            of_worker.remove(&held.lease.token);
            if of_worker.is_empty() {
                self.by_worker.remove(&held.worker);
            }
        }
        Some(held)
    }

    /// Marks the job of a lease as to be cancelled, and returns the lease when that is new.
    pub fn ask_cancel(&mut self, job: JobId) -> Option<&RemoteLease> {
        let Some(held) = self.by_job.get_mut(&job) else {
            self.asked_before_claim.insert(job);
            return None;
        };
        (!std::mem::replace(&mut held.is_cancelled, true)).then_some(&*held)
    }

    /// Forgets the jobs that were cancelled before their leases arrived: extensions repeat the request.
    pub fn forget_requests(&mut self) {
        self.asked_before_claim.clear();
    }

    /// When the next attempt has run for too long.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The leases whose attempts have run for too long. They are being settled from now on.
    pub fn overdue(&mut self, now: Instant) -> Vec<RemoteLease> {
        let mut overdue = Vec::new();
        while let Some((_, job)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            if let Some(held) = self.by_job.get_mut(&job).filter(|held| !held.is_settling) {
                held.is_settling = true;
                overdue.push(held.clone());
            }
        }
        overdue
    }

    /// The leases of a worker, the oldest attempts first.
    pub fn of_worker(&self, worker: &WorkerName) -> impl Iterator<Item = &RemoteLease> {
        let jobs = self.by_worker.get(worker).into_iter().flat_map(BTreeMap::values);
        jobs.filter_map(|job| self.by_job.get(job))
    }

    /// All leases, the oldest attempts first.
    pub fn by_age(&self) -> impl Iterator<Item = &RemoteLease> {
        self.by_age.values().filter_map(|job| self.by_job.get(job))
    }

    /// All leases.
    pub fn all(&self) -> impl Iterator<Item = &RemoteLease> {
        self.by_job.values()
    }

    pub fn is_empty(&self) -> bool {
        self.by_job.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_job.len()
    }

    /// Removes leases that expired at `before` or earlier: their jobs were rescued long ago.
    pub fn forget_expired(&mut self, before: Time) -> Vec<RemoteLease> {
        let expired: Vec<JobId> = self
            .by_job
            .values()
            .filter(|held| held.until <= before)
            .map(|held| held.lease.job)
            .collect();
        expired.into_iter().filter_map(|job| self.remove(job)).collect()
    }
}
