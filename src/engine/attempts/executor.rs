//! Runs attempts: starts the handler in a task of its own, enforces the timeout, passes on requests to end, and
//! reports the verdict to the settler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::leases::{EndRequest, Leases, Running};
use super::local_attempt::LocalAttempt;
use super::report::{AttemptReport, Ended, Reports};
use super::verdict::{Cause, Ending, Retry, failed, verdict};
use crate::clock::Clock;
use crate::engine::queues::slots::Slot;
use crate::engine::workers::callbacks::CallbackPlace;
use crate::engine::{AttemptContext, Registry, run_blocking};
use crate::job::{FailureClass, Interruption, Job, Json, JsonLimits, Outcome, Verdict};
use crate::supervise::{Part, PartFailures, panic_text, pass};

/// How long a handler may take to end after it was dropped. It ends at its next await point; a handler that
/// takes longer is stuck in blocking code.
pub const DROP_BOUND: Duration = Duration::from_secs(1);

/// Runs attempts. There is one executor for the whole process.
pub struct Executor {
    pub registry: Arc<Registry>,
    /// The source of the timestamps of log lines.
    pub clock: Arc<dyn Clock>,
    pub leases: Arc<Leases>,
    pub reports: Reports,
    /// The callbacks of services that run jobs elsewhere, and the texts of leases that identify them.
    pub callbacks: Arc<CallbackPlace>,
    /// Tracks attempts and their handlers, so that the stop can wait for them.
    pub attempts: TaskTracker,
    pub failures: PartFailures,
    /// How long an attempt may run when its job does not say.
    pub default_timeout: Duration,
    /// How long a handler may take to clean up after it was asked to end.
    pub handler_grace: Duration,
    /// The limits of results.
    pub json: JsonLimits,
}

impl Executor {
    /// Runs an attempt in a task of its own. A panic of the executor itself stops the server and leaves the lease
    /// to expire.
    pub fn start(self: &Arc<Self>, job: Arc<Job>, running: Arc<Running>, slot: Slot) {
        let executor = self.clone();
        let attempt = async move {
            let attempt = executor.run(job, running.clone(), slot);
            if !executor.failures.clone().guard(Part::Executor, attempt).await {
                executor.leases.abandon(&running);
                running.set_lost();
            }
        };
        // The stop waits on the tracker, so nothing needs the handle.
        drop(self.attempts.spawn(attempt));
    }

    /// Gives a lease back unused, because the stop began before the attempt did.
    pub fn give_back(&self, running: Arc<Running>, slot: Slot) {
        let stopped = Verdict::Interrupted { why: Interruption::Stop };
        self.report(running, None, stopped, slot, Duration::ZERO);
    }

    /// Runs an attempt until it ends, and reports it.
    async fn run(&self, job: Arc<Job>, running: Arc<Running>, slot: Slot) {
        let started = Instant::now();
        pass(Part::Executor);
        if let Some(earlier) = &running.after {
            info!(job.id = %job.id, "waiting for an earlier attempt of the job to end");
            tokio::select! {
                () = earlier.cancelled() => {}
                () = running.end.cancelled() => {}
            }
        }
        if running.end.is_cancelled() {
            let decided = verdict(Ending::Aborted, cause_of(&running), retry(&job));
            return self.report(running, None, decided, slot, started.elapsed());
        }
        let Some(handler) = self.registry.handler(&job.labels.kind) else {
            let message = format!("there is no handler for kind {:?}", job.labels.kind.as_str());
            let decided = failed(FailureClass::Error, &message, None, retry(&job));
            return self.report(running, None, decided, slot, started.elapsed());
        };
        let limit = match job.spec.timeout_ms {
            Some(ms) => Duration::from_millis(ms),
            None => self.default_timeout,
        };
        let attempt = LocalAttempt::new(running.clone(), limit, self.clock.clone());
        let context = AttemptContext::of_attempt(attempt, self.callbacks.clone());
        let task = self.attempts.spawn({
            let context = context.clone();
            async move {
                pass(Part::Handler);
                handler.run(context).await
            }
        });
        let attempt =
            RunningAttempt { executor: self, job: &job, running: &running, context: &context };
        let (ending, cause) = attempt.watch(task, limit).await;
        let ending = attempt.within_limits(ending);
        let decided = verdict(ending, cause, retry(&job));
        self.report(running, Some(context), decided, slot, started.elapsed());
    }

    fn report(
        &self,
        running: Arc<Running>,
        context: Option<AttemptContext>,
        verdict: Verdict,
        slot: Slot,
        ran_for: Duration,
    ) {
        let slot = Some(slot);
        let end = Ended { running, context, verdict, slot, ran_for };
        self.reports.send(AttemptReport::Ended(end));
    }
}

/// A running attempt.
struct RunningAttempt<'a> {
    executor: &'a Executor,
    job: &'a Job,
    running: &'a Arc<Running>,
    context: &'a AttemptContext,
}

impl RunningAttempt<'_> {
    /// Waits for the handler to end. When there is a cause, asks it to end and finally drops it.
    async fn watch(&self, mut task: JoinHandle<Outcome>, limit: Duration) -> (Ending, Cause) {
        let cause = {
            let deadline = sleep(limit);
            tokio::pin!(deadline);
            tokio::select! {
                biased;
                ending = self.ending(&mut task) => return (ending, self.cause()),
                () = self.running.end.cancelled() => cause_of(self.running),
                () = &mut deadline => {
                    self.context.set_timed_out();
                    Cause::Timeout(limit)
                }
            }
        };
        self.running.end.cancel();
        let grace = self.executor.handler_grace;
        if let Ok(ending) = timeout(grace, self.ending(&mut task)).await {
            return (ending, cause);
        }
        task.abort();
        if let Ok(ending) = timeout(DROP_BOUND, self.ending(&mut task)).await {
            return (ending, cause);
        }
        error!(
            job.id = %self.job.id, job.kind = %self.job.labels.kind, queue = %self.job.labels.queue,
            attempt = self.job.status.attempt,
            "the handler blocks its thread and cannot be stopped; its lease will expire"
        );
        self.executor.leases.abandon(self.running);
        (self.ending(&mut task).await, cause)
    }

    /// Leaves out a result that exceeds the limits. The job is completed all the same.
    fn within_limits(&self, ending: Ending) -> Ending {
        let Ending::Returned(Outcome::Done(result)) = &ending else { return ending };
        let limits = self.executor.json;
        match run_blocking(result.as_str().len(), || limits.check(result.as_str())) {
            Ok(()) => ending,
            Err(why) => {
                warn!(
                    job.id = %self.job.id, job.kind = %self.job.labels.kind,
                    attempt = self.job.status.attempt, error = %why, "the result exceeds the limits and is not stored"
                );
                Ending::Returned(Outcome::Done(Json::left_out(why, result.as_str())))
            }
        }
    }

    /// The cause when the handler ended before this task asked it to: the handler may have seen its cancelled token
    /// first.
    fn cause(&self) -> Cause {
        if self.running.end.is_cancelled() { cause_of(self.running) } else { Cause::Itself }
    }

    /// Waits for the handler to end, and passes its notes on to the settler meanwhile.
    async fn ending(&self, task: &mut JoinHandle<Outcome>) -> Ending {
        loop {
            tokio::select! {
                biased;
                end = &mut *task => return match end {
                    Ok(outcome) => Ending::Returned(outcome),
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => Ending::Panicked(panic_text(&*panic)),
                        Err(_) => Ending::Aborted,
                    },
                },
                () = self.context.notes_changed() => {
                    self.executor.reports.send(AttemptReport::Notes(self.running.clone(), self.context.clone()));
                }
            }
        }
    }
}

/// Why the token of an attempt was cancelled.
fn cause_of(running: &Running) -> Cause {
    match running.end_request() {
        EndRequest::Cancel => Cause::Cancel,
        // The verdict on an attempt without a lease is never reported.
        EndRequest::NotAsked | EndRequest::Lost => Cause::Stop,
    }
}

fn retry(job: &Job) -> Retry {
    Retry { attempt: job.status.attempt, backoff: job.spec.retry.backoff, chance: fastrand::f64() }
}
