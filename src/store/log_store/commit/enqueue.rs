//! Enqueues jobs. A key that is taken is compared before anything is stored, because its job may have to be read from the
//! log: the handle does that, and asks again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::group::CommitGroup;
use crate::job::{IdempotencyKey, Job, JobId, Labels, NewJob, QueueName};
use crate::store::{EnqueueError, KeyOwner, StoreError, TooManyQueues};

/// Jobs to enqueue, all or none.
#[derive(Clone)]
pub struct NewBatch {
    pub jobs: Vec<NewJob>,
    /// The stored jobs that have been compared with those that have the same key; `None` before the first comparison.
    pub compared: Option<Vec<JobId>>,
}

/// What became of a batch.
pub enum EnqueueOutcome {
    /// It was stored.
    Accepted(Vec<Accepted>),
    /// Nothing was stored, because keys are taken: the job that has the key, for each job of the batch.
    KeysTaken(Vec<NewJob>, Vec<Option<KeyOwner>>),
}

/// The answer for one submitted job: the new job, or the existing one that has its key or id.
pub enum Accepted {
    New(Job),
    Existing(JobId),
}

impl CommitGroup<'_> {
    pub fn enqueue(&mut self, batch: NewBatch) -> Result<EnqueueOutcome, EnqueueError> {
        let NewBatch { jobs: batch, compared } = batch;
        let mut existing: Vec<Option<JobId>> = Vec::with_capacity(batch.len());
        let mut owners: Vec<Option<KeyOwner>> = Vec::new();
        let mut keys: HashMap<&IdempotencyKey, usize> = HashMap::new();
        // The ids of one process ascend, and then none occurs twice.
        let may_repeat = !batch.is_sorted_by(|a, b| a.id < b.id);
        let mut ids: HashSet<JobId> = HashSet::new();
        for (at, new) in batch.iter().enumerate() {
            let key = new.spec.idempotency_key.as_ref();
            let owner = match key {
                Some(key) => match self.owner_of(key)? {
                    Some(id) => Some(KeyOwner::Job(id)),
                    None => keys.get(key).map(|earlier| KeyOwner::Earlier(*earlier)),
                },
                None => None,
            };
            if owner.is_some() && owners.is_empty() {
                owners.resize(at, None); // most batches need no list
            }
            if owner.is_some() || !owners.is_empty() {
                owners.push(owner);
            }
            let found = match owner {
                Some(KeyOwner::Job(id)) => Some(id),
                Some(KeyOwner::Earlier(earlier)) => Some(batch[earlier].id),
                None => self.with_id(new.id)?.or_else(|| ids.get(&new.id).copied()),
            };
            if found.is_none() && batch.len() > 1 {
                if may_repeat {
                    ids.insert(new.id);
                }
                if let Some(key) = key {
                    keys.insert(key, at);
                }
            }
            existing.push(found);
        }
        let is_compared = |owner: &KeyOwner| match owner {
            KeyOwner::Job(id) => compared.as_ref().is_some_and(|ids| ids.contains(id)),
            KeyOwner::Earlier(_) => compared.is_some(),
        };
        if !owners.iter().flatten().all(is_compared) {
            return Ok(EnqueueOutcome::KeysTaken(batch, owners));
        }
        let fresh = || batch.iter().zip(&existing).filter(|(_, e)| e.is_none()).map(|(new, _)| new);
        self.check_limits(fresh())?;
        let mut taken = Vec::with_capacity(batch.len());
        for (new, existing) in batch.into_iter().zip(existing) {
            taken.push(match existing {
                Some(id) => Accepted::Existing(id),
                None => Accepted::New(self.insert(new)?),
            });
        }
        Ok(EnqueueOutcome::Accepted(taken))
    }

    /// The stored job that has a key.
    pub fn owner_of(&self, key: &IdempotencyKey) -> Result<Option<JobId>, StoreError> {
        match self.core.index.keys.get(key) {
            Some(id) => Ok(Some(*id)),
            None => self.find_archived_key(key),
        }
    }

    /// The stored job that has an id.
    fn with_id(&self, id: JobId) -> Result<Option<JobId>, StoreError> {
        let core = &self.core;
        let is_stored = core.index.contains(id)
            || (!core.archive.is_newer_than_all(id) && self.find_archived(id)?.is_some());
        Ok(is_stored.then_some(id))
    }

    fn check_limits<'n>(&self, new: impl Iterator<Item = &'n NewJob>) -> Result<(), EnqueueError> {
        let mut count = 0;
        let mut queues = BTreeSet::new();
        let mut last: Option<&Arc<Labels>> = None;
        for job in new {
            count += 1;
            if last.is_none_or(|last| !Arc::ptr_eq(last, &job.labels)) {
                queues.insert(&job.labels.queue);
                last = Some(&job.labels);
            }
        }
        let (waiting, limit) = (self.core.index.waiting(), self.core.shared.limits.max_waiting);
        if count > 0 && waiting + count > limit {
            return Err(EnqueueError::Full { waiting, limit });
        }
        Ok(self.check_queues(queues)?)
    }

    pub fn check_queues(&self, wanted: BTreeSet<&QueueName>) -> Result<(), TooManyQueues> {
        let (index, limit) = (&self.core.index, self.core.shared.limits.max_queues);
        let known = |name: &QueueName| {
            index.known_queue(name).is_some_and(|id| index.sets.queues[id as usize].is_known())
        };
        let new = wanted.into_iter().filter(|name| !known(name)).count();
        if new > 0 && index.known_queues() + new > limit {
            return Err(TooManyQueues { limit });
        }
        Ok(())
    }
}
