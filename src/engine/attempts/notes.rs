//! The log lines and the progress that a handler reports, until the settler stores them. Their size is bounded:
//! a handler that logs too much loses its oldest lines, and a line says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::job::shorten::truncated;
use crate::job::{LogLine, Progress, Stream};

/// The most lines that are held until they are stored; the oldest are dropped first.
const MAX_LINES: usize = 1_000;
/// The most bytes of text that are held until they are stored.
const MAX_BYTES: usize = 256 * 1_024;
/// The longest line in bytes. A longer one is truncated, so that one line cannot displace all others.
const MAX_LINE: usize = 8 * 1_024;

/// Notes that are to be stored.
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

pub struct Notes {
    held: Mutex<HeldNotes>,
    /// Wakes the executor at the first note since notes were last taken.
    changed: Notify,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct HeldNotes {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Lines that were dropped since notes were last taken.
    dropped: u64,
    progress: Option<Progress>,
}

impl Notes {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Notes { held: Mutex::default(), changed: Notify::new(), clock }
    }

    pub fn line(&self, stream: Stream, text: &str) {
        let line = LogLine { at: self.clock.now(), stream, text: cut(text) };
        self.add(|held| held.push(line));
    }

    pub fn progress(&self, progress: Progress) {
        self.add(|held| held.progress = Some(progress));
    }

    /// Takes all notes. If lines were dropped, the first line says how many.
    pub fn take(&self) -> Pending {
        let held = std::mem::take(&mut *self.lock());
        let mut lines = Vec::from(held.lines);
        if held.dropped > 0 {
            let at = lines.first().map_or_else(|| self.clock.now(), |line| line.at);
            let text = format!("… {} lines dropped", held.dropped).into();
            lines.insert(0, LogLine { at, stream: Stream::Log, text });
        }
        Pending { lines, progress: held.progress }
    }

    /// Puts back notes that could not be stored, before all newer ones.
    pub fn put_back(&self, pending: Pending) {
        self.add(|held| {
            let newer = std::mem::take(held);
            held.progress = newer.progress.or(pending.progress);
            held.dropped = newer.dropped;
            for line in pending.lines.into_iter().chain(newer.lines) {
                held.push(line);
            }
        });
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn add(&self, change: impl FnOnce(&mut HeldNotes)) {
        let mut held = self.lock();
        let first = held.lines.is_empty() && held.progress.is_none();
        change(&mut held);
        drop(held);
        if first {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldNotes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldNotes {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.dropped += 1;
        }
    }
}

fn cut(text: &str) -> Box<str> {
    let kept = truncated(text, MAX_LINE);
    if kept.len() == text.len() { text.into() } else { format!("{kept}…").into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn notes() -> Notes {
        Notes::new(Arc::new(ManualClock::default()))
    }

    #[test]
    fn a_handler_that_logs_too_much_loses_its_oldest_lines_with_a_note() {
        let notes = notes();
        for n in 0..MAX_LINES + 5 {
            notes.line(Stream::Log, &format!("line {n}"));
        }
        let taken = notes.take();
        assert_eq!(taken.lines.len(), MAX_LINES + 1);
        assert_eq!(&*taken.lines[0].text, "… 5 lines dropped");
        assert_eq!(&*taken.lines[1].text, "line 5");
        assert!(notes.take().is_empty());
    }

    #[test]
    fn held_bytes_are_bounded_for_lines_of_any_length() {
        let notes = notes();
        for _ in 0..100 {
            notes.line(Stream::Stdout, &"ä".repeat(MAX_LINE));
        }
        let bytes: usize = notes.take().lines.iter().map(|line| line.text.len()).sum();
        assert!(bytes <= MAX_BYTES + 64, "{bytes}");
    }

    #[test]
    fn lines_that_were_put_back_come_before_later_ones() {
        let notes = notes();
        notes.line(Stream::Log, "one");
        let progress = |done| Progress { done, total: None, message: None };
        notes.progress(progress(1));
        let taken = notes.take();
        notes.line(Stream::Log, "two");
        notes.progress(progress(2));
        notes.put_back(taken);
        let taken = notes.take();
        let texts: Vec<&str> = taken.lines.iter().map(|line| &*line.text).collect();
        assert_eq!((texts, taken.progress), (vec!["one", "two"], Some(progress(2))));
    }
}
