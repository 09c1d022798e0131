//! Committed facts. The event log is the truth: a job's record is the fold of its events.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cursor, Failure, JobId, Json, Labels, QueueName, Spec, State, Time, WorkerName};

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
}

/// What cut an attempt off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The server stopped in order.
    Stop,
    /// The server's process died.
    Crash,
    /// The worker did not extend its lease in time.
    LeaseExpired,
    /// The disk failed before the worker was told of its claim; nothing ran.
    Unclaimed,
}

impl Interruption {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Interruption::Stop => "stop",
            Interruption::Crash => "crash",
            Interruption::LeaseExpired => "lease_expired",
            Interruption::Unclaimed => "unclaimed",
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

/// An event's public name, in the past tense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the name of the `Change` or `QueueChange` beside it
pub enum EventType {
    JobEnqueued,
    JobAvailable,
    JobStarted,
    JobProgressed,
    JobLogged,
    JobCompleted,
    JobRetryScheduled,
    JobSnoozed,
    JobDiscarded,
    JobCancelAsked,
    JobCancelled,
    JobInterrupted,
    JobRescued,
    JobRetried,
    JobDeleted,
    JobMoved,
    JobReprioritised,
    QueuePaused,
    QueueResumed,
    QueueConcurrencySet,
}

impl EventType {
    /// Every type.
    pub const ALL: [EventType; 20] = [
        EventType::JobEnqueued,
        EventType::JobAvailable,
        EventType::JobStarted,
        EventType::JobProgressed,
        EventType::JobLogged,
        EventType::JobCompleted,
        EventType::JobRetryScheduled,
        EventType::JobSnoozed,
        EventType::JobDiscarded,
        EventType::JobCancelAsked,
        EventType::JobCancelled,
        EventType::JobInterrupted,
        EventType::JobRescued,
        EventType::JobRetried,
        EventType::JobDeleted,
        EventType::JobMoved,
        EventType::JobReprioritised,
        EventType::QueuePaused,
        EventType::QueueResumed,
        EventType::QueueConcurrencySet,
    ];

    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::JobEnqueued => "job.enqueued",
            EventType::JobAvailable => "job.available",
            EventType::JobStarted => "job.started",
            EventType::JobProgressed => "job.progressed",
            EventType::JobLogged => "job.logged",
            EventType::JobCompleted => "job.completed",
            EventType::JobRetryScheduled => "job.retry_scheduled",
            EventType::JobSnoozed => "job.snoozed",
            EventType::JobDiscarded => "job.discarded",
            EventType::JobCancelAsked => "job.cancel_asked",
            EventType::JobCancelled => "job.cancelled",
            EventType::JobInterrupted => "job.interrupted",
            EventType::JobRescued => "job.rescued",
            EventType::JobRetried => "job.retried",
            EventType::JobDeleted => "job.deleted",
            EventType::JobMoved => "job.moved",
            EventType::JobReprioritised => "job.reprioritised",
            EventType::QueuePaused => "queue.paused",
            EventType::QueueResumed => "queue.resumed",
            EventType::QueueConcurrencySet => "queue.concurrency_set",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = super::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let accepted =
            "an event type such as job.enqueued, job.started, job.completed, queue.paused";
        let found = EventType::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| super::Invalid::new("type", text, accepted))
    }
}

impl EventType {
    /// The types that a pattern names: a type, or a glob such as `job.*`, in which `*` stands for any
    /// text. Never empty.
    ///
    /// # Errors
    /// When no type is of that name.
    pub fn matching(pattern: &str) -> Result<Vec<EventType>, super::Invalid> {
        if !pattern.contains('*') {
            return pattern.parse().map(|kind| vec![kind]);
        }
        let named = EventType::ALL.into_iter().filter(|kind| glob(pattern, kind.as_str()));
        let named: Vec<EventType> = named.collect();
        let accepted = "a pattern of event types such as job.*, queue.*, *.completed";
        if named.is_empty() {
            Err(super::Invalid::new("type", pattern, accepted))
        } else {
            Ok(named)
        }
    }
}

/// Whether a text is of a pattern in which `*` stands for any text. Takes each part at its first place, so
/// that no pattern takes long.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
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
        }
    }

    /// The place just after this event, in the life that `cursor` counts in.
    pub fn cursor(&self, cursor: Cursor) -> Cursor {
        Cursor { seq: self.seq, ..cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_survive_text_and_are_past_tense_names() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse::<EventType>().unwrap(), kind);
            assert!(kind.as_str().starts_with("job.") || kind.as_str().starts_with("queue."));
        }
        assert!("job.finish".parse::<EventType>().is_err());
    }

    #[test]
    fn a_glob_names_every_type_it_fits() {
        let names = |pattern: &str| {
            let kinds = EventType::matching(pattern).unwrap();
            kinds.into_iter().map(EventType::as_str).collect::<Vec<_>>()
        };
        assert_eq!(names("job.*").len(), 17);
        assert_eq!(names("*").len(), EventType::ALL.len());
        assert_eq!(names("queue.*"), ["queue.paused", "queue.resumed", "queue.concurrency_set"]);
        assert_eq!(
            names("*.re*ed"),
            [
                "job.retry_scheduled",
                "job.rescued",
                "job.retried",
                "job.reprioritised",
                "queue.resumed"
            ]
        );
        assert_eq!(names("job.started"), ["job.started"]);
        for bad in ["job.x*", "", "job.*.*", "*job.started*x"] {
            assert!(EventType::matching(bad).is_err(), "{bad:?}");
        }
    }
}
