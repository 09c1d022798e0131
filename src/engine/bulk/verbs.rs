//! The verbs of bulk runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::report::{Action, BulkId, BulkReport, Count, Target};
use super::runner::Runner;
use super::runs::BulkRun;
use crate::engine::{BulkError, Engine, StoreError};
use crate::job::JobQuery;

impl Engine {
    /// Counts the jobs of a target without a scan: where no counter fits, it looks at one page.
    ///
    /// # Errors
    /// The store failed.
    pub async fn bulk_count(&self, target: &Target) -> Result<Count, StoreError> {
        let query = match target {
            Target::Jobs(jobs) => return Ok(Count::Exactly(jobs.len() as u64)),
            Target::Matching(query) => query.as_ref().clone().from_the_start(),
            Target::FailureGroup(group) => {
                let group = self.failure_group(group);
                return Ok(Count::Exactly(group.map_or(0, |group| group.dead + group.retrying)));
            }
        };
        if let Some(count) = self.stats().await?.count(&query) {
            return Ok(Count::Exactly(count));
        }
        let page = self.jobs(JobQuery { limit: JobQuery::MAX_LIMIT, ..query }).await?;
        let found = page.jobs.len() as u64;
        Ok(if page.next.is_some() { Count::AtLeast(found) } else { Count::Exactly(found) })
    }

    /// Starts a run and returns at once. The run ends with the server and is not resumed.
    ///
    /// # Errors
    /// Too many runs at once, or the store failed.
    pub async fn bulk(&self, action: Action, target: Target) -> Result<BulkReport, BulkError> {
        let expected = self.bulk_count(&target).await?;
        let run = Arc::new(BulkRun {
            id: BulkId(crate::job::fresh_uuid()),
            action,
            target,
            by: self.actor.clone(),
            began: self.now(),
            expected,
            stored: self.stats().await?.states.values().sum(),
            stop: CancellationToken::new(),
            progress: watch::Sender::default(),
        });
        self.parts.bulks.admit(&run)?;
        let runner = Runner {
            store: self.parts.store.clone(),
            clock: self.parts.clock.clone(),
            leases: self.parts.leases.clone(),
            remote: self.parts.remote.clone(),
            observed: self.parts.observed.clone(),
            dispatchers: self.parts.dispatchers.clone(),
            draining: self.parts.shutdown.draining.clone(),
        };
        let task = runner.run(run.clone());
        self.parts.shutdown.tasks.spawn(self.parts.stages.loops.track_future(task));
        Ok(run.report())
    }

    /// Starts a run, stops it when `bound` has passed, and returns its last report.
    ///
    /// # Errors
    /// Too many runs at once, or the store failed before the run started.
    pub async fn bulk_within(
        &self,
        action: Action,
        target: Target,
        bound: Duration,
    ) -> Result<BulkReport, BulkError> {
        let begun = self.bulk(action, target).await?;
        let over = match timeout(bound, self.bulk_over(begun.id)).await {
            Ok(report) => report,
            Err(_) => self.bulk_stop(begun.id).await,
        };
        // Only runs that ended long ago are removed.
        Ok(over.unwrap_or(begun))
    }

    /// The report of a run.
    pub fn bulk_report(&self, id: BulkId) -> Option<BulkReport> {
        self.parts.bulks.find(id).map(|run| run.report())
    }

    /// The reports of all runs, newest first.
    pub fn bulk_reports(&self) -> Vec<BulkReport> {
        self.parts.bulks.reports()
    }

    /// Asks a run to stop after its current step, and waits for that. `None` when there is no such run.
    pub async fn bulk_stop(&self, id: BulkId) -> Option<BulkReport> {
        self.parts.bulks.find(id)?.stop.cancel();
        self.bulk_over(id).await
    }

    /// Waits for the end of a run. `None` when there is no such run.
    pub async fn bulk_over(&self, id: BulkId) -> Option<BulkReport> {
        let run = self.parts.bulks.find(id)?;
        let mut progress = run.progress.subscribe();
        // The run owns the sender, so the channel cannot be closed.
        let _ended = progress.wait_for(|progress| progress.ended.is_some()).await.is_ok();
        Some(run.report())
    }
}
