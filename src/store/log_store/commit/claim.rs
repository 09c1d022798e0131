//! The verb `claim`: picks the jobs of a claim and leases them.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{HeldLease, LeaseKeeper};
use super::group::CommitGroup;
use crate::job::{Change, Event, Job, JobId, Status, Step, Time};
use crate::store::{Claim, Lease, StoreError};

/// A job that was claimed.
pub struct ClaimedJob {
    pub id: JobId,
    pub token: u64,
    pub expires: Time,
    /// The chunks that hold its record, without the one of its `Started` event.
    pub trail: Vec<u64>,
    pub status: Status,
    /// The index of its `Started` event among the events of the group.
    pub started: usize,
}

impl ClaimedJob {
    /// Makes the lease, given the record of the job.
    pub fn lease(&self, job: Job) -> Lease {
        Lease { job: Arc::new(job), token: self.token, expires: self.expires }
    }
}

/// The jobs of a claim.
#[derive(Default)]
pub struct ClaimedJobs {
    pub jobs: Vec<ClaimedJob>,
    /// See [`Claimed::retry_in`](crate::store::Claimed::retry_in).
    pub retry_in: Option<Duration>,
}

/// The answer to a claim whose group has reached the kernel.
pub struct ClaimAnswer {
    /// The jobs with their `Started` events.
    pub jobs: Vec<(ClaimedJob, Event)>,
    /// See [`Claimed::retry_in`](crate::store::Claimed::retry_in).
    pub retry_in: Option<Duration>,
}

impl ClaimedJobs {
    /// Adds the `Started` events, which are among the events of the group.
    pub fn with_events(self, events: &[Event]) -> ClaimAnswer {
        let with_event = |job: ClaimedJob| {
            let started = events[job.started].clone();
            (job, started)
        };
        ClaimAnswer {
            jobs: self.jobs.into_iter().map(with_event).collect(),
            retry_in: self.retry_in,
        }
    }
}

impl CommitGroup<'_> {
    /// Claims jobs, but no more than there is room for. Whoever gets fewer for that reason may ask again at once.
    pub fn claim(&mut self, claim: &Claim, room: usize) -> Result<ClaimedJobs, StoreError> {
        let max = claim.max.min(room);
        let (ids, held) = self.core.index.pick(claim, max, self.steady);
        let is_cut_short = max < claim.max && ids.len() == max;
        let expires = self.steady.after(claim.ttl);
        let holder = claim.holder();
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.core.index.entries.get(&id) else { continue };
            let Ok(status) = entry.status.step(Step::Claim) else { continue };
            let trail = entry.trail.iter().collect();
            let started = self.events.len();
            let change = Change::Started { worker: holder.clone() };
            let token = self.change(id, status, change)?;
            let keeper = LeaseKeeper::Here(expires);
            let kept_for = holder.kept_for();
            self.core.index.put_lease(id, HeldLease { token, keeper, kept_for });
            self.core.expect_tick(self.now.after(claim.ttl));
            jobs.push(ClaimedJob { id, token, expires, trail, status, started });
        }
        let queues = &self.core.index.sets.queues;
        let retry_in = held.into_iter().filter_map(|queue| {
            let queue = &queues[queue as usize];
            queue.limits.retry_in(queue.running, self.steady)
        });
        let retry_in = if is_cut_short { Some(Duration::ZERO) } else { retry_in.min() };
        Ok(ClaimedJobs { jobs, retry_in })
    }
}
