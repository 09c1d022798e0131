//! The verbs of workers: claim, extend, annotate, settle.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::{Content, Held};
use crate::job::{Change, Fact, Job, JobId, QueueName, State, Status, Step, Time};
use crate::store::claim_limits::ClaimLimits;
use crate::store::{Claim, Claimed, Extension, Lease, LeaseRef, Note, SettleError, Settlement};

impl Content {
    pub(super) fn claim(&mut self, now: Time, steady: Time, claim: &Claim) -> Claimed {
        let is_wanted = |job: &&Job| {
            let labels = &job.labels;
            job.status.state == State::Available
                && claim.queues.contains(&labels.queue)
                && claim.kinds.contains(&labels.kind)
                && !self.queues.get(&labels.queue).is_some_and(|settings| settings.paused)
        };
        let mut ready: Vec<&Job> = self.jobs.values().filter(is_wanted).collect();
        ready.sort_by_key(|job| (std::cmp::Reverse(job.spec.priority), job.run_at, job.id));
        let ready: Vec<(JobId, QueueName)> =
            ready.iter().map(|job| (job.id, job.labels.queue.clone())).collect();
        let (mut leases, mut waits) = (Vec::new(), Vec::new());
        let mut running: BTreeMap<QueueName, u64> = BTreeMap::new();
        for (id, queue) in ready {
            if leases.len() == claim.max {
                break;
            }
            let running = running.entry(queue.clone()).or_insert_with(|| self.running_in(&queue));
            let limits = self.limits_of(&queue);
            if limits.room(*running, steady) > 0 {
                limits.started(steady);
                *running += 1;
                leases.extend(self.claim_one(now, steady, id, claim));
            } else {
                waits.extend(limits.retry_in(*running, steady));
            }
        }
        let retry_in = waits.into_iter().min().filter(|_| leases.len() < claim.max);
        Claimed { leases, retry_in }
    }

    /// The limits of a queue, and its recent starts.
    pub(super) fn limits_of(&mut self, queue: &QueueName) -> &mut ClaimLimits {
        let configured = self.limits.queues.get(queue);
        let new = || ClaimLimits::new(configured);
        self.claim_limits.entry(queue.clone()).or_insert_with(new)
    }

    fn running_in(&self, queue: &QueueName) -> u64 {
        let running = self.leases.keys().filter_map(|id| self.jobs.get(id));
        running.filter(|job| job.labels.queue == *queue).count() as u64
    }

    /// Whether a claim of the queue may give more because this job has just ended. It may also say so after another
    /// change of a job that is not running.
    pub(super) fn has_freed_slot(&self, id: JobId, queue: &QueueName) -> bool {
        let limits = self.claim_limits.get(queue);
        !self.leases.contains_key(&id)
            && limits.is_some_and(|limits| {
                limits.concurrency().is_some() && limits.freed_slot(self.running_in(queue))
            })
    }

    /// Counts the recent starts in the log for the rate limits, as the next process does.
    pub(super) fn restore_limits(&mut self, now: Time, steady: Time) {
        self.claim_limits.clear();
        let queues: Vec<QueueName> =
            self.limits.queues.keys().chain(self.queues.keys()).cloned().collect();
        for queue in queues {
            let settings = self.queues.get(&queue).copied().unwrap_or_default();
            self.limits_of(&queue).set(&settings);
        }
        for event in &self.log {
            if let Fact::Job { labels, change: Change::Started { .. }, .. } = &event.fact
                && let Some(limits) = self.claim_limits.get_mut(&labels.queue)
            {
                limits.started_before(event.at, now, steady);
            }
        }
    }

    fn claim_one(&mut self, now: Time, steady: Time, id: JobId, claim: &Claim) -> Option<Lease> {
        let status = self.jobs.get(&id)?.status.step(Step::Claim).ok()?;
        let expires = steady.after(claim.ttl);
        self.leases.insert(id, Held { token: self.last_seq + 1, expires });
        let job = self.change(now, id, status, Change::Started { worker: claim.holder() })?;
        Some(Lease { token: job.seq, job: Arc::new(job), expires })
    }

    /// The job that a lease is valid for. A lease that has expired stays valid until the job is rescued.
    fn held(&self, lease: LeaseRef) -> Option<&Job> {
        let held = self.leases.get(&lease.job)?;
        if held.token == lease.token { self.jobs.get(&lease.job) } else { None }
    }

    pub(super) fn extend(&mut self, lease: LeaseRef, expires: Time) -> Extension {
        let Some(job) = self.held(lease) else { return Extension::Lost };
        let answer = if job.status.cancel_asked { Extension::CancelAsked } else { Extension::Kept };
        self.leases.insert(lease.job, Held { token: lease.token, expires });
        answer
    }

    pub(super) fn settle(
        &mut self,
        now: Time,
        settlement: Settlement,
    ) -> Result<Status, SettleError> {
        let Settlement { lease, verdict } = settlement;
        let before = self.held(lease).ok_or(SettleError::Stale)?.status;
        // A leased job is running, and a running job accepts every verdict.
        let (status, change) = before.settled(verdict, now).map_err(|_| SettleError::Stale)?;
        self.change(now, lease.job, status, change);
        Ok(status)
    }

    pub(super) fn annotate(&mut self, now: Time, note: Note) {
        let Some(status) = self.held(note.lease).map(|job| job.status) else { return };
        if !note.lines.is_empty() {
            self.change(now, note.lease.job, status, Change::Logged(note.lines));
        }
        if let Some(progress) = note.progress {
            self.change(now, note.lease.job, status, Change::Progressed(progress));
        }
    }
}
