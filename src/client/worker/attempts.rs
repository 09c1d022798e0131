//! The attempts that a worker runs: starts handlers, turns how they end into settles, and tells them to stop.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::leased_attempt::LeasedAttempt;
use super::messages::{LeaseAnswer, LeaseOffer, SettleOutcome};
use super::outbox::{CreditMode, Outbox};
use super::settled::{HandlerReturn, settle_outcome};
use crate::client::handler::{CancelCause, Context, HandlerFuture, RunHandler, Surroundings};

/// A handler whose first step takes longer than this gets a task of its own for its next jobs, so that it does not hold
/// up the connection and other jobs.
const SLOW_STEP: Duration = Duration::from_micros(200);
/// How many jobs get a task of their own after a slow first step.
const SLOW_JOBS: u32 = 256;

/// Whether further jobs are started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    /// The worker stops: jobs that still arrive are given back.
    Closed,
}

struct RegisteredHandler {
    run: Arc<dyn RunHandler>,
    /// How many of the next jobs get a task of their own at once.
    slow_jobs: u32,
}

struct EndedAttempt {
    attempt: Arc<LeasedAttempt>,
    returned: HandlerReturn,
}

/// The attempts of one worker.
pub struct Attempts {
    handlers: HashMap<Box<str>, RegisteredHandler>,
    /// What the contexts of all handlers show.
    surroundings: Arc<Surroundings>,
    concurrency: usize,
    intake: Intake,
    /// Attempts with a task whose lease the worker has, by lease.
    held: HashMap<Box<str>, Arc<LeasedAttempt>>,
    /// The number of tasks, with those whose outcome no longer counts.
    busy: usize,
    tasks: JoinSet<()>,
    ended: UnboundedReceiver<EndedAttempt>,
    ended_sender: UnboundedSender<EndedAttempt>,
    noted: UnboundedReceiver<Arc<LeasedAttempt>>,
    noted_sender: UnboundedSender<Arc<LeasedAttempt>>,
    /// What the server has to be told.
    pub outbox: Outbox,
    /// The number of jobs that were given back.
    returned: usize,
}

impl Attempts {
    /// Creates the attempts of a worker with these handlers.
    pub fn new(
        handlers: Vec<(String, Arc<dyn RunHandler>)>,
        surroundings: Arc<Surroundings>,
        concurrency: usize,
        credit: CreditMode,
    ) -> Attempts {
        let registered =
            |(kind, run): (String, _)| (kind.into(), RegisteredHandler { run, slow_jobs: 0 });
        let (ended_sender, ended) = unbounded_channel();
        let (noted_sender, noted) = unbounded_channel();
        Attempts {
            handlers: handlers.into_iter().map(registered).collect(),
            surroundings,
            concurrency,
            intake: Intake::Open,
            held: HashMap::new(),
            busy: 0,
            tasks: JoinSet::new(),
            ended,
            ended_sender,
            noted,
            noted_sender,
            outbox: Outbox::new(credit),
            returned: 0,
        }
    }

    /// The number of handlers that are running.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// The number of further jobs that the worker can take.
    pub fn free(&self) -> usize {
        match self.intake {
            Intake::Open => self.concurrency.saturating_sub(self.busy),
            Intake::Closed => 0,
        }
    }

    /// The number of jobs that were given back.
    pub fn returned(&self) -> usize {
        self.returned
    }

    /// The leases of running attempts.
    pub fn leases(&self) -> Vec<Box<str>> {
        self.held.keys().cloned().collect()
    }

    /// Starts the handlers of jobs that have arrived.
    pub fn start(&mut self, offers: &[LeaseOffer<'_>]) {
        for offer in offers {
            // A repeated message must not run a job twice.
            if !self.held.contains_key(&*offer.lease) {
                self.start_one(offer);
            }
        }
    }

    fn start_one(&mut self, LeaseOffer { lease, job }: &LeaseOffer<'_>) {
        if self.intake == Intake::Closed {
            self.returned += 1;
            return self.outbox.settle_lease(lease, &job.id, &SettleOutcome::Returned);
        }
        let Some(handler) = self.handlers.get_mut(&*job.kind) else {
            let error = format!("this worker has no handler for the kind {}", job.kind);
            self.outbox.settle_lease(lease, &job.id, &SettleOutcome::Retry { error, after: None });
            return self.outbox.add_free_slot();
        };
        let attempt = LeasedAttempt::new(lease, job, self.noted_sender.clone());
        let context = Context::new(attempt.clone(), self.surroundings.clone());
        match first_step(handler, context, job.payload) {
            FirstStep::Ended(returned) => {
                self.collect_notes();
                self.outbox.settle(&attempt, &outcome(&attempt, returned));
                attempt.set_over();
                self.outbox.add_free_slot();
            }
            FirstStep::Running(run) => self.spawn(attempt, run),
        }
    }

    fn spawn(&mut self, attempt: Arc<LeasedAttempt>, run: HandlerFuture) {
        self.busy += 1;
        self.held.insert(attempt.lease.clone(), Arc::clone(&attempt));
        let ended = self.ended_sender.clone();
        self.tasks.spawn(async move {
            let returned = match AssertUnwindSafe(run).catch_unwind().await {
                Ok(returned) => HandlerReturn::Returned(returned),
                Err(panic) => HandlerReturn::Panicked(panic),
            };
            // The worker has ended if it does not receive this.
            let _ = ended.send(EndedAttempt { attempt, returned });
        });
    }

    /// Waits until a handler has ended or has something to note, and takes it. If the future is dropped before it is
    /// ready, nothing is lost.
    pub async fn changed(&mut self) {
        tokio::select! {
            // Both channels stay open, because this object has senders of them.
            Some(ended) = self.ended.recv() => self.end(ended),
            Some(attempt) = self.noted.recv() => self.outbox.note(attempt),
        }
    }

    /// Takes everything that has happened, without waiting.
    pub fn collect(&mut self) {
        self.collect_notes();
        while let Ok(ended) = self.ended.try_recv() {
            // Its last lines came before its end.
            self.collect_notes();
            self.end(ended);
        }
    }

    fn collect_notes(&mut self) {
        while let Ok(attempt) = self.noted.try_recv() {
            self.outbox.note(attempt);
        }
    }

    fn end(&mut self, EndedAttempt { attempt, returned }: EndedAttempt) {
        self.collect_notes();
        self.busy -= 1;
        while self.tasks.try_join_next().is_some() {}
        self.outbox.add_free_slot();
        if attempt.is_over() {
            return;
        }
        self.held.remove(&attempt.lease);
        self.outbox.settle(&attempt, &outcome(&attempt, returned));
        attempt.set_over();
    }

    /// Tells the handler of a job that the job is to be cancelled.
    pub fn cancel(&self, lease: &str) {
        if let Some(attempt) = self.held.get(lease) {
            attempt.stop(CancelCause::Cancelled);
        }
    }

    /// Tells a handler that the worker no longer has its lease. Its outcome is not reported.
    pub fn lose(&mut self, lease: &str) {
        if let Some(attempt) = self.held.remove(lease) {
            tracing::warn!(job.id = %attempt.id, "the lease of the job is lost");
            attempt.set_over();
            attempt.stop(CancelCause::Lost);
        }
    }

    /// Reads the server's answers about leases.
    pub fn obey(&mut self, answers: &[LeaseAnswer<'_>]) {
        for answer in answers {
            match &*answer.status {
                "cancel" => self.cancel(&answer.lease),
                "lost" => self.lose(&answer.lease),
                _ => {} // kept
            }
        }
    }

    /// From now on jobs that arrive are given back.
    pub fn close_intake(&mut self) {
        self.intake = Intake::Closed;
        self.outbox.withhold_credit();
    }

    /// Gives back every job that is still running, and tells its handler.
    pub fn give_back(&mut self) {
        self.collect();
        for attempt in std::mem::take(&mut self.held).into_values() {
            self.returned += 1;
            self.outbox.settle(&attempt, &SettleOutcome::Returned);
            attempt.set_over();
            attempt.stop(CancelCause::Stopping);
        }
    }
}

enum FirstStep {
    Ended(HandlerReturn),
    Running(HandlerFuture),
}

/// Runs a handler up to its first wait. One that ends without waiting needs no task.
fn first_step(handler: &mut RegisteredHandler, context: Context, payload: &RawValue) -> FirstStep {
    let begin = Instant::now();
    let started = catch_unwind(AssertUnwindSafe(|| {
        let mut run = handler.run.start(context, payload.get());
        if handler.slow_jobs > 0 {
            return FirstStep::Running(run);
        }
        // A future that is not ready is polled again by its task, which is then the one that is woken.
        match run.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => FirstStep::Ended(HandlerReturn::Returned(result)),
            Poll::Pending => FirstStep::Running(run),
        }
    }));
    handler.slow_jobs =
        if begin.elapsed() > SLOW_STEP { SLOW_JOBS } else { handler.slow_jobs.saturating_sub(1) };
    started.unwrap_or_else(|panic| FirstStep::Ended(HandlerReturn::Panicked(panic)))
}

/// A handler that fails after it was asked to cancel counts as cancelled.
fn outcome(attempt: &LeasedAttempt, returned: HandlerReturn) -> SettleOutcome {
    let end = settle_outcome(returned);
    let is_cancelled = attempt.cause() == Some(CancelCause::Cancelled);
    match end {
        SettleOutcome::Retry { .. } | SettleOutcome::Snooze(_) | SettleOutcome::Discard(_)
            if is_cancelled =>
        {
            SettleOutcome::Cancelled
        }
        SettleOutcome::Done(_)
        | SettleOutcome::Retry { .. }
        | SettleOutcome::Snooze(_)
        | SettleOutcome::Discard(_)
        | SettleOutcome::Cancelled
        | SettleOutcome::Returned => end,
    }
}
