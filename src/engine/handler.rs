//! What runs a job: a typed async function or anything that implements [`Handler`].

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::job::{Job, JobId, Json, LogLine, Outcome, Progress, Stream};
use crate::store::Clock;

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
            Ok(value) => match Json::of(&value) {
                Ok(json) => Outcome::Done(json),
                Err(error) => {
                    Outcome::Discard { error: format!("the result has no JSON form: {error}") }
                }
            },
            // `{:#}` shows the causes of an `anyhow::Error` too.
            Err(error) => Outcome::Retry { error: format!("{error:#}"), after: None },
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
        let notes = Arc::new(Notes { pending: Mutex::default(), changed: Notify::new(), clock });
        Context { job, cancel, timeout, notes }
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

    /// Adds a line to the job's log.
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_on(Stream::Log, text.as_ref());
    }

    /// Adds a line that a process wrote.
    pub fn log_on(&self, stream: Stream, text: &str) {
        let line = LogLine { at: self.notes.clock.now(), stream, text: text.into() };
        self.notes.add(|pending| pending.lines.push(line));
    }

    /// Tells how far the attempt is; only the newest report is kept.
    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        let progress = Progress { done, total, message: message.map(Into::into) };
        self.notes.add(|pending| pending.progress = Some(progress));
    }

    /// What the handler reported since the last call; for the executor.
    pub fn take_notes(&self) -> Pending {
        std::mem::take(&mut *self.notes.lock())
    }

    /// Resolves when there is something to take; for the executor.
    pub async fn notes_changed(&self) {
        self.notes.changed.notified().await;
    }
}

/// Reports on their way to the store.
#[derive(Debug, Default, Clone)]
pub struct Pending {
    /// New lines.
    pub lines: Vec<LogLine>,
    /// The newest progress.
    pub progress: Option<Progress>,
}

impl Pending {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.progress.is_none()
    }
}

struct Notes {
    pending: Mutex<Pending>,
    /// Wakes the executor, which stores what is pending a moment later, many lines at once.
    changed: Notify,
    clock: Arc<dyn Clock>,
}

impl Notes {
    fn add(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
