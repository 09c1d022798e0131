//! What a handler sees of its job and attempt.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::state::Surroundings;
use crate::client::Client;
use crate::client::kind::JobKind;
use crate::client::submit::{AttemptSender, JobDraft};

/// Why a handler should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelCause {
    /// The job is to be cancelled.
    Cancelled,
    /// The attempt exceeds its timeout.
    TimedOut,
    /// The lease is lost: the job may be running elsewhere, and nothing is reported.
    Lost,
    /// The server or the worker stops. The job is given back, and runs again later.
    Stopping,
}

/// Where a line of a job's log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// The handler.
    #[default]
    Log,
    /// The standard output of a process.
    Stdout,
    /// The standard error of a process.
    Stderr,
}

/// The job, the attempt and the means to report while it runs, in the process of the server and in workers. Cheap to
/// clone.
#[derive(Clone)]
pub struct Context {
    attempt: Arc<dyn ContextAttempt>,
    surroundings: Arc<Surroundings>,
}

/// The attempt behind a context: one of the server's process, or one of a worker.
pub trait ContextAttempt: Send + Sync {
    /// The job's id.
    fn id(&self) -> &str;
    /// The job's kind.
    fn kind(&self) -> &str;
    /// The job's queue.
    fn queue(&self) -> &str;
    /// The number of the attempt, from 1.
    fn attempt(&self) -> u32;
    /// The maximum number of attempts of the job.
    fn max_attempts(&self) -> u32;
    /// The timeout of the attempt, if it is known.
    fn timeout(&self) -> Option<Duration>;
    /// The job's priority.
    fn priority(&self) -> i32;
    /// The job's tag at this index.
    fn tag(&self, index: usize) -> Option<&str>;
    /// When the job was submitted, a text of RFC 3339.
    fn enqueued_at(&self) -> &str;
    /// Is cancelled when the handler should stop.
    fn cancellation(&self) -> &CancellationToken;
    /// Why the handler should stop, if it should.
    fn cancel_cause(&self) -> Option<CancelCause>;
    /// Adds one line to the log.
    fn log_line(self: Arc<Self>, stream: LogStream, line: &str);
    /// Whether another line of any length has room.
    fn has_log_room(&self) -> bool;
    /// Resolves when [`ContextAttempt::has_log_room`].
    fn log_room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Reports progress.
    fn report_progress(self: Arc<Self>, done: u64, total: Option<u64>, message: Option<&str>);
}

impl Context {
    /// The context of an attempt.
    pub(crate) fn new(
        attempt: Arc<dyn ContextAttempt>,
        surroundings: Arc<Surroundings>,
    ) -> Context {
        Context { attempt, surroundings }
    }

    /// The job's id.
    pub fn id(&self) -> &str {
        self.attempt.id()
    }

    /// The job's kind.
    pub fn kind(&self) -> &str {
        self.attempt.kind()
    }

    /// The job's queue.
    pub fn queue(&self) -> &str {
        self.attempt.queue()
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.attempt()
    }

    /// The maximum number of attempts of the job.
    pub fn max_attempts(&self) -> u32 {
        self.attempt.max_attempts()
    }

    /// The timeout of this attempt. In a worker it is the job's own, and without one the server ends the attempt after
    /// its `engine.timeout`.
    pub fn timeout(&self) -> Option<Duration> {
        self.attempt.timeout()
    }

    /// The job's priority.
    pub fn priority(&self) -> i32 {
        self.attempt.priority()
    }

    /// The job's tags.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        (0..).map_while(|index| self.attempt.tag(index))
    }

    /// When the job was submitted, a text of RFC 3339.
    pub fn enqueued_at(&self) -> &str {
        self.attempt.enqueued_at()
    }

    /// Resolves when the handler should stop: its job is cancelled, the attempt exceeds its timeout, its lease is lost, or
    /// the server or worker stops. The handler of a cancelled job returns [`Cancelled`](super::Cancelled), or whatever it
    /// has reached.
    pub async fn cancelled(&self) {
        self.attempt.cancellation().cancelled().await;
    }

    /// The token behind [`Context::cancelled`], for code that takes a token.
    pub fn cancellation(&self) -> &CancellationToken {
        self.attempt.cancellation()
    }

    /// Why the handler should stop, if it should.
    pub fn cancel_cause(&self) -> Option<CancelCause> {
        self.attempt.cancel_cause()
    }

    /// Adds lines to the job's log without waiting; they are stored in the background. If lines come faster than they can
    /// be stored, some are dropped, and a line says how many; see [`Context::log_room`].
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_on(LogStream::Log, text);
    }

    /// Adds lines that a process wrote to one of its streams.
    pub fn log_on(&self, stream: LogStream, text: impl AsRef<str>) {
        for line in text.as_ref().trim_end_matches('\n').split('\n') {
            Arc::clone(&self.attempt).log_line(stream, line.strip_suffix('\r').unwrap_or(line));
        }
    }

    /// Resolves when the log has room for another line, so that a handler that logs thousands of lines at once loses
    /// none of them. It also resolves when the handler should stop.
    pub async fn log_room(&self) {
        if self.attempt.has_log_room() {
            return;
        }
        tokio::select! {
            biased;
            () = self.attempt.log_room() => {}
            () = self.cancelled() => {}
        }
    }

    /// Reports how far the job is. Only the newest report is kept.
    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        Arc::clone(&self.attempt).report_progress(done, total, message);
    }

    /// The value of this type that the builder or the worker was given with `.state(…)`. The arguments [`State`](super::State)
    /// of handler functions are better: a missing one is reported when the server or worker starts.
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.surroundings.states.get()
    }

    /// Prepares a job that the server of this job is to run, with the kind, the options and the unique key of its payload.
    /// Awaiting the draft enqueues it. [`JobDraft::once`] enqueues it once, however often this job is attempted.
    pub fn enqueue<J: JobKind>(&self, job: &J) -> JobDraft<AttemptSender<'_>> {
        JobDraft::of_kind(job, self.sender())
    }

    /// Prepares a job of a kind that has no type in this program, with any payload, which is written as JSON.
    pub fn enqueue_kind(
        &self,
        kind: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> JobDraft<AttemptSender<'_>> {
        JobDraft::by(kind.into(), payload, self.sender())
    }

    fn sender(&self) -> AttemptSender<'_> {
        AttemptSender { api: &self.client().api, job: self.id() }
    }

    /// A client of the server that the job is from.
    pub fn client(&self) -> &Client {
        &self.surroundings.client
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
