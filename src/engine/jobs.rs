//! The verbs of jobs: enqueue, read, wait, and control single jobs.

use std::time::Duration;

use super::{Engine, EngineError, Enqueued, Page, off_runtime};
use crate::job::{Cursor, Job, JobId, JobQuery, Json, Kind, NewJob, QueueName, Status};
use crate::store::{Control, ControlError, Stats};

impl Engine {
    /// Enqueues jobs, either all of them or none. The call returns when they are durable.
    ///
    /// # Errors
    /// The kind is unknown, a payload is invalid or too large, or the store failed. Then no job was enqueued.
    pub async fn enqueue(&self, batch: Vec<NewJob>) -> Result<Vec<Enqueued>, EngineError> {
        let size = batch.iter().map(|job| job.spec.payload.as_str().len()).sum();
        off_runtime(size, || {
            batch.iter().enumerate().try_for_each(|(at, job)| {
                let checked = self.check(&job.labels.kind, &job.spec.payload);
                checked.map_err(|error| if batch.len() > 1 { error.of_job(at) } else { error })
            })
        })?;
        let accepted = self.parts.store.enqueue(batch).await?;
        self.parts.dispatchers.ensure(accepted.iter().map(|answer| &answer.job().labels.queue));
        Ok(accepted)
    }

    /// One job, and the position in the log at which it was read.
    pub async fn job(&self, id: JobId) -> Result<(Option<Job>, Cursor), EngineError> {
        Ok(self.parts.store.get(id).await?)
    }

    /// A page of jobs, newest first.
    pub async fn jobs(&self, query: JobQuery) -> Result<Page, EngineError> {
        Ok(self.parts.store.list(query).await?)
    }

    /// Job counters by state, queue and kind.
    pub async fn stats(&self) -> Result<Stats, EngineError> {
        Ok(self.parts.store.stats().await?)
    }

    /// Cancels a job. `Ok` holds its status: `Cancelled`, or still `Running` with `cancel_asked`.
    pub async fn cancel(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        let answer = self.control_one(Control::Cancel(vec![id])).await?;
        if answer.as_ref().is_ok_and(|status| status.cancel_asked) {
            self.parts.leases.ask_cancel(id);
        }
        Ok(answer)
    }

    /// Whether the attempt of this job that runs here was asked to end.
    pub fn is_asked_to_end(&self, id: JobId) -> bool {
        self.parts.leases.is_asked_to_end(id)
    }

    /// Waits for at most `bound` until a job has reached a final state; during a stop, no longer than attempts still
    /// run. Returns the job as it is then, final or not; `None` when there is no such job. Thousands of callers may
    /// wait at once.
    pub async fn wait_final(&self, id: JobId, bound: Duration) -> Result<Option<Job>, EngineError> {
        Ok(self.parts.completion_waiters.wait(id, bound).await?)
    }

    /// Runs a job again now.
    pub async fn retry(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Retry(vec![id])).await
    }

    /// Deletes a job that is not running.
    pub async fn delete(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Delete(vec![id])).await
    }

    /// Moves a waiting job to another queue.
    pub async fn move_to(
        &self,
        id: JobId,
        queue: QueueName,
    ) -> Result<Result<Status, ControlError>, EngineError> {
        let control = Control::Move { jobs: vec![id], queue: queue.clone() };
        let answer = self.control_one(control).await?;
        if answer.is_ok() {
            self.parts.dispatchers.ensure(std::iter::once(&queue));
        }
        Ok(answer)
    }

    /// Changes the priority of a waiting job.
    pub async fn reprioritise(
        &self,
        id: JobId,
        priority: i16,
    ) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Reprioritise { jobs: vec![id], priority }).await
    }

    /// Checks whether a job of this kind with this payload would be accepted. The limits are checked first, so
    /// that the time for all other checks is bounded by the length of the payload.
    pub(super) fn check(&self, kind: &Kind, payload: &Json) -> Result<(), EngineError> {
        self.parts.config.check_payload(payload)?;
        self.parts.registry.check(kind, payload)
    }

    async fn control_one(
        &self,
        control: Control,
    ) -> Result<Result<Status, ControlError>, EngineError> {
        let answers = self.parts.store.control(control).await?;
        Ok(answers.into_iter().next().map_or(Err(ControlError::NotFound), |(_, answer)| answer))
    }
}
