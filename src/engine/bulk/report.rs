//! What a bulk run does, to which jobs, and what became of it.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::job::{JobId, JobQuery, QueueName, Time};
use crate::store::Control;

/// Jobs that a list may name; more are found by a query.
pub const MAX_LISTED: usize = 10_000;

/// Names one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkId(pub(super) Uuid);

impl fmt::Display for BulkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for BulkId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(BulkId).map_err(|_| format!("{text:?} names no bulk run"))
    }
}

/// What is done to each job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run it again now.
    Retry,
    /// End it.
    Cancel,
    /// Remove it.
    Delete,
    /// Put it into a queue.
    Move(QueueName),
    /// Give it a priority.
    Reprioritise(i16),
}

impl Action {
    /// The public word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Action::Retry => "retry",
            Action::Cancel => "cancel",
            Action::Delete => "delete",
            Action::Move(_) => "move",
            Action::Reprioritise(_) => "reprioritise",
        }
    }

    pub(super) fn on(&self, jobs: Vec<JobId>) -> Control {
        match self {
            Action::Retry => Control::Retry(jobs),
            Action::Cancel => Control::Cancel(jobs),
            Action::Delete => Control::Delete(jobs),
            Action::Move(queue) => Control::Move { jobs, queue: queue.clone() },
            Action::Reprioritise(priority) => Control::Reprioritise { jobs, priority: *priority },
        }
    }
}

/// Which jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These.
    Jobs(Vec<JobId>),
    /// All that the query finds when the run comes to them; none that is submitted after its start.
    Matching(Box<JobQuery>),
    /// Those that are in the group of failures with this id when the run comes to them, the oldest first.
    FailureGroup(String),
}

/// How many jobs there are, as far as that is known without looking at all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// So many, and perhaps more.
    AtLeast(u64),
}

impl Count {
    /// The number that is known.
    pub fn known(self) -> u64 {
        match self {
            Count::Exactly(count) | Count::AtLeast(count) => count,
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Jobs looked at, wanted or not.
    pub examined: u64,
    /// Jobs that it was done to.
    pub done: u64,
    /// Jobs that it was not done to, by reason.
    pub refused: Vec<Refusals>,
    /// When and how it ended, once it has.
    pub ended: Option<(Time, End)>,
}

impl Progress {
    /// Jobs that it was not done to.
    pub fn refused(&self) -> u64 {
        self.refused.iter().map(|refusals| refusals.count).sum()
    }
}

/// Jobs that were refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// In words.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<JobId>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It came to the last job.
    Finished,
    /// Somebody stopped it.
    Stopped,
    /// The server stops; what is left was not done.
    ServerStopped,
    /// The store refused; what is left was not done.
    Failed(String),
}

impl End {
    /// The public word.
    pub fn as_str(&self) -> &'static str {
        match self {
            End::Finished => "finished",
            End::Stopped => "stopped",
            End::ServerStopped => "server_stopped",
            End::Failed(_) => "failed",
        }
    }
}

/// A run as it is now.
#[derive(Debug, Clone)]
pub struct BulkReport {
    /// Its name.
    pub id: BulkId,
    /// What is done.
    pub action: Action,
    /// To which jobs.
    pub target: Target,
    /// When it began.
    pub began: Time,
    /// How many jobs it was going to meet.
    pub expected: Count,
    /// How many jobs were stored when it began: what it may have to look at.
    pub stored: u64,
    /// How far it is.
    pub progress: Progress,
}
