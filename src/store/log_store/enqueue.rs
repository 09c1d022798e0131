//! Enqueues jobs: the committer says whose keys are taken, and the jobs that have them are compared here, because that reads
//! the log.

use super::LogStore;
use super::commit::command::Mutation;
use super::commit::enqueue::{Accepted, EnqueueOutcome, NewBatch};
use crate::access::Scope;
use crate::job::{Job, JobId, NewJob};
use crate::store::reused_key::index_in;
use crate::store::{EnqueueError, Enqueued, KeyOwner, ReusedKey, Store as _, StoreError};

impl LogStore {
    /// Enqueues jobs, all or none. The owners of keys that are taken are read outside of the committer.
    pub(super) async fn enqueue_batch(
        &self,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let mut batch = NewBatch { jobs: batch, compared: None };
        loop {
            match self.mutate(|reply| Mutation::Enqueue(batch, reply)).await? {
                EnqueueOutcome::Accepted(accepted) => return Ok(self.enqueued(accepted).await?),
                EnqueueOutcome::KeysTaken(jobs, owners) => {
                    let known = self.compare(&jobs, &owners, scope).await?;
                    if known.len() == jobs.len() {
                        return Ok(known.into_iter().map(Enqueued::Existing).collect());
                    }
                    let compared = Some(known.iter().map(|job| job.id).collect());
                    batch = NewBatch { jobs, compared };
                }
            }
        }
    }

    /// Reads the jobs of a batch that was accepted.
    async fn enqueued(&self, accepted: Vec<Accepted>) -> Result<Vec<Enqueued>, StoreError> {
        let mut enqueued: Vec<Enqueued> = Vec::with_capacity(accepted.len());
        for taken in accepted {
            enqueued.push(match taken {
                Accepted::New(job) => Enqueued::New(job),
                Accepted::Existing(id) => match enqueued.iter().find(|one| one.job().id == id) {
                    Some(same_batch) => Enqueued::Existing(same_batch.job().clone()),
                    None => Enqueued::Existing(self.existing(id).await?),
                },
            });
        }
        Ok(enqueued)
    }

    /// Compares jobs whose keys are taken with the owners of the keys. Returns the owners that are stored.
    async fn compare(
        &self,
        jobs: &[NewJob],
        owners: &[Option<KeyOwner>],
        scope: Option<&Scope>,
    ) -> Result<Vec<Job>, EnqueueError> {
        let mut stored = Vec::new();
        for (at, (new, owner)) in jobs.iter().zip(owners).enumerate() {
            let Some(owner) = owner else { continue };
            let differences = match owner {
                KeyOwner::Job(id) => {
                    let job = self.existing(*id).await?;
                    ReusedKey::check_scope(scope, &job, index_in(jobs, at))?;
                    let differences = job.differences(new);
                    stored.push(job);
                    differences
                }
                KeyOwner::Earlier(earlier) => jobs[*earlier].differences(new),
            };
            ReusedKey::check(*owner, differences, index_in(jobs, at))?;
        }
        Ok(stored)
    }

    async fn existing(&self, id: JobId) -> Result<Job, StoreError> {
        let (job, _) = self.get(id).await?;
        // The job with this key was removed at this moment: the submission can simply be repeated.
        job.ok_or_else(|| StoreError::Unavailable("the job with this key was just removed".into()))
    }
}
