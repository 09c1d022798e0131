//! Handlers within the server, which run the built-in kinds: typed async functions, and anything else that implements
//! [`KindHandler`]. Those of other programs are in `src/client/handler`.

pub mod registry;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::attempts::local_attempt::LocalAttempt;
pub use super::attempts::notes::Pending;
use super::workers::callbacks::{CallbackPlace, OpenCallback};
use crate::clock::Clock;
use crate::job::schema::Violation;
use crate::job::{Job, JobId, Json, Outcome, Progress, Stream, Unwritable};
use crate::store::LeaseRef;

/// Runs the jobs of one kind. Implemented by every
/// `async fn(AttemptContext, P) -> R` with a payload type `P` and a result [`IntoOutcome`].
pub trait KindHandler<P>: Send + Sync + 'static {
    /// Runs one attempt.
    fn run(&self, context: AttemptContext, payload: P) -> impl Future<Output = Outcome> + Send;

    /// Checks what a schema cannot say about a payload, when it is submitted: the reasons why no attempt with it could
    /// ever succeed, each with the path of the property. It is called for payloads that match the schema of the kind.
    fn check(&self, _payload: &Json) -> Vec<Violation> {
        Vec::new()
    }
}

impl<F, Fut, P, R> KindHandler<P> for F
where
    F: Fn(AttemptContext, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    P: DeserializeOwned + Send + 'static,
    R: IntoOutcome,
{
    async fn run(&self, context: AttemptContext, payload: P) -> Outcome {
        self(context, payload).await.into_outcome()
    }
}

/// A type that a handler function can return.
pub trait IntoOutcome {
    /// Converts the value into an outcome.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// `Ok` completes the job with the value; `Err` is retried after the job's backoff.
impl<T: Serialize, E: std::fmt::Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => done(&value),
            // `{:#}` shows the causes of an `anyhow::Error` too.
            Err(error) => Outcome::Retry { error: format!("{error:#}"), after: None },
        }
    }
}

/// The outcome of a successful attempt with this result. A result that is nested too deeply is replaced by its
/// beginning.
pub fn done<T: Serialize + ?Sized>(value: &T) -> Outcome {
    match Json::of(value) {
        Ok(json) => Outcome::Done(json),
        Err(Unwritable::TooComplex(why, text)) => Outcome::Done(Json::left_out(why, &text)),
        Err(Unwritable::NoForm(error)) => {
            Outcome::Discard { error: format!("the result cannot be written as JSON: {error}") }
        }
    }
}

/// What handlers within the server see: the job, the attempt and the means to report while it runs. Cheap to clone.
/// Handlers of other programs see the [`Context`](crate::client::Context).
#[derive(Clone)]
pub struct AttemptContext {
    attempt: Arc<LocalAttempt>,
    /// Where a callback reports about the attempt; `None` in tests of handlers.
    callback: Option<Arc<CallbackPlace>>,
}

impl AttemptContext {
    /// The context of one attempt, for tests of handlers.
    pub fn new(
        job: Arc<Job>,
        timeout: Duration,
        cancel: CancellationToken,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let attempt = LocalAttempt::without_lease(job, timeout, cancel, clock);
        AttemptContext { attempt: Arc::new(attempt), callback: None }
    }

    /// The context of an attempt with a lease, about which a callback may report; for the executor.
    pub(super) fn of_attempt(attempt: LocalAttempt, place: Arc<CallbackPlace>) -> Self {
        AttemptContext { attempt: Arc::new(attempt), callback: Some(place) }
    }

    /// The attempt, which is behind the context that handlers of other programs see.
    pub(super) fn attempt_view(&self) -> Arc<LocalAttempt> {
        self.attempt.clone()
    }

    /// Notes that the handler is asked to end because the attempt exceeds its timeout; for the executor.
    pub(super) fn set_timed_out(&self) {
        self.attempt.set_timed_out();
    }

    /// Accepts the reports of a service that runs the job elsewhere and calls back. `None` when the attempt has no lease.
    pub fn open_callback(&self) -> Option<OpenCallback> {
        let place = self.callback.clone()?;
        // The token of a lease is the number of the event that started the attempt, which changed the job last.
        let lease = LeaseRef { job: self.job().id, token: self.job().seq };
        Some(OpenCallback::open(place, lease, self.attempt.clone()))
    }

    /// The job as it was when it was claimed.
    pub fn job(&self) -> &Job {
        &self.attempt.job
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.job().id
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u16 {
        self.job().status.attempt
    }

    /// The timeout of this attempt.
    pub fn timeout(&self) -> Duration {
        self.attempt.timeout
    }

    /// Resolves when the attempt should end because it was cancelled, has timed out, or the server stops.
    /// The handler should then return [`Outcome::Cancel`], or whatever outcome it reached.
    pub async fn cancelled(&self) {
        self.attempt.cancel.cancelled().await;
    }

    /// The token behind [`AttemptContext::cancelled`], for code that takes a token.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.attempt.cancel
    }

    /// Adds a line to the job's log without waiting. If lines come faster than they can be stored, the first and the
    /// last of them are kept, and a line says how many were dropped; see [`AttemptContext::log_room`].
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_on(Stream::Log, text.as_ref());
    }

    /// Adds a line that a process wrote to one of its streams.
    pub fn log_on(&self, stream: Stream, text: &str) {
        self.attempt.notes.line(stream, text);
    }

    /// Resolves when the log has room for another line, so that a handler that logs thousands of lines at once loses
    /// none of them. It also resolves when the attempt should end.
    pub async fn log_room(&self) {
        tokio::select! {
            biased;
            () = self.attempt.notes.room() => {}
            () = self.attempt.cancel.cancelled() => {}
        }
    }

    /// Whether the notes should be stored at once, because a line may soon be dropped or a writer waits for room.
    pub(super) fn is_log_full(&self) -> bool {
        self.attempt.notes.is_full()
    }

    /// Reports progress; only the newest report is kept.
    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        self.attempt.notes.progress(Progress { done, total, message: message.map(Into::into) });
    }

    /// Takes the notes since the last call; for the executor.
    pub fn take_notes(&self) -> Pending {
        self.attempt.notes.take()
    }

    /// Resolves when there are notes to take; for the executor.
    pub async fn notes_changed(&self) {
        self.attempt.notes.changed().await;
    }

    /// Puts back notes that could not be stored.
    pub(super) fn put_back_notes(&self, pending: Pending) {
        self.attempt.notes.put_back(pending);
    }
}
