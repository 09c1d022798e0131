//! Log lines that are not written yet. The queue is bounded in bytes, any thread appends to it, and one thread empties
//! it. The lock is held to copy a line or to swap buffers, never during a write.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::safe_lines::{LineStyle, safe};
use crate::supervise::PartFailures;

/// How often the writer tries to report dropped lines while it has nothing else to write.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A buffer that grew larger than this is freed when it is empty.
const MAX_IDLE_BUFFER: usize = 256 * 1_024;

/// Queued lines, and counters of dropped ones.
pub struct LineQueue {
    capacity: usize,
    state: Mutex<QueueState>,
    /// Wakes the writer.
    filled: Condvar,
    /// Wakes those who wait until all lines are written.
    ended: Condvar,
    dropped: AtomicU64,
    failures: PartFailures,
}

#[derive(Default)]
struct QueueState {
    waiting: Lines,
    /// The bytes and lines that are being written.
    taken: (usize, u64),
    /// Lines that were dropped for lack of room and not reported yet.
    overflowed: u64,
    /// Lines that could not be written and were not reported yet.
    unwritten: u64,
    closing: bool,
    ended: bool,
}

/// Consecutive lines, and where each of them ends.
#[derive(Default)]
pub(super) struct Lines {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
}

/// What the writer has to write next.
pub(super) struct LogBatch {
    /// The number of earlier lines that could not be written.
    pub unwritten: u64,
    pub lines: Lines,
    /// The number of later lines for which there was no room.
    pub overflowed: u64,
}

impl LineQueue {
    /// An empty queue of at most `capacity` bytes.
    pub(super) fn new(capacity: usize) -> LineQueue {
        LineQueue {
            capacity,
            state: Mutex::default(),
            filled: Condvar::new(),
            ended: Condvar::new(),
            dropped: AtomicU64::new(0),
            failures: PartFailures::default(),
        }
    }

    /// Appends a line, or drops and counts it when there is no room. Never blocks and never fails.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.state();
        let bytes = state.waiting.bytes.len() + state.taken.0 + line.len();
        if bytes > self.capacity || state.ended {
            state.overflowed += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let waiting = &mut state.waiting;
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        waiting.ends.push(waiting.bytes.len());
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// The number of dropped lines so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Records the failure of the writer.
    pub fn failures(&self) -> &PartFailures {
        &self.failures
    }

    /// Waits until all lines are written, for at most `within`, and then accepts no more lines.
    pub fn finish(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut state = self.state();
        state.closing = true;
        self.filled.notify_one();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.ended.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the next batch; `None` at the end. An empty batch lets the writer try to report dropped
    /// lines.
    pub(super) fn next(&self, empty: Lines) -> Option<LogBatch> {
        let mut state = self.state();
        state.taken = (0, 0);
        loop {
            let must_report = state.overflowed + state.unwritten > 0;
            if !state.waiting.bytes.is_empty() || (state.closing && must_report) {
                break;
            }
            if state.closing {
                return None;
            }
            if !must_report {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let woken = self.filled.wait_timeout(state, REPORT_INTERVAL);
            let (again, timed_out) = woken.unwrap_or_else(PoisonError::into_inner);
            state = again;
            if timed_out.timed_out() {
                break;
            }
        }
        let lines = std::mem::replace(&mut state.waiting, empty);
        state.taken = (lines.bytes.len(), lines.ends.len() as u64);
        let overflowed = std::mem::take(&mut state.overflowed);
        let unwritten = std::mem::take(&mut state.unwritten);
        Some(LogBatch { unwritten, lines, overflowed })
    }

    /// Counts lines of a batch that could not be written.
    pub(super) fn count_unwritten(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.state().unwritten += lines;
    }

    /// Counts lines that were dropped and whose report could not be written. At the end the report is not retried.
    pub(super) fn count_unreported(&self, lines: u64) {
        let mut state = self.state();
        if !state.closing {
            state.unwritten += lines;
        }
    }

    /// Counts the lines that a failed writer was writing.
    pub(super) fn count_taken_as_unwritten(&self) {
        let lines = std::mem::take(&mut self.state().taken).1;
        if lines > 0 {
            self.count_unwritten(lines);
        }
    }

    /// Accepts no more lines.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.ended.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Empties the buffer, and frees memory that many lines took.
    pub fn clear(mut self) -> Lines {
        if self.bytes.capacity() > MAX_IDLE_BUFFER {
            return Lines::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self
    }
}

thread_local! {
    /// Collects the lines of this thread instead of the queue, while the writer formats a line of its own.
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Runs a function and returns the lines that this thread logs meanwhile, instead of queueing them.
pub(super) fn capture_lines(log: impl FnOnce()) -> Vec<u8> {
    CAPTURED.with(|captured| *captured.borrow_mut() = Some(Vec::new()));
    log();
    CAPTURED.with(|captured| captured.borrow_mut().take()).unwrap_or_default()
}

/// A line that is being formatted.
pub struct LineWriter {
    queue: Arc<LineQueue>,
    style: LineStyle,
}

impl LineWriter {
    /// Makes writers that append to this queue.
    pub fn of(queue: Arc<LineQueue>, style: LineStyle) -> LineWriter {
        LineWriter { queue, style }
    }
}

impl io::Write for LineWriter {
    /// Takes a whole line, because the subscriber writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let safe = safe(line, self.style);
        let is_captured = CAPTURED.with(|captured| {
            let mut captured = captured.borrow_mut();
            captured.as_mut().map(|captured| captured.extend_from_slice(&safe)).is_some()
        });
        if !is_captured {
            self.queue.push(&safe);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
