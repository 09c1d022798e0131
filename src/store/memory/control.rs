//! The controls: cancel, retry, delete, move, reprioritise, and the settings of queues.

use super::content::Content;
use crate::job::{Change, Fact, JobId, Labels, QueueChange, QueueName, State, Status, Step, Time};
use crate::store::{Control, ControlError, JobControlError};

/// The answer of a control for one job.
type Answer = Result<Status, JobControlError>;

impl Content {
    pub(super) fn control(
        &mut self,
        now: Time,
        control: Control,
    ) -> Result<Vec<(JobId, Answer)>, ControlError> {
        let mut each = |ids: Vec<JobId>, verb: fn(&mut Content, Time, JobId) -> Answer| {
            ids.into_iter().map(|id| (id, verb(self, now, id))).collect()
        };
        match control {
            Control::Cancel(ids) => Ok(each(ids, Content::cancel)),
            Control::Retry(ids) => Ok(each(ids, Content::retry)),
            Control::Delete(ids) => Ok(each(ids, Content::delete)),
            Control::Move { jobs, queue } => {
                self.check_queues(std::iter::once(&queue))?;
                Ok(jobs.into_iter().map(|id| (id, self.shift(now, id, &queue))).collect())
            }
            Control::Reprioritise { jobs, priority } => {
                Ok(jobs.into_iter().map(|id| (id, self.reprioritise(now, id, priority))).collect())
            }
            Control::SetQueue(queue, change) => {
                self.set_queue(now, queue, change)?;
                Ok(Vec::new())
            }
        }
    }

    /// Changes a setting of a queue.
    fn set_queue(
        &mut self,
        now: Time,
        queue: QueueName,
        change: QueueChange,
    ) -> Result<(), ControlError> {
        let mut settings = self.queues.get(&queue).copied().unwrap_or_default();
        if !settings.apply(change) {
            return Ok(());
        }
        self.check_queues(std::iter::once(&queue))?;
        if settings.is_default() {
            self.queues.remove(&queue);
        } else {
            self.queues.insert(queue.clone(), settings);
        }
        self.limits_of(&queue).set(&settings);
        self.append(now, Fact::Queue { queue, change });
        Ok(())
    }

    fn shift(&mut self, now: Time, id: JobId, queue: &QueueName) -> Answer {
        let status = self.status(id)?.step(Step::Move)?;
        let Some(job) = self.jobs.get_mut(&id) else { return Err(JobControlError::NotFound) };
        if job.labels.queue != *queue {
            let from = job.labels.queue.clone();
            job.labels = Labels { queue: queue.clone(), ..(*job.labels).clone() }.into();
            self.change(now, id, status, Change::Moved { from });
        }
        Ok(status)
    }

    fn reprioritise(&mut self, now: Time, id: JobId, priority: i16) -> Answer {
        let status = self.status(id)?.step(Step::Reprioritise)?;
        if self.jobs.get(&id).is_some_and(|job| job.spec.priority != priority) {
            self.change(now, id, status, Change::Reprioritised { priority });
        }
        Ok(status)
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
        self.jobs.get(&id).map(|job| job.status).ok_or(JobControlError::NotFound)
    }
}
