//! What was logged and is not written yet: bounded in bytes, filled by whoever logs, emptied by one thread.
//! The lock is held to copy a line or to swap buffers, never while something is written.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::supervise::Failures;

/// How often it is tried to write that lines were dropped, while nothing else is to be written.
const RETRY: Duration = Duration::from_secs(1);
/// A buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 256 * 1_024;

/// Lines on their way, and those that were dropped.
pub struct Queue {
    capacity: usize,
    state: Mutex<State>,
    /// Wakes the thread that writes.
    filled: Condvar,
    /// Wakes whoever waits for the end.
    ended: Condvar,
    dropped: AtomicU64,
    failures: Failures,
}

#[derive(Default)]
struct State {
    waiting: Lines,
    /// Bytes and lines that are being written.
    taken: (usize, u64),
    /// Dropped because there was no room, and not told of yet.
    overflowed: u64,
    /// Dropped because they could not be written, and not told of yet.
    unwritten: u64,
    closing: bool,
    ended: bool,
}

/// Lines behind one another, each with its end.
#[derive(Default)]
pub(super) struct Lines {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
}

/// What the thread that writes is given.
pub(super) struct Batch {
    /// Earlier lines that could not be written.
    pub unwritten: u64,
    pub lines: Lines,
    /// Later lines for which there was no room.
    pub overflowed: u64,
}

impl Queue {
    /// An empty one for so many bytes.
    pub(super) fn new(capacity: usize) -> Queue {
        Queue {
            capacity,
            state: Mutex::default(),
            filled: Condvar::new(),
            ended: Condvar::new(),
            dropped: AtomicU64::new(0),
            failures: Failures::default(),
        }
    }

    /// Takes a line, or drops and counts it when there is no room. Never waits, never fails.
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

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Where it is told when the thread that writes is gone.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Waits until everything is written, for so long at most, and takes no more lines then.
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

    /// What is to be written next; waits for it. `None` at the end. An empty batch is there to try whether what
    /// was dropped can be told of now.
    pub(super) fn next(&self, empty: Lines) -> Option<Batch> {
        let mut state = self.state();
        state.taken = (0, 0);
        loop {
            let owes = state.overflowed + state.unwritten > 0;
            if !state.waiting.bytes.is_empty() || (state.closing && owes) {
                break;
            }
            if state.closing {
                return None;
            }
            if !owes {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let woken = self.filled.wait_timeout(state, RETRY);
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
        Some(Batch { unwritten, lines, overflowed })
    }

    /// Counts lines of a batch that could not be written.
    pub(super) fn lose(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.state().unwritten += lines;
    }

    /// These were counted; that could not be told. At the end it is not tried again.
    pub(super) fn owe(&self, lines: u64) {
        let mut state = self.state();
        if !state.closing {
            state.unwritten += lines;
        }
    }

    /// Counts what was being written by a thread that is gone.
    pub(super) fn lose_taken(&self) {
        let lines = std::mem::take(&mut self.state().taken).1;
        if lines > 0 {
            self.lose(lines);
        }
    }

    /// Nothing will be written any more.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.ended.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Empties it, and gives back what a crowd of lines took.
    pub fn clear(mut self) -> Lines {
        if self.bytes.capacity() > KEEP {
            return Lines::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self
    }
}

thread_local! {
    /// Where lines of this thread go instead, while the writer makes one of its own.
    static KEPT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The lines that this thread logs meanwhile, instead of queueing them.
pub(super) fn keep_lines(log: impl FnOnce()) -> Vec<u8> {
    KEPT.with(|kept| *kept.borrow_mut() = Some(Vec::new()));
    log();
    KEPT.with(|kept| kept.borrow_mut().take()).unwrap_or_default()
}

/// One line that is being logged.
pub struct Line(Arc<Queue>);

impl Line {
    /// For this queue.
    pub fn of(queue: Arc<Queue>) -> Line {
        Line(queue)
    }
}

impl io::Write for Line {
    /// Takes a whole line: the subscriber writes each at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_kept = KEPT.with(|kept| {
            let mut kept = kept.borrow_mut();
            kept.as_mut().map(|kept| kept.extend_from_slice(line)).is_some()
        });
        if !is_kept {
            self.0.push(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
