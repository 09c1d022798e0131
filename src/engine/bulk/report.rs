//! What a bulk run does, to which jobs, and its progress.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::job::{JobId, JobQuery, QueueName, Time};
use crate::store::Control;

/// The most jobs that a list may name; a query can match more.
pub const MAX_LISTED: usize = 10_000;

/// The id of a run.
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
        Uuid::try_parse(text)
            .map(BulkId)
            .map_err(|_| format!("{text:?} is not the id of a bulk run"))
    }
}

/// The action that a run applies to each job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Runs the job again now.
    Retry,
    /// Cancels the job.
    Cancel,
    /// Deletes the job.
    Delete,
    /// Moves the job to a queue.
    Move(QueueName),
    /// Changes the priority of the job.
    Reprioritise(i16),
}

impl Action {
    /// The public name.
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

/// The jobs of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The listed jobs.
    Jobs(Vec<JobId>),
    /// All jobs that match the query when the run reaches them, except those submitted after its start.
    Matching(Box<JobQuery>),
    /// The jobs in the failure group with this id when the run reaches them, oldest first.
    FailureGroup(String),
}

/// A number of jobs, as precise as it can be without examining all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The exact number.
    Exactly(u64),
    /// A lower bound.
    AtLeast(u64),
}

impl Count {
    /// The known number.
    pub fn known(self) -> u64 {
        match self {
            Count::Exactly(count) | Count::AtLeast(count) => count,
        }
    }
}

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunProgress {
    /// Jobs that were examined, whether they matched or not.
    pub examined: u64,
    /// Jobs that the action was applied to.
    pub done: u64,
    /// Jobs that the action was refused for, by reason.
    pub refused: Vec<Refusals>,
    /// When and how the run ended; `None` while it is running.
    pub ended: Option<(Time, End)>,
}

impl RunProgress {
    /// The number of jobs that the action was refused for.
    pub fn refused(&self) -> u64 {
        self.refused.iter().map(|refusals| refusals.count).sum()
    }
}

/// Jobs that were refused for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// The reason as a text.
    pub reason: String,
    /// The number of jobs.
    pub count: u64,
    /// The first few of these jobs.
    pub examples: Vec<JobId>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It reached the last job.
    Finished,
    /// It was stopped by hand.
    Stopped,
    /// The server, or the node that executed the run, stopped or was lost before the run was finished.
    ServerStopped,
    /// The store failed before the run was finished.
    Failed(String),
}

impl End {
    /// The public name.
    pub fn as_str(&self) -> &'static str {
        match self {
            End::Finished => "finished",
            End::Stopped => "stopped",
            End::ServerStopped => "server_stopped",
            End::Failed(_) => "failed",
        }
    }
}

/// The state of a run.
#[derive(Debug, Clone)]
pub struct BulkReport {
    /// The id.
    pub id: BulkId,
    /// The node that executes it, where several share the store.
    pub node: Option<String>,
    /// The action.
    pub action: Action,
    /// The jobs. Of a list, another node than the one that executes the run knows only that it is one.
    pub target: Target,
    /// When the run started.
    pub began: Time,
    /// How many jobs were expected at the start.
    pub expected: Count,
    /// How many jobs were stored at the start, which bounds what the run has to examine.
    pub stored: u64,
    /// The progress.
    pub progress: RunProgress,
}
