//! The verbs of jobs: enqueue, read, wait, and control single jobs.

use std::time::{Duration, Instant};

use super::{
    Engine, Enqueued, JobActionError, Page, PayloadError, StoreError, SubmitError, run_blocking,
};
use crate::access::Scope;
use crate::job::{Cursor, Job, JobId, JobQuery, Json, Kind, NewJob, QueueName, Status};
use crate::store::{Control, JobControlError, Stats};

impl Engine {
    /// Enqueues jobs in the name of this engine, either all of them or none. The call returns when they are durable.
    ///
    /// # Errors
    /// A kind is unknown, a payload is invalid or too large, or the store refused the jobs or failed. Then no job was
    /// enqueued.
    pub async fn enqueue(&self, batch: Vec<NewJob>) -> Result<Vec<Enqueued>, SubmitError> {
        self.enqueue_within(batch, None).await
    }

    /// The same for a submitter who may know only the jobs of a scope: a key of another job is refused, without a word about
    /// that job.
    ///
    /// # Errors
    /// As [`Engine::enqueue`].
    pub async fn enqueue_within(
        &self,
        mut batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, SubmitError> {
        if self.actor.is_some() {
            batch.iter_mut().for_each(|job| job.by = self.actor.clone());
        }
        let size = batch.iter().map(|job| job.spec.payload.as_str().len()).sum();
        run_blocking(size, || {
            batch.iter().enumerate().try_for_each(|(at, job)| {
                let checked = self.check(&job.labels.kind, &job.spec.payload);
                checked.map_err(|error| if batch.len() > 1 { error.of_job(at) } else { error })
            })
        })?;
        let begin = Instant::now();
        let accepted = self.parts.store.enqueue_within(batch, scope).await?;
        self.parts.enqueue_times.add(begin.elapsed());
        self.parts.dispatchers.ensure(accepted.iter().map(|answer| &answer.job().labels.queue));
        Ok(accepted)
    }

    /// One job, and the position in the log at which it was read.
    pub async fn job(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError> {
        self.parts.store.get(id).await
    }

    /// A page of jobs, newest first.
    pub async fn jobs(&self, query: JobQuery) -> Result<Page, StoreError> {
        self.parts.store.list(query).await
    }

    /// Job counters by state, queue and kind.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.parts.store.stats().await
    }

    /// Cancels a job. Returns its status: `Cancelled`, or still `Running` with `cancel_asked`.
    pub async fn cancel(&self, id: JobId) -> Result<Status, JobActionError> {
        let status = self.control_one(Control::Cancel(vec![id])).await?;
        if status.cancel_asked {
            self.parts.leases.ask_cancel(id);
            self.parts.remote.ask_cancel(id);
        }
        Ok(status)
    }

    /// Whether the attempt of this job that runs here was asked to end.
    pub fn is_asked_to_end(&self, id: JobId) -> bool {
        self.parts.leases.is_asked_to_end(id)
    }

    /// Waits for at most `bound` until a job has reached a final state; during a stop, no longer than attempts still
    /// run. Returns the job as it is then, final or not; `None` when there is no such job. Thousands of callers may
    /// wait at once.
    pub async fn wait_final(&self, id: JobId, bound: Duration) -> Result<Option<Job>, StoreError> {
        self.parts.completion_waiters.wait(id, bound).await
    }

    /// Runs a job again now.
    pub async fn retry(&self, id: JobId) -> Result<Status, JobActionError> {
        self.control_one(Control::Retry(vec![id])).await
    }

    /// Deletes a job that is not running.
    pub async fn delete(&self, id: JobId) -> Result<Status, JobActionError> {
        self.control_one(Control::Delete(vec![id])).await
    }

    /// Moves a waiting job to another queue.
    pub async fn move_to(&self, id: JobId, queue: QueueName) -> Result<Status, JobActionError> {
        let control = Control::Move { jobs: vec![id], queue: queue.clone() };
        let status = self.control_one(control).await?;
        self.parts.dispatchers.ensure(std::iter::once(&queue));
        Ok(status)
    }

    /// Changes the priority of a waiting job.
    pub async fn reprioritise(&self, id: JobId, priority: i16) -> Result<Status, JobActionError> {
        self.control_one(Control::Reprioritise { jobs: vec![id], priority }).await
    }

    /// Checks whether a job of this kind with this payload would be accepted. The limits are checked first, so
    /// that the time for all other checks is bounded by the length of the payload.
    pub(super) fn check(&self, kind: &Kind, payload: &Json) -> Result<(), PayloadError> {
        self.parts.config.check_payload(payload)?;
        self.kinds().check(kind, payload)
    }

    async fn control_one(&self, control: Control) -> Result<Status, JobActionError> {
        let answers = self.parts.store.control(control, self.actor.clone()).await?;
        let (_, answer) = answers.into_iter().next().ok_or(JobControlError::NotFound)?;
        Ok(answer?)
    }
}
