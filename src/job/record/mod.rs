//! The record of a job, which is the fold of its events, and the views derived from it.

mod as_of;
mod content;
mod removed;
mod replay;
mod same_submission;
mod settled;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{
    Actor, Change, Event, Fact, Failure, Interruption, JobId, Json, Labels, LogLine, Progress,
    Spec, State, Status, Time, WorkerName,
};

/// Everything that is known about one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The id of the job.
    pub id: JobId,
    /// The queue, kind and tags.
    pub labels: Arc<Labels>,
    /// What the submitter specified.
    pub spec: Arc<Spec>,
    /// The time at which the job was accepted.
    pub enqueued_at: Time,
    /// Who submitted the job, or the schedule that created it.
    pub enqueued_by: Option<Actor>,
    /// The status by the state machine.
    pub status: Status,
    /// The time from which it may run, or could have run in its current state.
    pub run_at: Time,
    /// The number of the event that changed it last.
    pub seq: u64,
    /// The changes of the job, oldest first, without log lines and progress.
    pub history: Vec<Moment>,
    /// The newest log lines, within [`LogCaps`].
    pub log: Vec<LogLine>,
    /// The number of older log lines that were dropped.
    pub log_dropped: u64,
    /// The last reported progress.
    pub progress: Option<Progress>,
}

/// One entry of a job's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// The number of the event.
    pub seq: u64,
    /// The time of the change.
    pub at: Time,
    /// The state that the change led to.
    pub state: State,
    /// The attempt that the change belongs to.
    pub attempt: u16,
    /// Who caused it, if it was not the server itself or an attempt.
    pub by: Option<Actor>,
    /// The change.
    pub change: Change,
}

/// The limits of the log that is kept for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCaps {
    /// The most lines.
    pub lines: usize,
    /// The most bytes of text.
    pub bytes: usize,
}

impl Default for LogCaps {
    fn default() -> Self {
        LogCaps { lines: 2_000, bytes: 256 * 1_024 }
    }
}

/// The most history entries kept for a job. A job that keeps snoozing loses its oldest ones.
const MAX_HISTORY: usize = 500;

impl Job {
    /// Builds the record from the first event of a job; `None` when `event` is not an `Enqueued` event.
    pub fn from_enqueued(event: &Event) -> Option<Job> {
        let Fact::Job { id, labels, state, change: Change::Enqueued { spec, run_at }, .. } =
            &event.fact
        else {
            return None;
        };
        Some(Job {
            id: *id,
            labels: labels.clone(),
            spec: spec.clone(),
            enqueued_at: event.at,
            enqueued_by: event.by.clone(),
            status: Status::new(spec.retry.max_attempts, *state),
            run_at: *run_at,
            seq: event.seq,
            history: Vec::new(),
            log: Vec::new(),
            log_dropped: 0,
            progress: None,
        })
    }

    /// Applies one event of this job. `status` is the status after it by the state machine.
    pub fn apply(&mut self, event: &Event, status: Status, caps: LogCaps) {
        let Fact::Job { labels, state, attempt, change, .. } = &event.fact else { return };
        self.seq = event.seq;
        self.status = status;
        match change {
            Change::Progressed(progress) => {
                self.progress = Some(progress.clone());
                return;
            }
            Change::Logged(lines) => {
                self.log.extend(lines.iter().cloned());
                self.trim_log(caps);
                return;
            }
            Change::Started { .. } => self.progress = None,
            Change::Moved { .. } => self.labels = labels.clone(),
            Change::Reprioritised { priority } => {
                Arc::make_mut(&mut self.spec).priority = *priority;
            }
            Change::Enqueued { .. }
            | Change::BecameAvailable
            | Change::RetryScheduled { .. }
            | Change::Snoozed { .. }
            | Change::Interrupted { .. }
            | Change::Rescued { .. }
            | Change::Retried
            | Change::Completed { .. }
            | Change::Discarded { .. }
            | Change::CancelAsked
            | Change::Cancelled
            | Change::Deleted => {}
        }
        self.run_at = change.run_at(event.at).unwrap_or(self.run_at);
        if self.history.len() >= MAX_HISTORY {
            self.history.remove(0);
        }
        self.history.push(Moment {
            seq: event.seq,
            at: event.at,
            state: *state,
            attempt: *attempt,
            by: event.by.clone(),
            change: change.clone(),
        });
    }

    /// Who acted on the job last, after it was submitted.
    pub fn last_actor(&self) -> Option<&Actor> {
        self.history.iter().rev().find_map(|moment| moment.by.as_ref())
    }

    /// The result of the handler, once the job has completed.
    pub fn result(&self) -> Option<&Json> {
        match self.status.state {
            State::Completed => self.history.iter().rev().find_map(|moment| match &moment.change {
                Change::Completed { result } => Some(result),
                _ => None,
            }),
            State::Scheduled
            | State::Available
            | State::Running
            | State::Retryable
            | State::Discarded
            | State::Cancelled => None,
        }
    }

    /// The bytes of payload and result; the cost of rendering the whole job grows with them.
    pub fn json_bytes(&self) -> usize {
        self.spec.payload.as_str().len() + self.result().map_or(0, |result| result.as_str().len())
    }

    /// The time at which the job became final, if it has.
    pub fn finished_at(&self) -> Option<Time> {
        let last = self.history.last()?;
        self.status.state.is_final().then_some(last.at)
    }

    /// Whether `history` still begins with the first change of the job.
    pub fn has_whole_history(&self) -> bool {
        self.history.len() < MAX_HISTORY
    }

    /// When the wait for `run_at` began: with the last change that set it.
    pub fn wait_began(&self) -> Time {
        self.last_wait().map_or(self.enqueued_at, |moment| moment.at)
    }

    /// Whether `run_at` is the end of a delay that the server chose.
    pub fn is_delayed(&self) -> bool {
        self.last_wait().is_some_and(|moment| moment.change.starts_delay())
    }

    fn last_wait(&self) -> Option<&Moment> {
        self.history.iter().rev().find(|moment| moment.change.run_at(moment.at).is_some())
    }

    /// The error of the last attempt that failed.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.history.iter().rev().find_map(|moment| match &moment.change {
            Change::RetryScheduled { failure, .. } | Change::Discarded { failure } => Some(failure),
            _ => None,
        })
    }

    /// The attempts, oldest first, derived from the history.
    pub fn attempts(&self) -> Vec<AttemptView<'_>> {
        let mut attempts: Vec<AttemptView<'_>> = Vec::new();
        for moment in &self.history {
            let end = match &moment.change {
                Change::Started { worker } => {
                    attempts.push(AttemptView {
                        number: moment.attempt,
                        worker: worker.name(),
                        started_at: moment.at,
                        end: None,
                    });
                    continue;
                }
                Change::Completed { .. } => AttemptEnd::Completed,
                Change::RetryScheduled { failure, .. } | Change::Discarded { failure } => {
                    AttemptEnd::Failed(failure)
                }
                Change::Snoozed { .. } => AttemptEnd::Snoozed,
                Change::Cancelled => AttemptEnd::Cancelled,
                Change::Interrupted { why } => AttemptEnd::Interrupted(*why),
                Change::Rescued { why } => AttemptEnd::Rescued(*why),
                Change::Enqueued { .. }
                | Change::BecameAvailable
                | Change::Progressed(_)
                | Change::Logged(_)
                | Change::CancelAsked
                | Change::Retried
                | Change::Deleted
                | Change::Moved { .. }
                | Change::Reprioritised { .. } => continue,
            };
            if let Some(open) = attempts.last_mut().filter(|attempt| attempt.end.is_none()) {
                open.end = Some((moment.at, end));
            }
        }
        attempts
    }

    fn trim_log(&mut self, caps: LogCaps) {
        let mut bytes: usize = self.log.iter().map(|line| line.text.len()).sum();
        let mut drop = 0;
        while self.log.len() - drop > caps.lines || (bytes > caps.bytes && drop < self.log.len()) {
            bytes -= self.log[drop].text.len();
            drop += 1;
        }
        self.log.drain(..drop);
        self.log_dropped += drop as u64;
    }
}

/// A view of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptView<'a> {
    /// The number of the attempt, from 1. An attempt that was not charged has the same number as the next one.
    pub number: u16,
    /// The worker that ran it.
    pub worker: &'a WorkerName,
    /// The time at which it started.
    pub started_at: Time,
    /// The time and the kind of its end; `None` while it is running.
    pub end: Option<(Time, AttemptEnd<'a>)>,
}

impl AttemptView<'_> {
    /// How long it took, once it has ended.
    pub fn duration(&self) -> Option<Duration> {
        self.end.as_ref().map(|(at, _)| at.since(self.started_at))
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd<'a> {
    /// The attempt succeeded.
    Completed,
    /// The attempt failed.
    Failed(&'a Failure),
    /// The handler asked to be called again later.
    Snoozed,
    /// The attempt was cancelled.
    Cancelled,
    /// The attempt was interrupted and is not charged.
    Interrupted(Interruption),
    /// The attempt was lost and stays charged.
    Rescued(Interruption),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{FailureClass, Stream};
    use crate::job::{Kind, QueueName};

    fn job() -> Job {
        let spec = Spec {
            payload: Json::null(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let event = event(1, 0, Change::Enqueued { spec: spec.into(), run_at: Time::default() });
        Job::from_enqueued(&event).unwrap()
    }

    fn event(seq: u64, attempt: u16, change: Change) -> Event {
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: Box::default(),
        };
        let state = State::Available;
        let id = JobId::from_u128(1);
        let at = Time::from_millis(seq as i64 * 10);
        Event {
            seq,
            at,
            by: None,
            fact: Fact::Job { id, labels: labels.into(), state, attempt, change },
        }
    }

    fn apply(job: &mut Job, seq: u64, attempt: u16, change: Change) {
        let status = job.status;
        job.apply(&event(seq, attempt, change), status, LogCaps { lines: 3, bytes: 100 });
    }

    #[test]
    fn attempts_are_read_off_the_history() {
        let mut job = job();
        let worker = WorkerName::parse("w1").unwrap();
        let failure = Failure::new(FailureClass::Error, "no");
        apply(&mut job, 2, 1, Change::Started { worker: worker.clone().into() });
        let run_at = Time::from_millis(99);
        apply(&mut job, 3, 1, Change::RetryScheduled { failure: failure.clone(), run_at });
        apply(&mut job, 4, 1, Change::BecameAvailable);
        apply(&mut job, 5, 2, Change::Started { worker: worker.into() });
        let attempts = job.attempts();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].duration(), Some(Duration::from_millis(10)));
        assert_eq!(attempts[0].end.as_ref().unwrap().1, AttemptEnd::Failed(&failure));
        assert_eq!((attempts[1].number, &attempts[1].end), (2, &None));
        assert_eq!((job.run_at, job.last_failure()), (run_at, Some(&failure)));
    }

    #[test]
    fn the_log_keeps_its_newest_lines_and_counts_the_rest() {
        let mut job = job();
        for n in 0..5u64 {
            let text = format!("line {n}").into();
            let line = LogLine { at: Time::default(), stream: Stream::Log, text };
            apply(&mut job, 2 + n, 1, Change::Logged(vec![line]));
        }
        let texts: Vec<&str> = job.log.iter().map(|line| &*line.text).collect();
        assert_eq!((texts, job.log_dropped), (vec!["line 2", "line 3", "line 4"], 2));
        let line =
            LogLine { at: Time::default(), stream: Stream::Log, text: "x".repeat(200).into() };
        apply(&mut job, 9, 1, Change::Logged(vec![line]));
        assert_eq!((job.log.len(), job.log_dropped), (0, 6));
    }
}
