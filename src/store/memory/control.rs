//! The controls: cancel, retry, delete, move, reprioritise, pause, resume, and the limits of queues.

use std::collections::BTreeMap;

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
            Control::Move { jobs, queue } => {
                self.check_queues(std::iter::once(&queue))?;
                Ok(jobs.into_iter().map(|id| (id, self.shift(now, id, &queue))).collect())
            }
            Control::Reprioritise { jobs, priority } => {
                Ok(jobs.into_iter().map(|id| (id, self.reprioritise(now, id, priority))).collect())
            }
            Control::SetConcurrency(queue, limit) => {
                let change = QueueChange::ConcurrencySet { concurrency: limit };
                self.set_limit(now, queue, limit, |content| &mut content.concurrency, change)
            }
            Control::SetRateLimit(queue, limit) => {
                let change = QueueChange::RateLimitSet { rate_limit: limit };
                self.set_limit(now, queue, limit, |content| &mut content.rate_limits, change)
            }
        }
    }

    /// Sets or removes a limit of a queue.
    fn set_limit<T: Copy + PartialEq>(
        &mut self,
        now: Time,
        queue: QueueName,
        limit: Option<T>,
        kept: fn(&mut Content) -> &mut BTreeMap<QueueName, T>,
        change: QueueChange,
    ) -> Result<Vec<(JobId, Answer)>, ControlError> {
        let before = match limit {
            Some(limit) => {
                self.check_queues(std::iter::once(&queue))?;
                kept(self).insert(queue.clone(), limit)
            }
            None => kept(self).remove(&queue),
        };
        if before != limit {
            self.append(now, Fact::Queue { queue, change });
        }
        Ok(Vec::new())
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
