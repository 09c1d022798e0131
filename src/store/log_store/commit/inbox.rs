//! Enqueues jobs from the inbox, and removes their rows in the same append. What cannot be enqueued stays there and does
//! not keep the others from it.

use std::collections::{BTreeSet, HashSet};

use super::group::CommitGroup;
use crate::job::{IdempotencyKey, JobId, NewJob, QueueName};
use crate::store::StoreError;

/// What became of a job from the inbox in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenJob {
    /// It was enqueued.
    Enqueued,
    /// It is stored already.
    IsStored,
    /// A stored job has its key.
    KeyTaken(JobId),
    /// It needs a new queue, and there would be more than this limit.
    TooManyQueues(usize),
    /// It stays in the inbox, because the backlog is full or an earlier job of the batch has its key.
    Waits,
}

impl CommitGroup<'_> {
    /// Enqueues jobs from the inbox.
    pub fn take_inbox(&mut self, jobs: Vec<NewJob>) -> Result<Vec<TakenJob>, StoreError> {
        let (waiting, limit) = (self.core.index.waiting(), self.core.shared.limits.max_waiting);
        let mut room = limit.saturating_sub(waiting);
        let mut keys: HashSet<IdempotencyKey> = HashSet::new();
        let mut taken = Vec::with_capacity(jobs.len());
        for new in jobs {
            let key = new.spec.idempotency_key.clone();
            let outcome = if self.core.index.contains(new.id) {
                TakenJob::IsStored
            } else if key.as_ref().is_some_and(|key| keys.contains(key)) {
                TakenJob::Waits
            } else if let Some(key) = &key
                && let Some(owner) = self.owner_of(key)?
            {
                TakenJob::KeyTaken(owner)
            } else if room == 0 {
                TakenJob::Waits
            } else if let Err(refused) = self.check_queues(queue_of(&new)) {
                TakenJob::TooManyQueues(refused.limit)
            } else {
                TakenJob::Enqueued
            };
            if outcome == TakenJob::Enqueued {
                room -= 1;
                keys.extend(key);
                self.writes.take(new.id);
                self.core.from_inbox.insert(new.id);
                self.insert(new)?;
            }
            taken.push(outcome);
        }
        Ok(taken)
    }
}

fn queue_of(new: &NewJob) -> BTreeSet<&QueueName> {
    BTreeSet::from([&new.labels.queue])
}
