//! The verbs of workers: claim, extend, annotate, settle.

use std::sync::Arc;

use super::content::{Content, Held};
use crate::job::{Change, Job, JobId, State, Status, Step, Time};
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
        let chosen: Vec<JobId> = ready.iter().take(claim.max).map(|job| job.id).collect();
        let leases = chosen.into_iter().filter_map(|id| self.claim_one(now, steady, id, claim));
        Claimed { leases: leases.collect(), retry_in: None }
    }

    fn claim_one(&mut self, now: Time, steady: Time, id: JobId, claim: &Claim) -> Option<Lease> {
        let status = self.jobs.get(&id)?.status.step(Step::Claim).ok()?;
        let expires = steady.after(claim.ttl);
        self.leases.insert(id, Held { token: self.last_seq + 1, expires });
        let job = self.change(now, id, status, Change::Started { worker: claim.worker.clone() })?;
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
