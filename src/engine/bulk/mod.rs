//! One control on many jobs: those of a list, or everything that a query finds. It runs in steps between
//! which the store is free for others, tells how far it is, and can be stopped.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Engine, EngineError};
use crate::job::{JobId, JobQuery, QueueName, Time};
use crate::store::Control;

pub mod group_action;
pub mod run;

/// Runs that may be under way at once.
pub const MAX_RUNNING: usize = 4;
/// Runs that are remembered, with those under way. They do not survive a restart of the server; what
/// they did does.
const KEPT: usize = 50;
/// Jobs that a list may name; more are found by a query.
pub const MAX_LISTED: usize = 10_000;

/// Names one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkId(Uuid);

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

    fn on(&self, jobs: Vec<JobId>) -> Control {
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

struct Run {
    id: BulkId,
    action: Action,
    target: Target,
    began: Time,
    expected: Count,
    stored: u64,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
}

impl Run {
    fn report(&self) -> BulkReport {
        BulkReport {
            id: self.id,
            action: self.action.clone(),
            target: self.target.clone(),
            began: self.began,
            expected: self.expected,
            stored: self.stored,
            progress: self.progress.borrow().clone(),
        }
    }

    fn is_over(&self) -> bool {
        self.progress.borrow().ended.is_some()
    }
}

/// The runs that are remembered, newest first.
#[derive(Default)]
pub(super) struct Bulks(Mutex<VecDeque<Arc<Run>>>);

impl Bulks {
    /// Remembers a run, unless as many as may be are under way.
    fn admit(&self, run: &Arc<Run>) -> Result<(), EngineError> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.iter().filter(|run| !run.is_over()).count() >= MAX_RUNNING {
            return Err(EngineError::TooManyBulks { limit: MAX_RUNNING });
        }
        runs.push_front(run.clone());
        if runs.len() > KEPT
            && let Some(oldest) = runs.iter().rposition(|run| run.is_over())
        {
            runs.remove(oldest);
        }
        Ok(())
    }

    fn find(&self, id: BulkId) -> Option<Arc<Run>> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().find(|run| run.id == id).cloned()
    }
}

impl Engine {
    /// How many jobs a target has. Costs no scan: where counters do not reach, it looks at one page.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn bulk_count(&self, target: &Target) -> Result<Count, EngineError> {
        let query = match target {
            Target::Jobs(jobs) => return Ok(Count::Exactly(jobs.len() as u64)),
            Target::Matching(query) => query.as_ref().clone().from_the_start(),
        };
        if let Some(count) = self.stats().await?.count(&query) {
            return Ok(Count::Exactly(count));
        }
        let page = self.jobs(JobQuery { limit: JobQuery::MAX_LIMIT, ..query }).await?;
        let found = page.jobs.len() as u64;
        Ok(if page.next.is_some() { Count::AtLeast(found) } else { Count::Exactly(found) })
    }

    /// Begins a run and answers at once. It ends with the server; it is not taken up again.
    ///
    /// # Errors
    /// Too many are under way, or the store's refusal.
    pub async fn bulk(&self, action: Action, target: Target) -> Result<BulkReport, EngineError> {
        let expected = self.bulk_count(&target).await?;
        let run = Arc::new(Run {
            id: BulkId(crate::job::fresh_uuid()),
            action,
            target,
            began: self.now(),
            expected,
            stored: self.stats().await?.states.values().sum(),
            stop: CancellationToken::new(),
            progress: watch::Sender::default(),
        });
        self.inner.bulks.admit(&run)?;
        let task = run::run(self.inner.clone(), run.clone());
        self.inner.shutdown.tasks.spawn(self.inner.stages.loops.track_future(task));
        Ok(run.report())
    }

    /// A run that is remembered.
    pub fn bulk_report(&self, id: BulkId) -> Option<BulkReport> {
        self.inner.bulks.find(id).map(|run| run.report())
    }

    /// Every run that is remembered, newest first.
    pub fn bulk_reports(&self) -> Vec<BulkReport> {
        let runs = self.inner.bulks.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().map(|run| run.report()).collect()
    }

    /// Asks a run to end after the step it is in, and waits for that. `None` when there is no such run.
    pub async fn bulk_stop(&self, id: BulkId) -> Option<BulkReport> {
        self.inner.bulks.find(id)?.stop.cancel();
        self.bulk_over(id).await
    }

    /// Waits for the end of a run. `None` when there is no such run.
    pub async fn bulk_over(&self, id: BulkId) -> Option<BulkReport> {
        let run = self.inner.bulks.find(id)?;
        let mut progress = run.progress.subscribe();
        // The sender lives in the run itself, so it cannot have gone.
        let _ended = progress.wait_for(|progress| progress.ended.is_some()).await.is_ok();
        Some(run.report())
    }
}
