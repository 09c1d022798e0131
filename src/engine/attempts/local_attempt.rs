//! An attempt of this process: what its handler and the executor share.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::leases::{EndRequest, Running};
use super::notes::Notes;
use crate::client::{CancelCause, ContextAttempt, LogStream};
use crate::clock::Clock;
use crate::job::{Job, Progress, Stream};

/// An attempt of this process.
pub struct LocalAttempt {
    /// The job as it was when it was claimed.
    pub job: Arc<Job>,
    /// Is cancelled when the handler should end.
    pub cancel: CancellationToken,
    pub timeout: Duration,
    pub notes: Notes,
    /// Knows why the handler should end; `None` in tests of handlers.
    running: Option<Arc<Running>>,
    has_timed_out: AtomicBool,
    /// Texts that only some handlers ask for.
    texts: OnceLock<AttemptTexts>,
}

struct AttemptTexts {
    id: Box<str>,
    enqueued_at: Box<str>,
}

impl LocalAttempt {
    /// An attempt with a lease.
    pub fn new(running: Arc<Running>, timeout: Duration, clock: Arc<dyn Clock>) -> LocalAttempt {
        let (job, cancel) = (running.job.clone(), running.end.clone());
        LocalAttempt { running: Some(running), ..Self::without_lease(job, timeout, cancel, clock) }
    }

    /// An attempt for tests of handlers.
    pub fn without_lease(
        job: Arc<Job>,
        timeout: Duration,
        cancel: CancellationToken,
        clock: Arc<dyn Clock>,
    ) -> LocalAttempt {
        LocalAttempt {
            job,
            cancel,
            timeout,
            notes: Notes::new(clock),
            running: None,
            has_timed_out: AtomicBool::new(false),
            texts: OnceLock::new(),
        }
    }

    /// Notes that the handler is asked to end because the attempt exceeds its timeout.
    pub fn set_timed_out(&self) {
        self.has_timed_out.store(true, Ordering::Release);
    }

    fn texts(&self) -> &AttemptTexts {
        self.texts.get_or_init(|| AttemptTexts {
            id: self.job.id.to_string().into(),
            enqueued_at: self.job.enqueued_at.to_string().into(),
        })
    }
}

impl ContextAttempt for LocalAttempt {
    fn id(&self) -> &str {
        &self.texts().id
    }

    fn kind(&self) -> &str {
        self.job.labels.kind.as_str()
    }

    fn queue(&self) -> &str {
        self.job.labels.queue.as_str()
    }

    fn attempt(&self) -> u32 {
        self.job.status.attempt.into()
    }

    fn max_attempts(&self) -> u32 {
        self.job.status.max_attempts.into()
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }

    fn priority(&self) -> i32 {
        self.job.spec.priority.into()
    }

    fn tag(&self, index: usize) -> Option<&str> {
        self.job.labels.tags.get(index).map(|tag| tag.as_str())
    }

    fn enqueued_at(&self) -> &str {
        &self.texts().enqueued_at
    }

    fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    fn cancel_cause(&self) -> Option<CancelCause> {
        if !self.cancel.is_cancelled() {
            return None;
        }
        let asked = self.running.as_ref().map_or(EndRequest::NotAsked, |it| it.end_request());
        Some(match asked {
            EndRequest::Cancel => CancelCause::Cancelled,
            EndRequest::Lost => CancelCause::Lost,
            EndRequest::NotAsked if self.has_timed_out.load(Ordering::Acquire) => {
                CancelCause::TimedOut
            }
            EndRequest::NotAsked => CancelCause::Stopping,
        })
    }

    fn log_line(self: Arc<Self>, stream: LogStream, line: &str) {
        let stream = match stream {
            LogStream::Log => Stream::Log,
            LogStream::Stdout => Stream::Stdout,
            LogStream::Stderr => Stream::Stderr,
        };
        self.notes.line(stream, line);
    }

    fn has_log_room(&self) -> bool {
        !self.notes.is_full()
    }

    fn log_room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.notes.room())
    }

    fn report_progress(self: Arc<Self>, done: u64, total: Option<u64>, message: Option<&str>) {
        self.notes.progress(Progress { done, total, message: message.map(Into::into) });
    }
}
