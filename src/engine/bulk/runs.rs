//! The table of bulk runs: those that are running, and the last ones that ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::report::{Action, BulkId, BulkReport, Count, RunProgress, Target};
use crate::engine::BulkError;
use crate::job::{Actor, Time};

/// The most runs at once.
pub const MAX_RUNNING: usize = 4;
/// The most runs in the table. The table is lost when the server restarts; the changes that the runs made are not.
const MAX_KEPT_RUNS: usize = 50;

/// A bulk run.
pub struct BulkRun {
    pub id: BulkId,
    pub action: Action,
    pub target: Target,
    /// In whose name it changes jobs.
    pub by: Option<Actor>,
    pub began: Time,
    pub expected: Count,
    pub stored: u64,
    pub stop: CancellationToken,
    pub progress: watch::Sender<RunProgress>,
}

impl BulkRun {
    pub fn report(&self) -> BulkReport {
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

/// The bulk runs, newest first.
#[derive(Default)]
pub struct Bulks(Mutex<VecDeque<Arc<BulkRun>>>);

impl Bulks {
    /// Adds a run, unless the limit of concurrent runs is reached.
    pub fn admit(&self, run: &Arc<BulkRun>) -> Result<(), BulkError> {
        let mut runs = self.lock();
        if runs.iter().filter(|run| !run.is_over()).count() >= MAX_RUNNING {
            return Err(BulkError::TooManyRuns { limit: MAX_RUNNING });
        }
        runs.push_front(run.clone());
        if runs.len() > MAX_KEPT_RUNS
            && let Some(oldest) = runs.iter().rposition(|run| run.is_over())
        {
            runs.remove(oldest);
        }
        Ok(())
    }

    pub fn find(&self, id: BulkId) -> Option<Arc<BulkRun>> {
        self.lock().iter().find(|run| run.id == id).cloned()
    }

    /// The reports of all runs, newest first.
    pub fn reports(&self) -> Vec<BulkReport> {
        self.lock().iter().map(|run| run.report()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<BulkRun>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
