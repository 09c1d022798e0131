//! What the store holds, and the verbs that change it: each looks at the job, asks the state machine,
//! and appends the event that is then folded into the record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::job::{
    Change, Cursor, Epoch, Event, Fact, IdempotencyKey, Job, JobId, NewJob, QueueChange, QueueName,
    State, Status, Step, Time, Verdict,
};
use crate::store::{
    Claim, Control, ControlError, Enqueued, Extension, Lease, LeaseRef, Limits, Note, SettleError,
    Settlement, StoreError,
};

/// Everything that a restart keeps, and what the verb under way has added.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) limits: Limits,
    pub(super) epoch: Epoch,
    pub(super) last_seq: u64,
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// Who has each idempotency key.
    keys: BTreeMap<IdempotencyKey, JobId>,
    /// One for each running job.
    pub(super) leases: BTreeMap<JobId, Held>,
    pub(super) paused: BTreeSet<QueueName>,
    /// The newest events, oldest first.
    pub(super) log: VecDeque<Event>,
    /// What the verb under way has committed; told to followers even if already trimmed from the log.
    fresh: Vec<Event>,
}

/// A lease as the store knows it.
#[derive(Clone, Copy)]
pub(super) struct Held {
    token: u64,
    pub(super) expires: Time,
}

/// A job control's answer for one job.
type Answer = Result<Status, ControlError>;

impl Content {
    pub(super) fn new(limits: Limits) -> Content {
        Content {
            limits,
            epoch: Epoch(fastrand::u32(..)),
            last_seq: 0,
            jobs: BTreeMap::new(),
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            paused: BTreeSet::new(),
            log: VecDeque::new(),
            fresh: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.last_seq }
    }

    pub(super) fn take_fresh(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.fresh)
    }

    pub(super) fn enqueue(
        &mut self,
        now: Time,
        batch: Vec<NewJob>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        self.check_limits(&batch)?;
        Ok(batch.into_iter().filter_map(|new| self.enqueue_one(now, new)).collect())
    }

    fn check_limits(&self, batch: &[NewJob]) -> Result<(), StoreError> {
        let mut keys = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let new: Vec<&NewJob> = batch
            .iter()
            .filter(|job| self.existing(job).is_none() && ids.insert(job.id))
            .filter(|job| job.spec.idempotency_key.as_ref().is_none_or(|key| keys.insert(key)))
            .collect();

        let waiting = self.jobs.values().filter(|job| job.status.state.is_waiting()).count() as u64;
        let limit = self.limits.max_waiting;
        if !new.is_empty() && waiting + new.len() as u64 > limit {
            return Err(StoreError::Full { waiting, limit });
        }
        self.check_queues(new.iter().map(|job| &job.labels.queue))
    }

    fn check_queues<'a>(
        &'a self,
        more: impl Iterator<Item = &'a QueueName>,
    ) -> Result<(), StoreError> {
        let known = self.known_queues();
        let limit = self.limits.max_queues;
        let new: BTreeSet<&QueueName> = more.filter(|queue| !known.contains(queue)).collect();
        if !new.is_empty() && known.len() + new.len() > limit {
            return Err(StoreError::TooManyQueues { limit });
        }
        Ok(())
    }

    /// Queues that hold a job or are paused.
    pub(super) fn known_queues(&self) -> BTreeSet<&QueueName> {
        self.jobs.values().map(|job| &job.labels.queue).chain(&self.paused).collect()
    }

    /// The job that a new one would double.
    fn existing(&self, new: &NewJob) -> Option<&Job> {
        let by_key = new.spec.idempotency_key.as_ref().and_then(|key| self.keys.get(key));
        self.jobs.get(by_key.unwrap_or(&new.id))
    }

    fn enqueue_one(&mut self, now: Time, new: NewJob) -> Option<Enqueued> {
        if let Some(job) = self.existing(&new) {
            return Some(Enqueued::Existing(job.clone()));
        }
        let run_at = new.run_at(now);
        let state = if run_at > now { State::Scheduled } else { State::Available };
        if let Some(key) = &new.spec.idempotency_key {
            self.keys.insert(key.clone(), new.id);
        }
        let change = Change::Enqueued { spec: new.spec, run_at };
        let fact = Fact::Job { id: new.id, labels: new.labels, state, attempt: 0, change };
        let event = self.append(now, fact);
        let job = Job::from_enqueued(&event)?; // it is one: made just above
        self.jobs.insert(new.id, job.clone());
        Some(Enqueued::New(job))
    }

    pub(super) fn claim(&mut self, now: Time, claim: &Claim) -> Vec<Lease> {
        if self.paused.contains(&claim.queue) {
            return Vec::new();
        }
        let mut ready: Vec<&Job> = self
            .jobs
            .values()
            .filter(|job| job.status.state == State::Available && job.labels.queue == claim.queue)
            .collect();
        ready.sort_by_key(|job| (std::cmp::Reverse(job.spec.priority), job.run_at, job.id));
        let chosen: Vec<JobId> = ready.iter().take(claim.max).map(|job| job.id).collect();
        chosen.into_iter().filter_map(|id| self.claim_one(now, id, claim)).collect()
    }

    fn claim_one(&mut self, now: Time, id: JobId, claim: &Claim) -> Option<Lease> {
        let status = self.jobs.get(&id)?.status.step(Step::Claim).ok()?;
        let expires = now.after(claim.ttl);
        self.leases.insert(id, Held { token: self.last_seq + 1, expires });
        let job = self.change(now, id, status, Change::Started { worker: claim.worker.clone() })?;
        Some(Lease { token: job.seq, job: Arc::new(job), expires })
    }

    /// The job that a lease is valid for. A lease that ran out is valid until somebody else has it.
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
        let step = match &verdict {
            Verdict::Completed { .. } => Step::Complete,
            Verdict::Failed { .. } => Step::Fail,
            Verdict::Snoozed { .. } => Step::Snooze,
            Verdict::Discarded { .. } => Step::Discard,
            Verdict::Cancelled => Step::Cancel,
            Verdict::Interrupted { .. } => Step::Interrupt,
        };
        // A leased job is running, and a running job refuses none of these.
        let status = before.step(step).map_err(|_| SettleError::Stale)?;
        let cancelled = status.state == State::Cancelled;
        let change = match verdict {
            Verdict::Completed { result } => Change::Completed { result },
            Verdict::Discarded { failure } => Change::Discarded { failure },
            Verdict::Cancelled => Change::Cancelled,
            // Somebody asked for the end meanwhile, so there is no next attempt.
            Verdict::Failed { .. } | Verdict::Snoozed { .. } | Verdict::Interrupted { .. }
                if cancelled =>
            {
                Change::Cancelled
            }
            Verdict::Failed { failure, retry_in } if status.state == State::Retryable => {
                Change::RetryScheduled { failure, run_at: now.after(retry_in) }
            }
            Verdict::Failed { failure, .. } => Change::Discarded { failure },
            Verdict::Snoozed { delay } => Change::Snoozed { run_at: now.after(delay) },
            Verdict::Interrupted { why } => Change::Interrupted { why },
        };
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

    pub(super) fn control(
        &mut self,
        now: Time,
        control: Control,
    ) -> Result<Vec<(JobId, Result<Status, ControlError>)>, StoreError> {
        let mut each = |ids: Vec<JobId>, verb: fn(&mut Content, Time, JobId) -> Answer| {
            ids.into_iter().map(|id| (id, verb(self, now, id))).collect()
        };
        match control {
            Control::Cancel(ids) => Ok(each(ids, Content::cancel)),
            Control::Retry(ids) => Ok(each(ids, Content::retry)),
            Control::Delete(ids) => Ok(each(ids, Content::delete)),
            Control::Pause(queue) => {
                self.check_queues(std::iter::once(&queue))?;
                if self.paused.insert(queue.clone()) {
                    self.append(now, Fact::Queue { queue, change: QueueChange::Paused });
                }
                Ok(Vec::new())
            }
            Control::Resume(queue) => {
                if self.paused.remove(&queue) {
                    self.append(now, Fact::Queue { queue, change: QueueChange::Resumed });
                }
                Ok(Vec::new())
            }
        }
    }

    fn cancel(&mut self, now: Time, id: JobId) -> Answer {
        let before = self.status(id)?;
        let status = before.step(Step::AskCancel)?;
        if status.state == State::Cancelled {
            self.change(now, id, status, Change::Cancelled);
        } else if status != before {
            self.change(now, id, status, Change::CancelAsked);
        }
        Ok(status)
    }

    fn retry(&mut self, now: Time, id: JobId) -> Answer {
        let status = self.status(id)?.step(Step::RetryNow)?;
        self.change(now, id, status, Change::Retried);
        Ok(status)
    }

    fn delete(&mut self, now: Time, id: JobId) -> Answer {
        let status = self.status(id)?.step(Step::Delete)?;
        self.change(now, id, status, Change::Deleted);
        self.forget(id);
        Ok(status)
    }

    fn status(&self, id: JobId) -> Answer {
        self.jobs.get(&id).map(|job| job.status).ok_or(ControlError::NotFound)
    }

    /// The one way a stored job changes: the event is appended and folded into the record, and what
    /// hangs on the job's state follows. Answers with the new record.
    pub(super) fn change(
        &mut self,
        now: Time,
        id: JobId,
        status: Status,
        change: Change,
    ) -> Option<Job> {
        let job = self.jobs.get(&id)?;
        // An attempt that is given back keeps its number in the event that ends it.
        let gives_back = matches!(change, Change::Interrupted { .. } | Change::Snoozed { .. });
        let attempt = if gives_back { job.status.attempt } else { status.attempt };
        let (labels, state) = (job.labels.clone(), status.state);
        if state != State::Running {
            self.leases.remove(&id);
        }
        let event = self.append(now, Fact::Job { id, labels, state, attempt, change });
        let job = self.jobs.get_mut(&id)?;
        job.apply(&event, status, self.limits.log);
        Some(job.clone())
    }

    /// Removes a job; its key is free again.
    pub(super) fn forget(&mut self, id: JobId) {
        let job = self.jobs.remove(&id);
        if let Some(key) = job.and_then(|job| job.spec.idempotency_key.clone()) {
            self.keys.remove(&key);
        }
    }

    fn append(&mut self, at: Time, fact: Fact) -> Event {
        self.last_seq += 1;
        let event = Event { seq: self.last_seq, at, fact };
        self.log.push_back(event.clone());
        self.fresh.push(event.clone());
        event
    }
}
