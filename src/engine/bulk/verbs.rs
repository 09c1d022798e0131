//! The verbs of bulk runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::report::{Action, BulkId, BulkReport, Count, Target};
use super::runner::Runner;
use super::runs::Run;
use crate::engine::{Engine, EngineError};
use crate::job::JobQuery;

impl Engine {
    /// How many jobs a target has. Costs no scan: where counters do not reach, it looks at one page.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn bulk_count(&self, target: &Target) -> Result<Count, EngineError> {
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
        self.parts.bulks.admit(&run)?;
        let runner = Runner {
            store: self.parts.store.clone(),
            clock: self.parts.clock.clone(),
            leases: self.parts.leases.clone(),
            observed: self.parts.observed.clone(),
            dispatchers: self.parts.dispatchers.clone(),
            draining: self.parts.shutdown.draining.clone(),
        };
        let task = runner.run(run.clone());
        self.parts.shutdown.tasks.spawn(self.parts.stages.loops.track_future(task));
        Ok(run.report())
    }

    /// Does as much of a run as fits into a length of time, then stops it. Answers with its last report.
    ///
    /// # Errors
    /// Too many are under way, or the store's refusal before the first job.
    pub async fn bulk_within(
        &self,
        action: Action,
        target: Target,
        bound: Duration,
    ) -> Result<BulkReport, EngineError> {
        let begun = self.bulk(action, target).await?;
        let over = match timeout(bound, self.bulk_over(begun.id)).await {
            Ok(report) => report,
            Err(_) => self.bulk_stop(begun.id).await,
        };
        // Only a run that ended long ago is forgotten.
        Ok(over.unwrap_or(begun))
    }

    /// A run that is remembered.
    pub fn bulk_report(&self, id: BulkId) -> Option<BulkReport> {
        self.parts.bulks.find(id).map(|run| run.report())
    }

    /// Every run that is remembered, newest first.
    pub fn bulk_reports(&self) -> Vec<BulkReport> {
        self.parts.bulks.reports()
    }

    /// Asks a run to end after the step it is in, and waits for that. `None` when there is no such run.
    pub async fn bulk_stop(&self, id: BulkId) -> Option<BulkReport> {
        self.parts.bulks.find(id)?.stop.cancel();
        self.bulk_over(id).await
    }

    /// Waits for the end of a run. `None` when there is no such run.
    pub async fn bulk_over(&self, id: BulkId) -> Option<BulkReport> {
        let run = self.parts.bulks.find(id)?;
        let mut progress = run.progress.subscribe();
        // The sender lives in the run itself, so it cannot have gone.
        let _ended = progress.wait_for(|progress| progress.ended.is_some()).await.is_ok();
        Some(run.report())
    }
}
