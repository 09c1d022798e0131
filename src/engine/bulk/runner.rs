//! Executes a bulk run: finds the next jobs, applies the action, and records the answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::report::{Action, BulkReport, End, Refusals, RunProgress, Target};
use super::runs::{BulkRun, Bulks};
use crate::clock::Clock;
use crate::engine::attempts::dispatchers::Dispatchers;
use crate::engine::attempts::leases::Leases;
use crate::engine::insight::observer::Observed;
use crate::engine::workers::remote::RemoteWorkers;
use crate::job::{JobId, JobQuery, PageCursor, Status};
use crate::store::{ControlError, JobControlError, Store, StoreError};
use crate::supervise::{Part, panic_text, pass};

/// Jobs in one step. The number is small, so that a group commit with them stays short.
const JOBS_PER_STEP: usize = 200;
/// How many refused jobs are listed for each reason.
const MAX_EXAMPLES: usize = 5;

/// The jobs of a step, and how many were examined to find them.
struct JobsToChange {
    jobs: Vec<JobId>,
    examined: u64,
}

/// The position of a run in its target.
enum Position {
    Listed(usize),
    From(Option<PageCursor>),
    Member(Option<JobId>),
    End,
}

type Answers = Vec<(JobId, Result<Status, JobControlError>)>;

/// Executes bulk runs.
pub struct Runner {
    pub store: Arc<dyn Store>,
    /// Tells the other nodes of the end.
    pub bulks: Arc<Bulks>,
    pub clock: Arc<dyn Clock>,
    pub leases: Arc<Leases>,
    pub remote: Arc<RemoteWorkers>,
    /// Knows the jobs of failure groups.
    pub observed: Arc<Observed>,
    pub dispatchers: Arc<Dispatchers>,
    /// Ends the run.
    pub draining: CancellationToken,
}

impl Runner {
    /// Executes a run until it ends.
    pub async fn run(self, run: Arc<BulkRun>) {
        let id = run.id.to_string();
        info!(bulk.id = id, action = run.action.as_str(), "bulk run started");
        // A panic ends only this run, which must then be reported as failed and not as running.
        let end = match AssertUnwindSafe(self.steps(&run)).catch_unwind().await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => {
                warn!(bulk.id = id, %error, "bulk run failed");
                End::Failed(error.to_string())
            }
            Err(panic) => {
                let error = panic_text(&*panic);
                error!(bulk.id = id, error, "bulk run panicked");
                End::Failed(format!("it panicked: {error}"))
            }
        };
        let word = end.as_str();
        let at = self.clock.now();
        run.progress.send_modify(|progress| progress.ended = Some((at, end)));
        if let Err(error) = self.bulks.exchange(&*self.store, at).await {
            tracing::debug!(bulk.id = id, %error, "the other nodes hear of the end with the next heartbeat");
        }
        let BulkReport { progress, .. } = run.report();
        let (done, refused) = (progress.done, progress.refused());
        info!(bulk.id = id, done, refused, end = word, "bulk run ended");
    }

    async fn steps(&self, run: &BulkRun) -> Result<End, ControlError> {
        let mut position = match run.target {
            Target::Jobs(_) => Position::Listed(0),
            Target::Matching(_) => Position::From(None),
            Target::FailureGroup(_) => Position::Member(None),
        };
        loop {
            pass(Part::BulkRun);
            if self.draining.is_cancelled() {
                return Ok(End::ServerStopped);
            }
            if run.stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            // Looking for jobs changes nothing, so it can be interrupted at any time.
            let step = tokio::select! {
                biased;
                step = self.next(run, &mut position) => step?,
                () = self.draining.cancelled() => return Ok(End::ServerStopped),
                () = run.stop.cancelled() => return Ok(End::Stopped),
            };
            let Some(step) = step else { return Ok(End::Finished) };
            let answers = if step.jobs.is_empty() {
                Vec::new()
            } else {
                self.store.control(run.action.on(step.jobs), run.by.clone()).await?
            };
            self.notify(&run.action, &answers);
            run.progress.send_modify(|progress| progress.note(step.examined, answers));
            // Lets other tasks run even when no call had to wait.
            tokio::task::yield_now().await;
        }
    }

    async fn next(
        &self,
        run: &BulkRun,
        position: &mut Position,
    ) -> Result<Option<JobsToChange>, StoreError> {
        match (&run.target, &*position) {
            (Target::Jobs(all), Position::Listed(from)) if *from < all.len() => {
                let jobs: Vec<JobId> =
                    all.iter().skip(*from).take(JOBS_PER_STEP).copied().collect();
                *position = Position::Listed(from + jobs.len());
                Ok(Some(JobsToChange { examined: jobs.len() as u64, jobs }))
            }
            (Target::Matching(query), Position::From(after)) => {
                let query =
                    JobQuery { after: *after, limit: JOBS_PER_STEP, ..query.as_ref().clone() };
                let page = self.store.list(query).await?;
                *position = page.next.map_or(Position::End, |next| Position::From(Some(next)));
                let jobs = page.jobs.iter().map(|job| job.id).collect();
                Ok(Some(JobsToChange { jobs, examined: page.examined }))
            }
            (Target::FailureGroup(group), Position::Member(after)) => {
                let (jobs, last) = self.observed.failure_members(group, *after, JOBS_PER_STEP);
                *position = last.map_or(Position::End, |last| Position::Member(Some(last)));
                Ok(Some(JobsToChange { examined: jobs.len() as u64, jobs }))
            }
            (
                Target::Jobs(_) | Target::Matching(_) | Target::FailureGroup(_),
                Position::Listed(_) | Position::From(_) | Position::Member(_) | Position::End,
            ) => Ok(None),
        }
    }

    /// Notifies what the store does not notify: running attempts of this process, and dispatchers of new queues.
    fn notify(&self, action: &Action, answers: &Answers) {
        match action {
            Action::Cancel => {
                let asked = answers
                    .iter()
                    .filter(|(_, answer)| answer.as_ref().is_ok_and(|status| status.cancel_asked));
                asked.for_each(|(id, _)| {
                    self.leases.ask_cancel(*id);
                    self.remote.ask_cancel(*id);
                });
            }
            Action::Move(queue) => {
                if answers.iter().any(|(_, answer)| answer.is_ok()) {
                    self.dispatchers.ensure(std::iter::once(queue));
                }
            }
            Action::Retry | Action::Delete | Action::Reprioritise(_) => {}
        }
    }
}

impl RunProgress {
    fn note(&mut self, examined: u64, answers: Answers) {
        self.examined += examined;
        for (id, answer) in answers {
            let Err(error) = answer else {
                self.done += 1;
                continue;
            };
            let reason = error.to_string();
            let known = self.refused.iter().position(|refusals| refusals.reason == reason);
            let position = known.unwrap_or_else(|| {
                self.refused.push(Refusals { reason, count: 0, examples: Vec::new() });
                self.refused.len() - 1
            });
            let refusals = &mut self.refused[position];
            refusals.count += 1;
            if refusals.examples.len() < MAX_EXAMPLES {
                refusals.examples.push(id);
            }
        }
    }
}
