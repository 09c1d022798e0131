//! The verbs of the store, applied to a group. Each asks the state machine what becomes of a job and appends the event
//! that says so.

use std::collections::BTreeSet;
use std::time::Duration;

use super::entry::{Entry, LeaseKeeper};
use super::group::CommitGroup;
use crate::job::{
    Change, Fact, Interruption, JobId, Labels, QueueChange, QueueName, Refused, State, Status,
    Step, Verdict,
};
use crate::store::log_store::journal::queue_rows;
use crate::store::{
    Control, ControlError, Extension, JobControlError, LeaseRef, Note, SettleError, Settlement,
    StoreError, WorkerNotice,
};

/// Why a control did not change a job.
enum NotChanged {
    /// The control does not apply to this job. It continues with the others.
    Refused(JobControlError),
    /// The group cannot be written, so the whole control fails.
    Failed(StoreError),
}

impl From<JobControlError> for NotChanged {
    fn from(refused: JobControlError) -> Self {
        NotChanged::Refused(refused)
    }
}

impl From<Refused> for NotChanged {
    fn from(refused: Refused) -> Self {
        NotChanged::Refused(refused.into())
    }
}

impl From<StoreError> for NotChanged {
    fn from(error: StoreError) -> Self {
        NotChanged::Failed(error)
    }
}

/// What a control does to one job.
type Verb<'v, G> = &'v dyn Fn(&mut G, JobId) -> Result<Status, NotChanged>;

/// The answer of a control for each of its jobs.
pub type JobAnswers = Vec<(JobId, Result<Status, JobControlError>)>;

/// The result of a control.
pub enum ControlOutcome {
    Done(JobAnswers),
    /// One of its jobs is being archived: the control is applied when that is done.
    Deferred(Control),
}

impl CommitGroup<'_> {
    pub fn extend(
        &mut self,
        leases: &[LeaseRef],
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError> {
        let expires = self.steady.after(ttl);
        let mut answers = Vec::with_capacity(leases.len());
        for lease in leases {
            let held = self.core.index.leases.get(&lease.job);
            let Some(held) = held.filter(|held| held.token == lease.token) else {
                answers.push(Extension::Lost);
                continue;
            };
            if let LeaseKeeper::Node(_) = held.keeper {
                // Its worker has come over from another node, which must not give the job back.
                self.note_holder(lease.job, LeaseKeeper::Here(expires))?;
            }
            let index = &mut self.core.index;
            index.lease(lease.job, lease.token, expires);
            answers.push(match index.entries.get(&lease.job) {
                Some(entry) if entry.status.cancel_asked => Extension::CancelAsked,
                Some(_) => Extension::Kept,
                None => Extension::Lost,
            });
        }
        if !leases.is_empty() {
            self.core.expect_tick(self.now.after(ttl));
        }
        Ok(answers)
    }

    /// The status of the job that a lease is valid for. A lease that has expired stays valid until the job is rescued.
    fn held(&self, lease: LeaseRef) -> Option<Status> {
        let held = self.core.index.leases.get(&lease.job)?;
        let entry = self.core.index.entries.get(&lease.job)?;
        (held.token == lease.token).then_some(entry.status)
    }

    pub fn settle(
        &mut self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError> {
        let mut answers = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            answers.push(self.settle_one(settlement)?.ok_or(SettleError::Stale));
        }
        Ok(answers)
    }

    /// Ends one attempt. `None` when its lease is stale.
    fn settle_one(&mut self, settlement: Settlement) -> Result<Option<Status>, StoreError> {
        let Settlement { lease, verdict } = settlement;
        let Some(before) = self.held(lease) else { return Ok(None) };
        // A leased job is running, and a running job accepts every verdict.
        let Ok((status, change)) = before.settled(verdict, self.now) else { return Ok(None) };
        self.change(lease.job, status, change)?;
        Ok(Some(status))
    }

    pub fn annotate(&mut self, notes: Vec<Note>) -> Result<(), StoreError> {
        for note in notes {
            let Some(status) = self.held(note.lease) else { continue };
            if !note.lines.is_empty() {
                self.change(note.lease.job, status, Change::Logged(note.lines))?;
            }
            if let Some(progress) = note.progress {
                self.change(note.lease.job, status, Change::Progressed(progress))?;
            }
        }
        Ok(())
    }

    /// Adds the events of notices about workers.
    pub fn report(&mut self, notices: Vec<WorkerNotice>) -> Result<(), StoreError> {
        notices.into_iter().try_for_each(|notice| {
            let (fact, by) = notice.into_fact();
            self.in_the_name_of(by, |group| group.event(fact)).map(drop)
        })
    }

    pub fn control(&mut self, control: Control) -> Result<ControlOutcome, ControlError> {
        let (ids, verb): (_, Verb<'_, Self>) = match &control {
            Control::Cancel(ids) => (ids, &Self::cancel),
            Control::Retry(ids) => (ids, &Self::retry),
            Control::Delete(ids) => (ids, &Self::delete),
            Control::Move { jobs, queue } => {
                self.check_queues(BTreeSet::from([queue]))?;
                (jobs, &|group, id| group.move_job(id, queue))
            }
            Control::Reprioritise { jobs, priority } => {
                (jobs, &|group, id| group.reprioritise(id, *priority))
            }
            Control::SetQueue(name, change) => {
                self.set_queue(name, *change)?;
                return Ok(ControlOutcome::Done(Vec::new()));
            }
        };
        let archiving =
            |id| self.core.index.entries.get(id).is_some_and(|entry: &Entry| entry.archiving);
        if ids.iter().any(archiving) {
            return Ok(ControlOutcome::Deferred(control));
        }
        Ok(ControlOutcome::Done(self.control_jobs(ids, verb)?))
    }

    /// Deletes jobs, none of which is being archived.
    pub fn delete_jobs(&mut self, ids: &[JobId]) -> Result<JobAnswers, StoreError> {
        self.control_jobs(ids, &Self::delete)
    }

    fn control_jobs(
        &mut self,
        ids: &[JobId],
        verb: Verb<'_, Self>,
    ) -> Result<JobAnswers, StoreError> {
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let answer = match verb(self, *id) {
                Ok(status) => Ok(status),
                Err(NotChanged::Refused(refused)) => Err(refused),
                Err(NotChanged::Failed(error)) => return Err(error),
            };
            answers.push((*id, answer));
        }
        Ok(answers)
    }

    /// Changes a setting of a queue, in the index and in its row.
    fn set_queue(&mut self, name: &QueueName, change: QueueChange) -> Result<(), ControlError> {
        let known = self.core.index.known_queue(name);
        let before = known.map(|queue| self.core.index.sets.queues[queue as usize].settings);
        let mut settings = before.unwrap_or_default();
        if !settings.apply(change) {
            return Ok(());
        }
        self.check_queues(BTreeSet::from([name]))?;
        let queue = self.queue(name);
        self.core.index.queue_mut(queue).set(settings);
        match change {
            QueueChange::Paused => {}
            QueueChange::Resumed
            | QueueChange::ConcurrencySet { .. }
            | QueueChange::RateLimitSet { .. } => {
                self.woken.insert(queue);
            }
        }
        self.event(Fact::Queue { queue: name.clone(), change })?;
        queue_rows::put(&mut self.writes, name, &settings)?;
        Ok(())
    }

    fn cancel(&mut self, id: JobId) -> Result<Status, NotChanged> {
        let before = self.status(id)?;
        let status = before.step(Step::AskCancel)?;
        if status.state == State::Cancelled {
            self.change(id, status, Change::Cancelled)?;
        } else if status != before {
            self.change(id, status, Change::CancelAsked)?;
        }
        Ok(status)
    }

    fn retry(&mut self, id: JobId) -> Result<Status, NotChanged> {
        self.step_anywhere(id, Step::RetryNow, |group, status| {
            group.change(id, status, Change::Retried).map(drop)
        })
    }

    fn delete(&mut self, id: JobId) -> Result<Status, NotChanged> {
        self.step_anywhere(id, Step::Delete, |group, status| {
            group.change(id, status, Change::Deleted)?;
            group.forget(id);
            Ok(())
        })
    }

    fn move_job(&mut self, id: JobId, queue: &QueueName) -> Result<Status, NotChanged> {
        let status = self.status(id)?.step(Step::Move)?;
        let entry = self.core.index.entries.get(&id).ok_or(JobControlError::NotFound)?;
        let from = entry.labels.queue.clone();
        if from == *queue {
            return Ok(status);
        }
        let labels = Labels { queue: queue.clone(), ..(*entry.labels).clone() };
        let (labels, counters) = self.core.counters_of(&labels.into());
        self.core.index.change(id, |entry| (entry.labels, entry.counters) = (labels, counters));
        self.change(id, status, Change::Moved { from })?;
        Ok(status)
    }

    fn reprioritise(&mut self, id: JobId, priority: i16) -> Result<Status, NotChanged> {
        let status = self.status(id)?.step(Step::Reprioritise)?;
        if self.core.index.entries.get(&id).is_some_and(|entry| entry.priority != priority) {
            self.core.index.change(id, |entry| entry.priority = priority);
            self.change(id, status, Change::Reprioritised { priority })?;
        }
        Ok(status)
    }

    /// Takes a step that archived jobs can take, too: such a job first comes back into the index.
    fn step_anywhere(
        &mut self,
        id: JobId,
        step: Step,
        then: impl FnOnce(&mut Self, Status) -> Result<(), StoreError>,
    ) -> Result<Status, NotChanged> {
        let status = self.status(id)?.step(step)?;
        if !self.core.index.entries.contains_key(&id) {
            self.unarchive(id)?;
        }
        then(self, status)?;
        Ok(status)
    }

    /// The status of a job, in the index or in the archive.
    fn status(&self, id: JobId) -> Result<Status, NotChanged> {
        if let Some(entry) = self.core.index.entries.get(&id) {
            return Ok(entry.status);
        }
        let (job, _) = self.find_archived(id)?.ok_or(JobControlError::NotFound)?;
        Ok(job.status)
    }

    /// Undoes a claim whose caller was never answered.
    pub fn unclaim(&mut self, id: JobId) -> Result<(), StoreError> {
        let Some(entry) = self.core.index.entries.get(&id) else { return Ok(()) };
        let verdict = Verdict::Interrupted { why: Interruption::Unclaimed };
        let Ok((status, change)) = entry.status.settled(verdict, self.now) else { return Ok(()) };
        self.change(id, status, change).map(drop)
    }

    /// Revokes the lease of a running job; `why` says how its attempt was lost.
    pub fn rescue(&mut self, id: JobId, why: Interruption) -> Result<(), StoreError> {
        let Some(entry) = self.core.index.entries.get(&id) else { return Ok(()) };
        let Ok((status, change)) = entry.status.rescued(why) else { return Ok(()) };
        self.change(id, status, change).map(drop)
    }
}
