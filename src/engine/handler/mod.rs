//! What runs a job: a typed async function or anything that implements [`Handler`].

pub mod registry;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::attempts::notes::Notes;
pub use super::attempts::notes::Pending;
use crate::clock::Clock;
use crate::job::{Job, JobId, Json, Outcome, Progress, Stream, Unwritable};

/// Runs the jobs of one kind. Implemented by every
/// `async fn(Context, P) -> R` with a payload type `P` and a result [`IntoOutcome`].
pub trait Handler<P>: Send + Sync + 'static {
    /// Runs one attempt.
    fn run(&self, context: Context, payload: P) -> impl Future<Output = Outcome> + Send;
}

impl<F, Fut, P, R> Handler<P> for F
where
    F: Fn(Context, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    P: DeserializeOwned + Send + 'static,
    R: IntoOutcome,
{
    async fn run(&self, context: Context, payload: P) -> Outcome {
        self(context, payload).await.into_outcome()
    }
}

/// What a handler function may return.
pub trait IntoOutcome {
    /// The outcome it means.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// `Ok` is done with that value, `Err` is tried again after the job's backoff.
impl<T: Serialize, E: std::fmt::Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => done(&value),
            // `{:#}` shows the causes of an `anyhow::Error` too.
            Err(error) => Outcome::Retry { error: format!("{error:#}"), after: None },
        }
    }
}

/// The end of an attempt that went well, with this value. Of one that is nested too deep only the beginning
/// is kept.
pub fn done<T: Serialize + ?Sized>(value: &T) -> Outcome {
    match Json::of(value) {
        Ok(json) => Outcome::Done(json),
        Err(Unwritable::TooComplex(why, text)) => Outcome::Done(Json::left_out(why, &text)),
        Err(Unwritable::NoForm(error)) => {
            Outcome::Discard { error: format!("the result has no JSON form: {error}") }
        }
    }
}

/// What a handler knows of its attempt, and how it reports while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    job: Arc<Job>,
    cancel: CancellationToken,
    timeout: Duration,
    notes: Arc<Notes>,
}

impl Context {
    /// The context of one attempt; made by the executor, and by tests of handlers.
    pub fn new(
        job: Arc<Job>,
        timeout: Duration,
        cancel: CancellationToken,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Context { job, cancel, timeout, notes: Arc::new(Notes::new(clock)) }
    }

    /// The job as it was claimed.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u16 {
        self.job.status.attempt
    }

    /// How long this attempt may run in all.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Resolves when the attempt should end: cancelled, timed out, or the server stops.
    /// Return [`Outcome::Cancel`] then, or anything else that is true.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// The token behind [`Context::cancelled`], to hand on.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Adds a line to the job's log. Lines that come faster than they can be stored lose their oldest.
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_on(Stream::Log, text.as_ref());
    }

    /// Adds a line that a process wrote.
    pub fn log_on(&self, stream: Stream, text: &str) {
        self.notes.line(stream, text);
    }

    /// Tells how far the attempt is; only the newest report is kept.
    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        self.notes.progress(Progress { done, total, message: message.map(Into::into) });
    }

    /// What the handler reported since the last call; for the executor.
    pub fn take_notes(&self) -> Pending {
        self.notes.take()
    }

    /// Resolves when there is something to take, once for each taking; for the executor.
    pub async fn notes_changed(&self) {
        self.notes.changed().await;
    }

    /// Takes back what could not be stored.
    pub(super) fn put_back_notes(&self, pending: Pending) {
        self.notes.put_back(pending);
    }
}
