//! Committed facts. The event log is the truth: a job's record is the fold of its events.

pub mod cursor;
pub mod event_type;
pub mod filter;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::{
    Cursor, EventType, Failure, Interruption, JobId, Json, Labels, QueueName, RateRule,
    ScheduleName, Spec, State, Time, WorkerName,
};

/// A committed fact with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: dense and increasing within one epoch, from 1.
    pub seq: u64,
    /// When it was committed, by the store's clock.
    pub at: Time,
    /// What happened.
    pub fact: Fact,
}

/// What happened, and to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Something happened to a job.
    Job {
        /// Which job.
        id: JobId,
        /// Its queue, kind and tags, so that a filter needs nothing else.
        labels: Arc<Labels>,
        /// Its state afterwards.
        state: State,
        /// Its attempt count afterwards; for an attempt's events the number of that attempt.
        attempt: u16,
        /// What happened.
        change: Change,
    },
    /// Something happened to a queue.
    Queue {
        /// Which queue.
        queue: QueueName,
        /// What happened.
        change: QueueChange,
    },
    /// Something happened to a schedule.
    Schedule {
        /// Which schedule.
        schedule: ScheduleName,
        /// What happened.
        change: ScheduleChange,
    },
}

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was accepted.
    Enqueued {
        /// What was asked for.
        spec: Arc<Spec>,
        /// When it may run.
        run_at: Time,
    },
    /// Its time came.
    BecameAvailable,
    /// A worker claimed it. The lease's token is this event's `seq`.
    Started {
        /// Who.
        worker: WorkerName,
    },
    /// The handler told how far it is.
    Progressed(Progress),
    /// The handler wrote lines.
    Logged(Vec<LogLine>),
    /// The attempt succeeded.
    Completed {
        /// The handler's value.
        result: Json,
    },
    /// The attempt failed; the next one waits.
    RetryScheduled {
        /// What went wrong.
        failure: Failure,
        /// When the next attempt may start.
        run_at: Time,
    },
    /// The handler asked to be called again later.
    Snoozed {
        /// When.
        run_at: Time,
    },
    /// The job was given up.
    Discarded {
        /// What went wrong.
        failure: Failure,
    },
    /// Somebody asked for the end of a running job.
    CancelAsked,
    /// The job was stopped on request.
    Cancelled,
    /// The attempt was cut off and given back.
    Interrupted {
        /// By what.
        why: Interruption,
    },
    /// The attempt was lost; the job waits for another.
    Rescued {
        /// How it was lost.
        why: Interruption,
    },
    /// Somebody made it run again now.
    Retried,
    /// Somebody removed it.
    Deleted,
    /// Somebody put it into another queue, the one in the event's labels.
    Moved {
        /// Where it was before.
        from: QueueName,
    },
    /// Somebody gave it another priority.
    Reprioritised {
        /// The new one.
        priority: i16,
    },
}

/// What can happen to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueChange {
    /// Nothing is claimed from it any more.
    Paused,
    /// Claims go on.
    Resumed,
    /// Somebody set how many of its attempts may run at once.
    ConcurrencySet {
        /// How many; `None` is what the configuration says.
        concurrency: Option<u32>,
    },
    /// Somebody set how often its attempts may begin.
    RateLimitSet {
        /// How often; `None` is what the configuration says.
        rate_limit: Option<RateRule>,
    },
}

/// What can happen to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleChange {
    /// Somebody made it or changed it.
    Set {
        /// When it is due next.
        next_at: Option<Time>,
    },
    /// Somebody removed it.
    Deleted,
    /// Somebody held it back.
    Paused,
    /// Somebody let it go on.
    Resumed {
        /// When it is due next.
        next_at: Option<Time>,
    },
    /// It enqueued a job.
    Fired {
        /// For which time; `None` when somebody asked for it now.
        due: Option<Time>,
        /// Which job.
        job: JobId,
        /// When it is due next.
        next_at: Option<Time>,
    },
    /// Its time came and it enqueued nothing.
    Skipped {
        /// Which time.
        due: Time,
        /// Why.
        why: Skip,
        /// When it is due next.
        next_at: Option<Time>,
    },
}

/// Why a schedule let a time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// It was later than the schedule allows.
    Late,
    /// The job of the time before was not finished.
    Overlap,
}

impl Skip {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Skip::Late => "late",
            Skip::Overlap => "overlap",
        }
    }
}

/// How far a handler is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// A few words on the current step.
    pub message: Option<Box<str>>,
}

/// A line a handler wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the worker's clock.
    pub at: Time,
    /// On what: what was said by the handler itself, or by its process.
    pub stream: Stream,
    /// The text, without its line end.
    pub text: Box<str>,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The handler.
    Log,
    /// The standard output of the handler's process.
    Stdout,
    /// The standard error of the handler's process.
    Stderr,
}

impl Stream {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Log => "log",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

impl Change {
    /// When the job may run after this change, committed at `at`; `None` when that does not change.
    pub fn run_at(&self, at: Time) -> Option<Time> {
        match self {
            Change::Enqueued { run_at, .. }
            | Change::RetryScheduled { run_at, .. }
            | Change::Snoozed { run_at } => Some(*run_at),
            Change::Interrupted { .. } | Change::Rescued { .. } | Change::Retried => Some(at),
            Change::BecameAvailable
            | Change::Started { .. }
            | Change::Progressed(_)
            | Change::Logged(_)
            | Change::Completed { .. }
            | Change::Discarded { .. }
            | Change::CancelAsked
            | Change::Cancelled
            | Change::Deleted
            | Change::Moved { .. }
            | Change::Reprioritised { .. } => None,
        }
    }

    /// The type of the event that carries this change.
    pub fn event_type(&self) -> EventType {
        match self {
            Change::Enqueued { .. } => EventType::JobEnqueued,
            Change::BecameAvailable => EventType::JobAvailable,
            Change::Started { .. } => EventType::JobStarted,
            Change::Progressed(_) => EventType::JobProgressed,
            Change::Logged(_) => EventType::JobLogged,
            Change::Completed { .. } => EventType::JobCompleted,
            Change::RetryScheduled { .. } => EventType::JobRetryScheduled,
            Change::Snoozed { .. } => EventType::JobSnoozed,
            Change::Discarded { .. } => EventType::JobDiscarded,
            Change::CancelAsked => EventType::JobCancelAsked,
            Change::Cancelled => EventType::JobCancelled,
            Change::Interrupted { .. } => EventType::JobInterrupted,
            Change::Rescued { .. } => EventType::JobRescued,
            Change::Retried => EventType::JobRetried,
            Change::Deleted => EventType::JobDeleted,
            Change::Moved { .. } => EventType::JobMoved,
            Change::Reprioritised { .. } => EventType::JobReprioritised,
        }
    }
}

impl ScheduleChange {
    /// The type of the event that carries this change.
    pub fn event_type(self) -> EventType {
        match self {
            ScheduleChange::Set { .. } => EventType::ScheduleSet,
            ScheduleChange::Deleted => EventType::ScheduleDeleted,
            ScheduleChange::Paused => EventType::SchedulePaused,
            ScheduleChange::Resumed { .. } => EventType::ScheduleResumed,
            ScheduleChange::Fired { .. } => EventType::ScheduleFired,
            ScheduleChange::Skipped { .. } => EventType::ScheduleSkipped,
        }
    }
}

impl Event {
    /// The event's public type.
    pub fn event_type(&self) -> EventType {
        match &self.fact {
            Fact::Job { change, .. } => change.event_type(),
            Fact::Queue { change: QueueChange::Paused, .. } => EventType::QueuePaused,
            Fact::Queue { change: QueueChange::Resumed, .. } => EventType::QueueResumed,
            Fact::Queue { change: QueueChange::ConcurrencySet { .. }, .. } => {
                EventType::QueueConcurrencySet
            }
            Fact::Queue { change: QueueChange::RateLimitSet { .. }, .. } => {
                EventType::QueueRateLimitSet
            }
            Fact::Schedule { change, .. } => change.event_type(),
        }
    }

    /// The place just after this event, in the life that `cursor` counts in.
    pub fn cursor(&self, cursor: Cursor) -> Cursor {
        Cursor { seq: self.seq, ..cursor }
    }
}
