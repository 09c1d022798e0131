//! Enqueues jobs from the inbox beside the log. The committer enqueues what it can; jobs whose keys are taken are compared
//! here, because that reads the log.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::LogStore;
use super::commit::command::Mutation;
use super::commit::inbox::TakenJob;
use super::commit::shared::Shared;
use super::journal::nodes::NodeId;
use crate::job::{JobId, NewJob};
use crate::store::log::LogInbox;
use crate::store::{
    EnqueueError, Inbox, InboxAnswer, InboxFigures, InboxRow, KeyOwner, NotEnqueued, ReusedKey,
    Store as _, StoreError, TooManyQueues,
};

#[async_trait]
impl Inbox for LogStore {
    fn arrivals(&self) -> Arc<Notify> {
        self.shared.log.inbox().map(LogInbox::arrivals).unwrap_or_default()
    }

    async fn set_max_payload(&self, bytes: usize) -> Result<(), StoreError> {
        self.with_inbox(move |inbox, _| inbox.set_max_payload(bytes)).await
    }

    async fn read(&self, kinds: Vec<String>) -> Result<Vec<InboxRow>, StoreError> {
        self.with_inbox(move |inbox, node| inbox.read(node.0, kinds)).await
    }

    async fn take(&self, jobs: Vec<NewJob>) -> Result<Option<Vec<InboxAnswer>>, StoreError> {
        let again = jobs.clone();
        let taken = self.mutate(|reply| Mutation::TakeInbox(jobs, reply)).await?;
        let Some(taken) = taken else { return Ok(None) };
        let mut answers = Vec::with_capacity(taken.len());
        for (taken, new) in taken.into_iter().zip(&again) {
            answers.push(match taken {
                TakenJob::Enqueued => InboxAnswer::Enqueued,
                TakenJob::Waits => InboxAnswer::Waits,
                TakenJob::IsStored => InboxAnswer::Existing(new.id),
                TakenJob::KeyTaken(owner) => self.compare_with(new, owner).await?,
                TakenJob::TooManyQueues(limit) => {
                    InboxAnswer::Refused(EnqueueError::TooManyQueues(TooManyQueues { limit }))
                }
            });
        }
        Ok(Some(answers))
    }

    async fn figures(&self) -> Result<InboxFigures, StoreError> {
        self.with_inbox(|inbox, _| inbox.figures()).await
    }

    async fn dismiss(&self, rows: Vec<NotEnqueued>) -> Result<(), StoreError> {
        self.with_inbox(move |inbox, _| inbox.dismiss(rows)).await
    }
}

impl LogStore {
    /// Does something with the inbox, on a thread that may block.
    async fn with_inbox<T: Send + Default + 'static>(
        &self,
        work: impl FnOnce(&dyn LogInbox, NodeId) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check()?;
        let work = move |shared: &Shared| {
            let (Some(inbox), Some(node)) = (shared.log.inbox(), shared.node) else {
                return Ok(T::default());
            };
            work(inbox, node)
        };
        LogStore::read(self, work).await
    }

    /// What becomes of a job whose key a stored job has.
    async fn compare_with(&self, new: &NewJob, owner: JobId) -> Result<InboxAnswer, StoreError> {
        // When the owner was removed at this moment, its key is free.
        let Some(job) = self.get(owner).await?.0 else { return Ok(InboxAnswer::Waits) };
        let compared = ReusedKey::check(KeyOwner::Job(owner), job.differences(new), None);
        Ok(match compared {
            Ok(()) => InboxAnswer::Existing(owner),
            Err(reused) => InboxAnswer::Refused(reused.into()),
        })
    }
}
