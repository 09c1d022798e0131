//! Enqueues jobs: the limits are checked first, so that a batch is accepted as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::content::Content;
use crate::access::Scope;
use crate::job::{Change, Fact, IdempotencyKey, Job, NewJob, QueueName, Start, State, Time};
use crate::store::reused_key::index_in;
use crate::store::{EnqueueError, Enqueued, KeyOwner, ReusedKey, TooManyQueues};

impl Content {
    pub(super) fn enqueue(
        &mut self,
        now: Time,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.check_keys(&batch, scope)?;
        self.check_limits(&batch)?;
        Ok(batch.into_iter().filter_map(|new| self.enqueue_one(now, new)).collect())
    }

    /// Refuses a batch with a key that belongs to another submission.
    fn check_keys(&self, batch: &[NewJob], scope: Option<&Scope>) -> Result<(), ReusedKey> {
        let mut first: BTreeMap<&IdempotencyKey, usize> = BTreeMap::new();
        for (at, new) in batch.iter().enumerate() {
            let Some(key) = &new.spec.idempotency_key else { continue };
            let stored = self.keys.get(key).and_then(|id| self.jobs.get(id));
            let (owner, differences) = match (stored, first.get(key)) {
                (Some(job), _) => {
                    ReusedKey::check_scope(scope, job, index_in(batch, at))?;
                    (KeyOwner::Job(job.id), job.differences(new))
                }
                (None, Some(earlier)) => {
                    (KeyOwner::Earlier(*earlier), batch[*earlier].differences(new))
                }
                (None, None) => {
                    first.insert(key, at);
                    continue;
                }
            };
            ReusedKey::check(owner, differences, index_in(batch, at))?;
        }
        Ok(())
    }

    fn check_limits(&self, batch: &[NewJob]) -> Result<(), EnqueueError> {
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
            return Err(EnqueueError::Full { waiting, limit });
        }
        Ok(self.check_queues(new.iter().map(|job| &job.labels.queue))?)
    }

    pub(super) fn check_queues<'a>(
        &'a self,
        more: impl Iterator<Item = &'a QueueName>,
    ) -> Result<(), TooManyQueues> {
        let known = self.known_queues();
        let limit = self.limits.max_queues;
        let new: BTreeSet<&QueueName> = more.filter(|queue| !known.contains(queue)).collect();
        if !new.is_empty() && known.len() + new.len() > limit {
            return Err(TooManyQueues { limit });
        }
        Ok(())
    }

    /// The job that has the same key or id as a new one.
    fn existing(&self, new: &NewJob) -> Option<&Job> {
        let by_key = new.spec.idempotency_key.as_ref().and_then(|key| self.keys.get(key));
        self.jobs.get(by_key.unwrap_or(&new.id))
    }

    pub(super) fn enqueue_one(&mut self, now: Time, new: NewJob) -> Option<Enqueued> {
        if let Some(job) = self.existing(&new) {
            return Some(Enqueued::Existing(job.clone()));
        }
        let run_at = new.run_at(now);
        let state = if run_at > now { State::Scheduled } else { State::Available };
        if let Some(key) = &new.spec.idempotency_key {
            self.keys.insert(key.clone(), new.id);
        }
        if matches!(new.start, Start::After(_)) {
            self.submitted_with_delay.insert(new.id);
        }
        let change = Change::Enqueued { spec: new.spec, run_at };
        let fact = Fact::Job { id: new.id, labels: new.labels, state, attempt: 0, change };
        let event = self.in_the_name_of(new.by, |content| content.append(now, fact));
        let job = Job::from_enqueued(&event)?; // the event was made just above
        self.jobs.insert(new.id, job.clone());
        Some(Enqueued::New(job))
    }
}
