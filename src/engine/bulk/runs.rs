//! The table of bulk runs: those that are running, and the last ones that ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::elsewhere::RunsElsewhere;
use super::report::{Action, BulkId, BulkReport, Count, RunProgress, Target};
use super::told::{ToldRun, ToldRuns};
use crate::engine::BulkError;
use crate::job::{Actor, Time};
use crate::store::{NodeReport, Store, StoreError};

/// The most runs at once.
pub const MAX_RUNNING: usize = 4;
/// The most runs in the table. The table is lost when the server restarts; the changes that the runs made are not.
const MAX_KEPT_RUNS: usize = 50;

/// A bulk run.
pub struct BulkRun {
    pub id: BulkId,
    /// The name of this node, where several share the store.
    pub node: Option<String>,
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
            node: self.node.clone(),
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

/// The bulk runs.
#[derive(Default)]
pub struct Bulks {
    /// Those of this process, newest first.
    own: Mutex<VecDeque<Arc<BulkRun>>>,
    /// Those of other nodes.
    elsewhere: RunsElsewhere,
    /// Held while this process tells the others, so that nothing older follows something newer.
    telling: Mutex<()>,
}

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

    /// Removes a run that has not begun.
    pub fn withdraw(&self, id: BulkId) {
        self.lock().retain(|run| run.id != id);
    }

    /// The reports of all runs of this process, newest first.
    pub fn reports(&self) -> Vec<BulkReport> {
        self.lock().iter().map(|run| run.report()).collect()
    }

    /// Exchanges heartbeats with the other nodes: they know the runs of this one then, and this one knows theirs.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn exchange(&self, store: &dyn Store, now: Time) -> Result<(), StoreError> {
        if store.nodes().is_empty() {
            return Ok(()); // only this process uses the store
        }
        self.tell(store);
        store.exchange_heartbeats().await?;
        self.hear(&store.nodes(), now);
        Ok(())
    }

    /// Hands what the next heartbeats tell the other nodes to the store.
    pub fn tell(&self, store: &dyn Store) {
        let _turn = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = store.nodes().into_iter().find(|node| node.is_own) else { return };
        let told = self.told(&own);
        let is_nothing = told == ToldRuns::default();
        let told = if is_nothing { serde_json::Value::Null } else { serde_json::json!(told) };
        store.describe_bulk_runs(told);
    }

    /// Takes note of what the other nodes have said by their last heartbeats.
    pub fn hear(&self, nodes: &[NodeReport], now: Time) {
        for id in self.elsewhere.hear(nodes, now) {
            if let Some(run) = self.find(id) {
                run.stop.cancel();
            }
        }
    }

    /// The reports of the runs of all nodes, newest first, as far as they are known.
    pub fn reports_of_all(&self, nodes: &[NodeReport]) -> Vec<BulkReport> {
        match nodes.iter().find(|node| node.is_own) {
            Some(own) => self.elsewhere.reports_of_all(own.session, self.told(own)),
            None => self.reports(),
        }
    }

    /// Asks the node that executes a run to stop it.
    pub fn want_stop(&self, id: BulkId) {
        self.elsewhere.want_stop(id);
    }

    fn told(&self, own: &NodeReport) -> ToldRuns {
        let reports = self.reports();
        let told = reports.iter().map(|report| ToldRun::of(report, &own.name, own.session));
        self.elsewhere.told(told.collect())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<BulkRun>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
