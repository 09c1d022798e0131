//! Events: committed facts. The event log is the source of truth, and the record of a job is the fold of its events.

pub mod access;
pub mod cursor;
pub mod event_type;
pub mod filter;
pub mod worker;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::{
    AccessChange, AccessSubject, Actor, Concurrency, Cursor, EventType, Failure, Interruption,
    JobId, Json, Kind, Labels, LeaseHolder, QueueName, RateRule, ScheduleName, Spec, State, Time,
    WorkerChange, WorkerName,
};

/// A committed fact with its position in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The sequence number, which counts from 1 without gaps within one epoch.
    pub seq: u64,
    /// The time of the commit, by the store's clock.
    pub at: Time,
    /// Who caused it, if it was not the server itself or an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// What happened.
    pub fact: Fact,
}

/// What happened, and to what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    /// Something happened to a job.
    Job {
        /// The id of the job.
        id: JobId,
        /// The queue, kind and tags of the job, so that filters need nothing else.
        labels: Arc<Labels>,
        /// The state after the change.
        state: State,
        /// The attempt count after the change; for the events of an attempt, the number of that attempt.
        attempt: u16,
        /// What happened.
        change: Change,
    },
    /// Something happened to a queue.
    Queue {
        /// The name of the queue.
        queue: QueueName,
        /// What happened.
        change: QueueChange,
    },
    /// Something happened to a schedule.
    Schedule {
        /// The name of the schedule.
        schedule: ScheduleName,
        /// What happened.
        change: ScheduleChange,
    },
    /// Something happened to a user, a token, a session or a share link.
    Access {
        /// The user, the token, the session or the share link.
        subject: AccessSubject,
        /// What happened.
        change: AccessChange,
    },
    /// Something happened to a declared kind.
    Kind {
        /// The name of the kind.
        kind: Kind,
        /// What happened.
        change: KindChange,
    },
    /// Something happened to a worker in another process.
    Worker {
        /// The name of the worker.
        worker: WorkerName,
        /// What happened.
        change: WorkerChange,
    },
}

/// A change of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// The job was accepted.
    Enqueued {
        /// What the submitter specified.
        spec: Arc<Spec>,
        /// The time from which it may run.
        run_at: Time,
    },
    /// The job became due.
    BecameAvailable,
    /// A worker claimed the job. The `seq` of this event is the token of the lease.
    Started {
        /// The worker, and what becomes of its lease when the server restarts.
        worker: LeaseHolder,
    },
    /// The handler reported progress.
    Progressed(Progress),
    /// The handler wrote log lines.
    Logged(Vec<LogLine>),
    /// The attempt succeeded.
    Completed {
        /// The result that the handler returned.
        result: Json,
    },
    /// The attempt failed, and another one will follow.
    RetryScheduled {
        /// The failure.
        failure: Failure,
        /// The time from which the next attempt may start.
        run_at: Time,
    },
    /// The handler asked to be called again later.
    Snoozed {
        /// The time at which it is due again.
        run_at: Time,
    },
    /// The last attempt failed, and the job was discarded.
    Discarded {
        /// The failure.
        failure: Failure,
    },
    /// Somebody requested the cancellation of a running job.
    CancelAsked,
    /// The job was cancelled.
    Cancelled,
    /// The attempt was interrupted and is not charged.
    Interrupted {
        /// The reason.
        why: Interruption,
    },
    /// The attempt was lost, and another one will follow.
    Rescued {
        /// The reason.
        why: Interruption,
    },
    /// Somebody retried the job manually.
    Retried,
    /// Somebody deleted it.
    Deleted,
    /// Somebody moved the job to another queue, the one in the labels of the event.
    Moved {
        /// The queue that it left.
        from: QueueName,
    },
    /// Somebody changed the priority of the job.
    Reprioritised {
        /// The new priority.
        priority: i16,
    },
}

/// A change of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum QueueChange {
    /// The queue was paused: no jobs are claimed from it.
    Paused,
    /// The queue was resumed.
    Resumed,
    /// Somebody set the number of attempts that may run at once.
    ConcurrencySet {
        /// The number; `None` restores the configured one.
        concurrency: Option<Concurrency>,
    },
    /// Somebody set the rate limit.
    RateLimitSet {
        /// The rate; `None` restores the configured one.
        rate_limit: Option<RateRule>,
    },
}

/// A change of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScheduleChange {
    /// Somebody created or changed the schedule.
    Set {
        /// The time at which it is due next.
        next_at: Option<Time>,
    },
    /// Somebody deleted it.
    Deleted,
    /// Somebody paused the schedule.
    Paused,
    /// Somebody resumed the schedule.
    Resumed {
        /// The time at which it is due next.
        next_at: Option<Time>,
    },
    /// The schedule enqueued a job.
    Fired {
        /// The scheduled time that it is for; `None` when somebody requested the run.
        due: Option<Time>,
        /// The id of the job.
        job: JobId,
        /// The time at which it is due next.
        next_at: Option<Time>,
    },
    /// The schedule was due and enqueued no job.
    Skipped {
        /// The scheduled time that was skipped.
        due: Time,
        /// The reason.
        why: Skip,
        /// The time at which it is due next.
        next_at: Option<Time>,
    },
}

/// A change of a declared kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KindChange {
    /// Somebody declared the kind, or changed what is declared.
    Set,
    /// A worker announced that it runs jobs of the kind, which was unknown until then.
    Announced,
    /// Somebody deleted the declaration.
    Deleted,
}

/// Why a schedule skipped a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The run would have been later than the schedule allows.
    Late,
    /// The previous job was not finished.
    Overlap,
}

impl Skip {
    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            Skip::Late => "late",
            Skip::Overlap => "overlap",
        }
    }
}

/// Progress that a handler reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The units that are done.
    pub done: u64,
    /// The total number of units, when it is known.
    pub total: Option<u64>,
    /// A short text about the current step.
    pub message: Option<Box<str>>,
}

/// A log line of a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// The time, by the worker's clock.
    pub at: Time,
    /// The stream that the line was written to.
    pub stream: Stream,
    /// The text without its line ending.
    pub text: Box<str>,
}

/// The source of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The log of the handler.
    Log,
    /// The standard output of the handler's process.
    Stdout,
    /// The standard error of the handler's process.
    Stderr,
}

impl Stream {
    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Log => "log",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

impl Change {
    /// The time from which the job may run after this change, committed at `at`; `None` when the change does not
    /// affect it.
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

    /// Whether `run_at` of this change is the end of a delay that begins with it.
    pub fn starts_delay(&self) -> bool {
        matches!(self, Change::RetryScheduled { .. } | Change::Snoozed { .. })
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

impl KindChange {
    /// The type of the event that carries this change.
    pub fn event_type(self) -> EventType {
        match self {
            KindChange::Set => EventType::KindSet,
            KindChange::Announced => EventType::KindAnnounced,
            KindChange::Deleted => EventType::KindDeleted,
        }
    }
}

impl Event {
    /// The public type of the event.
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
            Fact::Access { change, .. } => change.event_type(),
            Fact::Kind { change, .. } => change.event_type(),
            Fact::Worker { change, .. } => change.event_type(),
        }
    }

    /// The position just after this event, in the epoch of `cursor`.
    pub fn cursor(&self, cursor: Cursor) -> Cursor {
        Cursor { seq: self.seq, ..cursor }
    }
}
