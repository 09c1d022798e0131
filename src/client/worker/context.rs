//! One attempt in a worker, and the context that its handler sees.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::messages::{JobOffer, LineMessage, LogStream, ProgressMessage, json, note_text};
use super::time_text::rfc3339;

/// Lines that wait to be sent, per attempt. When there are more, the oldest are dropped, and a line says how many.
const MAX_LINES: usize = 1_000;
const MAX_LINES_BYTES: usize = 512 * 1_024;

/// Why a handler should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// The job is to be cancelled.
    Cancelled,
    /// The lease is lost: the job may be running elsewhere, and nothing is reported.
    Lost,
    /// The worker stops and has given the job back.
    Stopping,
}

/// The job, the attempt and the means to report while it runs. Cheap to clone.
#[derive(Clone)]
pub struct JobContext(Arc<LeasedAttempt>);

/// An attempt whose lease this worker has.
pub struct LeasedAttempt {
    pub lease: Box<str>,
    pub id: Box<str>,
    kind: Box<str>,
    queue: Box<str>,
    number: u32,
    max_attempts: u32,
    timeout: Option<Duration>,
    priority: i32,
    tags: Vec<String>,
    enqueued_at: Box<str>,
    cancel: CancellationToken,
    cause: OnceLock<CancelCause>,
    /// Set when the outcome no longer counts: it was reported, or the lease is lost.
    is_over: AtomicBool,
    notes: Mutex<WaitingNotes>,
    /// Tells the worker that there are notes to send.
    noted: UnboundedSender<Arc<LeasedAttempt>>,
}

#[derive(Default)]
struct WaitingNotes {
    /// JSON texts.
    lines: VecDeque<String>,
    bytes: usize,
    dropped: usize,
    /// JSON text.
    progress: Option<String>,
    /// Whether the worker knows that there are notes.
    is_announced: bool,
}

/// Notes of one attempt on their way to the server.
pub struct SentNotes {
    attempt: Arc<LeasedAttempt>,
    lines: Vec<String>,
    progress: Option<String>,
    /// The entry of an update.
    pub text: String,
}

impl LeasedAttempt {
    pub fn new(
        lease: &str,
        job: &JobOffer<'_>,
        noted: UnboundedSender<Arc<LeasedAttempt>>,
    ) -> Arc<LeasedAttempt> {
        Arc::new(LeasedAttempt {
            lease: lease.into(),
            id: job.id.as_ref().into(),
            kind: job.kind.as_ref().into(),
            queue: job.queue.as_ref().into(),
            number: job.attempt,
            max_attempts: job.max_attempts,
            timeout: job.timeout_ms.map(Duration::from_millis),
            priority: job.priority,
            tags: job.tags.clone(),
            enqueued_at: job.enqueued_at.as_ref().into(),
            cancel: CancellationToken::new(),
            cause: OnceLock::new(),
            is_over: AtomicBool::new(false),
            notes: Mutex::default(),
            noted,
        })
    }

    /// Tells the handler to stop. Only the first cause counts.
    pub fn stop(&self, cause: CancelCause) {
        // A second cause changes nothing.
        let _ = self.cause.set(cause);
        self.cancel.cancel();
    }

    /// Why the handler should stop.
    pub fn cause(&self) -> Option<CancelCause> {
        self.cause.get().copied()
    }

    /// From now on the outcome and notes of the handler no longer count.
    pub fn set_over(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn notes(&self) -> MutexGuard<'_, WaitingNotes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the notes that were not sent yet.
    pub fn take_notes(self: &Arc<Self>) -> Option<SentNotes> {
        let mut notes = self.notes();
        notes.is_announced = false;
        if notes.lines.is_empty() && notes.progress.is_none() {
            return None;
        }
        let mut lines: Vec<String> = notes.lines.drain(..).collect();
        notes.bytes = 0;
        let dropped = std::mem::take(&mut notes.dropped);
        if dropped > 0 {
            let text = format!("({dropped} lines were dropped: they could not be sent in time)");
            let line = LineMessage { text: &text, stream: LogStream::Log, at: None };
            lines.insert(0, json(&line));
        }
        let progress = notes.progress.take();
        drop(notes);
        let text = note_text(&self.lease, &lines, progress.as_deref());
        Some(SentNotes { attempt: Arc::clone(self), lines, progress, text })
    }

    fn add(self: &Arc<Self>, change: impl FnOnce(&mut WaitingNotes)) {
        if self.is_over() {
            return;
        }
        let mut notes = self.notes();
        change(&mut notes);
        if !std::mem::replace(&mut notes.is_announced, true) {
            // The worker has ended if it does not receive this.
            let _ = self.noted.send(Arc::clone(self));
        }
    }
}

impl WaitingNotes {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || (self.bytes > MAX_LINES_BYTES && self.lines.len() > 1)
        {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
            self.dropped += 1;
        }
    }
}

impl SentNotes {
    /// Puts the notes back, because their arrival is not certain. Those of an attempt whose lease is lost are dropped.
    pub fn put_back(self) {
        if self.attempt.cause() == Some(CancelCause::Lost) {
            return;
        }
        let mut notes = self.attempt.notes();
        let newer: Vec<String> = notes.lines.drain(..).collect();
        notes.bytes = 0;
        for line in self.lines.into_iter().chain(newer) {
            notes.push(line);
        }
        notes.progress = notes.progress.take().or(self.progress);
        notes.is_announced = true;
        drop(notes);
        // The worker has ended if it does not receive this.
        let _ = self.attempt.noted.send(Arc::clone(&self.attempt));
    }
}

impl JobContext {
    pub(super) fn new(attempt: Arc<LeasedAttempt>) -> JobContext {
        JobContext(attempt)
    }

    /// The job's id.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The job's kind.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The job's queue.
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.number
    }

    /// The maximum number of attempts of the job.
    pub fn max_attempts(&self) -> u32 {
        self.0.max_attempts
    }

    /// The job's own timeout. Without one, the server ends the attempt after its `engine.timeout`.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }

    /// The job's priority.
    pub fn priority(&self) -> i32 {
        self.0.priority
    }

    /// The job's tags.
    pub fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// When the job was submitted, a text of RFC 3339.
    pub fn enqueued_at(&self) -> &str {
        &self.0.enqueued_at
    }

    /// Resolves when the handler should stop: the job is cancelled, its lease is lost, or the worker stops. A handler
    /// of a cancelled job returns [`HandlerError::Cancelled`](super::HandlerError::Cancelled), or whatever it reached.
    pub async fn cancelled(&self) {
        self.0.cancel.cancelled().await;
    }

    /// The token behind [`JobContext::cancelled`], for code that takes a token.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.0.cancel
    }

    /// Why the handler should stop, if it should.
    pub fn cancel_cause(&self) -> Option<CancelCause> {
        self.0.cause()
    }

    /// Adds lines to the job's log without waiting; they are sent in the background.
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_on(LogStream::Log, text);
    }

    /// Adds lines that a process wrote to one of its streams.
    pub fn log_on(&self, stream: LogStream, text: impl AsRef<str>) {
        let at = rfc3339(SystemTime::now());
        self.0.add(|notes| {
            for text in text.as_ref().trim_end_matches('\n').split('\n') {
                let text = text.strip_suffix('\r').unwrap_or(text);
                notes.push(json(&LineMessage { text, stream, at: Some(at.clone()) }));
            }
        });
    }

    /// Reports how far the job is. Only the newest report is sent.
    pub fn progress(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        let progress = json(&ProgressMessage { done, total, message });
        self.0.add(|notes| notes.progress = Some(progress));
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever knows a lease can act on the attempt, so it is not shown.
        f.debug_struct("JobContext")
            .field("id", &self.0.id)
            .field("kind", &self.0.kind)
            .field("attempt", &self.0.number)
            .finish_non_exhaustive()
    }
}
