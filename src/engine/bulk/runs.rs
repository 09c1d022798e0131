//! The bulk runs that are under way, and those that ended last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::report::{Action, BulkId, BulkReport, Count, Progress, Target};
use crate::engine::EngineError;
use crate::job::Time;

/// Runs that may be under way at once.
pub const MAX_RUNNING: usize = 4;
/// Runs that are remembered, with those under way. They do not survive a restart of the server; what
/// they did does.
const KEPT: usize = 50;

/// A run that is under way or over.
pub struct Run {
    pub id: BulkId,
    pub action: Action,
    pub target: Target,
    pub began: Time,
    pub expected: Count,
    pub stored: u64,
    pub stop: CancellationToken,
    pub progress: watch::Sender<Progress>,
}

impl Run {
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

/// The runs that are remembered, newest first.
#[derive(Default)]
pub struct Bulks(Mutex<VecDeque<Arc<Run>>>);

impl Bulks {
    /// Remembers a run, unless as many as may be are under way.
    pub fn admit(&self, run: &Arc<Run>) -> Result<(), EngineError> {
        let mut runs = self.lock();
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

    pub fn find(&self, id: BulkId) -> Option<Arc<Run>> {
        self.lock().iter().find(|run| run.id == id).cloned()
    }

    /// Every run, newest first.
    pub fn reports(&self) -> Vec<BulkReport> {
        self.lock().iter().map(|run| run.report()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
