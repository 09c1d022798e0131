//! One attempt in a worker, which is behind the context that its handler sees.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::messages::{JobOffer, LineMessage, ProgressMessage, json, note_text};
use crate::client::api_time::rfc3339;
use crate::client::handler::{CancelCause, ContextAttempt, LogStream};

/// Lines that wait to be sent, per attempt. When there are more, the oldest are dropped, and a line says how many.
const MAX_LINES: usize = 1_000;
const MAX_LINES_BYTES: usize = 512 * 1_024;

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
    /// Wakes handlers that wait for room when notes are taken.
    taken: Notify,
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
            taken: Notify::new(),
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
        self.taken.notify_waiters();
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
        self.taken.notify_waiters();
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
    /// Whether no line is dropped if a few are added. Half of the room is left to handlers that do not wait for it.
    fn has_room(&self) -> bool {
        self.lines.len() < MAX_LINES / 2 && self.bytes < MAX_LINES_BYTES / 2
    }

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

impl ContextAttempt for LeasedAttempt {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn queue(&self) -> &str {
        &self.queue
    }

    fn attempt(&self) -> u32 {
        self.number
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn tag(&self, index: usize) -> Option<&str> {
        self.tags.get(index).map(String::as_str)
    }

    fn enqueued_at(&self) -> &str {
        &self.enqueued_at
    }

    fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    fn cancel_cause(&self) -> Option<CancelCause> {
        self.cause()
    }

    fn log_line(self: Arc<Self>, stream: LogStream, line: &str) {
        let at = Some(rfc3339(SystemTime::now()));
        let line = json(&LineMessage { text: line, stream, at });
        self.add(|notes| notes.push(line));
    }

    fn has_log_room(&self) -> bool {
        self.is_over() || self.notes().has_room()
    }

    fn log_room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            loop {
                let taken = self.taken.notified(); // before the look, so that no wake-up is missed
                if self.has_log_room() {
                    return;
                }
                taken.await;
            }
        })
    }

    fn report_progress(self: Arc<Self>, done: u64, total: Option<u64>, message: Option<&str>) {
        let progress = json(&ProgressMessage { done, total, message });
        self.add(|notes| notes.progress = Some(progress));
    }
}
