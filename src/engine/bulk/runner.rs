//! The loop of one run: the next jobs, the control on them, a note of what became of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::report::{Action, BulkReport, End, Progress, Refusals, Target};
use super::runs::Run;
use crate::clock::Clock;
use crate::engine::attempts::dispatchers::Dispatchers;
use crate::engine::attempts::leases::Leases;
use crate::engine::insight::observer::Observed;
use crate::job::{JobId, JobQuery, PageCursor, Status};
use crate::store::{ControlError, Store, StoreError};
use crate::supervise::{Part, panic_text, pass};

/// Jobs of one step: few enough that one group of the store with them stays short.
const STEP: usize = 200;
/// Refused jobs that are named for each reason.
const EXAMPLES: usize = 5;

/// Jobs of a step, and how many were looked at for them.
struct Step {
    jobs: Vec<JobId>,
    examined: u64,
}

/// Where a run is in its target.
enum Place {
    Listed(usize),
    From(Option<PageCursor>),
    Member(Option<JobId>),
    End,
}

type Answers = Vec<(JobId, Result<Status, ControlError>)>;

/// Does bulk runs.
pub struct Runner {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub leases: Arc<Leases>,
    /// Knows which jobs are in a group of failures.
    pub observed: Arc<Observed>,
    pub dispatchers: Arc<Dispatchers>,
    /// Ends the run.
    pub draining: CancellationToken,
}

impl Runner {
    /// Does a run to its end.
    pub async fn run(self, run: Arc<Run>) {
        let id = run.id.to_string();
        info!(bulk.id = id, action = run.action.as_str(), "bulk run begun");
        // A panic ends this run only, and the run must not seem to go on.
        let end = match AssertUnwindSafe(self.steps(&run)).catch_unwind().await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => {
                warn!(bulk.id = id, %error, "the bulk run cannot go on");
                End::Failed(error.to_string())
            }
            Err(panic) => {
                let error = panic_text(&*panic);
                error!(bulk.id = id, error, "the bulk run panicked");
                End::Failed(format!("it panicked: {error}"))
            }
        };
        let word = end.as_str();
        let at = self.clock.now();
        run.progress.send_modify(|progress| progress.ended = Some((at, end)));
        let BulkReport { progress, .. } = run.report();
        let (done, refused) = (progress.done, progress.refused());
        info!(bulk.id = id, done, refused, end = word, "bulk run over");
    }

    async fn steps(&self, run: &Run) -> Result<End, StoreError> {
        let mut place = match run.target {
            Target::Jobs(_) => Place::Listed(0),
            Target::Matching(_) => Place::From(None),
            Target::FailureGroup(_) => Place::Member(None),
        };
        loop {
            pass(Part::BulkRun);
            if self.draining.is_cancelled() {
                return Ok(End::ServerStopped);
            }
            if run.stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            // Nothing is done to jobs while they are looked for, so that can be broken off at any time.
            let step = tokio::select! {
                biased;
                step = self.next(run, &mut place) => step?,
                () = self.draining.cancelled() => return Ok(End::ServerStopped),
                () = run.stop.cancelled() => return Ok(End::Stopped),
            };
            let Some(step) = step else { return Ok(End::Finished) };
            let answers = if step.jobs.is_empty() {
                Vec::new()
            } else {
                self.store.control(run.action.on(step.jobs)).await?
            };
            self.tell_others(&run.action, &answers);
            run.progress.send_modify(|progress| progress.note(step.examined, answers));
            // Others get their turn, also where every answer was there at once.
            tokio::task::yield_now().await;
        }
    }

    async fn next(&self, run: &Run, place: &mut Place) -> Result<Option<Step>, StoreError> {
        match (&run.target, &*place) {
            (Target::Jobs(all), Place::Listed(from)) if *from < all.len() => {
                let jobs: Vec<JobId> = all.iter().skip(*from).take(STEP).copied().collect();
                *place = Place::Listed(from + jobs.len());
                Ok(Some(Step { examined: jobs.len() as u64, jobs }))
            }
            (Target::Matching(query), Place::From(after)) => {
                let query = JobQuery { after: *after, limit: STEP, ..query.as_ref().clone() };
                let page = self.store.list(query).await?;
                *place = page.next.map_or(Place::End, |next| Place::From(Some(next)));
                let jobs = page.jobs.iter().map(|job| job.id).collect();
                Ok(Some(Step { jobs, examined: page.examined }))
            }
            (Target::FailureGroup(group), Place::Member(after)) => {
                let (jobs, last) = self.observed.failure_members(group, *after, STEP);
                *place = last.map_or(Place::End, |last| Place::Member(Some(last)));
                Ok(Some(Step { examined: jobs.len() as u64, jobs }))
            }
            (
                Target::Jobs(_) | Target::Matching(_) | Target::FailureGroup(_),
                Place::Listed(_) | Place::From(_) | Place::Member(_) | Place::End,
            ) => Ok(None),
        }
    }

    /// Whom the store does not tell: workers of this process, and a queue that is new.
    fn tell_others(&self, action: &Action, answers: &Answers) {
        match action {
            Action::Cancel => {
                let asked = answers
                    .iter()
                    .filter(|(_, answer)| answer.as_ref().is_ok_and(|status| status.cancel_asked));
                asked.for_each(|(id, _)| self.leases.ask_cancel(*id));
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

impl Progress {
    fn note(&mut self, examined: u64, answers: Answers) {
        self.examined += examined;
        for (id, answer) in answers {
            let Err(error) = answer else {
                self.done += 1;
                continue;
            };
            let reason = error.to_string();
            let known = self.refused.iter().position(|refusals| refusals.reason == reason);
            let place = known.unwrap_or_else(|| {
                self.refused.push(Refusals { reason, count: 0, examples: Vec::new() });
                self.refused.len() - 1
            });
            let refusals = &mut self.refused[place];
            refusals.count += 1;
            if refusals.examples.len() < EXAMPLES {
                refusals.examples.push(id);
            }
        }
    }
}
