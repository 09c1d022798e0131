//! The verbs of bulk runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::report::{Action, BulkId, BulkReport, Count, Target};
use super::runner::Runner;
use super::runs::BulkRun;
use crate::engine::{BulkError, Engine, StoreError};
use crate::job::JobQuery;

/// How long another node may take to stop a run. It hears of it within two heartbeats.
const STOP_ELSEWHERE: Duration = Duration::from_secs(10);
/// How often it is asked whether the run has ended.
const ASK_ELSEWHERE: Duration = Duration::from_millis(200);

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

    /// Starts a run and returns at once. The run ends with the server and is not resumed. Where several nodes share the
    /// store, all of them know of it then.
    ///
    /// # Errors
    /// Too many runs at once, or the store failed.
    pub async fn bulk(&self, action: Action, target: Target) -> Result<BulkReport, BulkError> {
        let expected = self.bulk_count(&target).await?;
        let own = self.nodes().into_iter().find(|node| node.is_own);
        let run = Arc::new(BulkRun {
            id: BulkId(crate::job::fresh_uuid()),
            node: own.map(|node| node.name),
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
        if let Err(error) = self.exchange_bulk_runs().await {
            self.parts.bulks.withdraw(run.id);
            return Err(error.into());
        }
        let runner = Runner {
            store: self.parts.store.clone(),
            bulks: self.parts.bulks.clone(),
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
            Err(_) => self.stop_own_run(begun.id).await,
        };
        // Only runs that ended long ago are removed.
        Ok(over.unwrap_or(begun))
    }

    /// The report of a run, on whatever node it is executed.
    ///
    /// # Errors
    /// When it is not one of this process, and the other nodes cannot be asked.
    pub async fn bulk_report(&self, id: BulkId) -> Result<Option<BulkReport>, StoreError> {
        if let Some(run) = self.parts.bulks.find(id) {
            return Ok(Some(run.report()));
        }
        let reports = self.bulk_reports().await?;
        Ok(reports.into_iter().find(|report| report.id == id))
    }

    /// The reports of all runs of all nodes, newest first.
    ///
    /// # Errors
    /// When the other nodes cannot be asked.
    pub async fn bulk_reports(&self) -> Result<Vec<BulkReport>, StoreError> {
        self.exchange_bulk_runs().await?;
        Ok(self.known_bulk_reports())
    }

    /// The same as of the last heartbeats, which is cheap.
    pub fn known_bulk_reports(&self) -> Vec<BulkReport> {
        self.parts.bulks.reports_of_all(&self.nodes())
    }

    /// Asks a run to stop after its current step, and waits for that. `None` when there is no such run. If another node
    /// executes it and does not answer in time, the report says that it is running.
    ///
    /// # Errors
    /// When another node executes it and cannot be asked.
    pub async fn bulk_stop(&self, id: BulkId) -> Result<Option<BulkReport>, StoreError> {
        if let Some(stopped) = self.stop_own_run(id).await {
            return Ok(Some(stopped));
        }
        let until = Instant::now() + STOP_ELSEWHERE;
        loop {
            let Some(report) = self.bulk_report(id).await? else { return Ok(None) };
            if report.progress.ended.is_some() || Instant::now() >= until {
                return Ok(Some(report));
            }
            self.parts.bulks.want_stop(id);
            self.parts.bulks.tell(&*self.parts.store);
            sleep(ASK_ELSEWHERE).await;
        }
    }

    async fn stop_own_run(&self, id: BulkId) -> Option<BulkReport> {
        self.parts.bulks.find(id)?.stop.cancel();
        self.bulk_over(id).await
    }

    async fn exchange_bulk_runs(&self) -> Result<(), StoreError> {
        self.parts.bulks.exchange(&*self.parts.store, self.now()).await
    }

    /// Waits for the end of a run of this process. `None` when there is no such run.
    pub async fn bulk_over(&self, id: BulkId) -> Option<BulkReport> {
        let run = self.parts.bulks.find(id)?;
        let mut progress = run.progress.subscribe();
        // The run owns the sender, so the channel cannot be closed.
        let _ended = progress.wait_for(|progress| progress.ended.is_some()).await.is_ok();
        Some(run.report())
    }
}
