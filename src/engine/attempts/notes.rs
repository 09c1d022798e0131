//! The log lines and the progress that a handler reports, until the settler stores them. Their size is bounded. A writer
//! that can wait, such as the reader of a program's output, waits for room and loses nothing. When a handler does not
//! wait, its first and last lines are kept, and a line between them says how many were dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::job::shorten::truncated;
use crate::job::{LogLine, Progress, Stream};

/// The most lines that are held until they are stored. One half is for the first of them, the other for the last.
const MAX_LINES: usize = 2_000;
/// The most bytes of text that are held until they are stored, in the same two halves.
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
    /// Wakes the executor at the first note since notes were last taken, and when the first half is full.
    changed: Notify,
    /// Wakes writers that wait for room when notes are taken.
    taken: Notify,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct HeldNotes {
    /// The first lines since notes were last taken.
    first: NotesHalf,
    /// The newest lines after those.
    last: NotesHalf,
    /// Lines between the two halves that were dropped.
    dropped: u64,
    progress: Option<Progress>,
}

/// Consecutive lines, and the bytes of their text.
#[derive(Default)]
struct NotesHalf {
    lines: VecDeque<LogLine>,
    bytes: usize,
}

impl Notes {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Notes { held: Mutex::default(), changed: Notify::new(), taken: Notify::new(), clock }
    }

    pub fn line(&self, stream: Stream, text: &str) {
        let line = LogLine { at: self.clock.now(), stream, text: cut(text) };
        self.add(|held| held.push(line));
    }

    pub fn progress(&self, progress: Progress) {
        self.add(|held| held.progress = Some(progress));
    }

    /// Takes all notes. If lines were dropped, a line in their place says how many.
    pub fn take(&self) -> Pending {
        let held = std::mem::take(&mut *self.lock());
        self.taken.notify_waiters();
        let mut lines = Vec::from(held.first.lines);
        if held.dropped > 0 {
            let at = held.last.lines.front().map_or_else(|| self.clock.now(), |line| line.at);
            let text = format!(
                "… {} log lines dropped: they came faster than they could be stored",
                held.dropped
            );
            lines.push(LogLine { at, stream: Stream::Log, text: text.into() });
        }
        lines.extend(held.last.lines);
        Pending { lines, progress: held.progress }
    }

    /// Resolves when another line can be added without dropping any.
    pub async fn room(&self) {
        loop {
            let taken = self.taken.notified(); // before the look, so that no wake-up is missed
            if !self.is_full() {
                return;
            }
            taken.await;
        }
    }

    /// Whether the next line may have to be dropped, so that the notes should be stored at once.
    pub fn is_full(&self) -> bool {
        self.lock().is_full()
    }

    /// Puts back notes that could not be stored, before all newer ones.
    pub fn put_back(&self, pending: Pending) {
        self.add(|held| {
            let newer = std::mem::take(held);
            held.progress = newer.progress.or(pending.progress);
            for line in pending.lines.into_iter().chain(newer.first.lines) {
                held.push(line);
            }
            held.dropped += newer.dropped;
            newer.last.lines.into_iter().for_each(|line| held.push(line));
        });
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn add(&self, change: impl FnOnce(&mut HeldNotes)) {
        let mut held = self.lock();
        let was_empty = held.is_empty();
        let was_full = held.is_full();
        change(&mut held);
        let became_full = !was_full && held.is_full();
        drop(held);
        if was_empty || became_full {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldNotes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldNotes {
    fn is_empty(&self) -> bool {
        self.first.lines.is_empty() && self.progress.is_none()
    }

    /// Whether the first half has no room for one more line of any length.
    fn is_full(&self) -> bool {
        !self.last.lines.is_empty() || !self.first.has_room_for(MAX_LINE)
    }

    fn push(&mut self, line: LogLine) {
        let is_next = self.dropped == 0 && self.last.lines.is_empty();
        if is_next && self.first.has_room_for(line.text.len()) {
            return self.first.push(line);
        }
        while !self.last.has_room_for(line.text.len()) && self.last.pop() {
            self.dropped += 1;
        }
        self.last.push(line);
    }
}

impl NotesHalf {
    fn has_room_for(&self, bytes: usize) -> bool {
        self.lines.len() < MAX_LINES / 2 && self.bytes + bytes <= MAX_BYTES / 2
    }

    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
    }

    /// Removes the oldest line; false when there is none.
    fn pop(&mut self) -> bool {
        let oldest = self.lines.pop_front();
        self.bytes -= oldest.as_ref().map_or(0, |line| line.text.len());
        oldest.is_some()
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
    fn a_handler_that_logs_too_much_keeps_its_first_and_last_lines_and_the_others_are_counted() {
        let notes = notes();
        for n in 0..MAX_LINES + 5 {
            notes.line(Stream::Log, &format!("line {n}"));
        }
        let taken = notes.take();
        assert_eq!(taken.lines.len(), MAX_LINES + 1);
        assert_eq!(&*taken.lines[0].text, "line 0");
        let half = MAX_LINES / 2;
        assert!(
            taken.lines[half].text.starts_with("… 5 log lines dropped"),
            "{:?}",
            taken.lines[half]
        );
        assert_eq!(&*taken.lines[half + 1].text, format!("line {}", half + 5));
        assert_eq!(&*taken.lines[MAX_LINES].text, format!("line {}", MAX_LINES + 4));
        assert!(notes.take().is_empty());
    }

    #[tokio::test]
    async fn a_writer_that_waits_for_room_loses_nothing() {
        let notes = Arc::new(notes());
        for length in [1, 100, MAX_LINE] {
            let writer = notes.clone();
            let writing = tokio::spawn(async move {
                for n in 0..3 * MAX_LINES {
                    writer.room().await;
                    writer.line(Stream::Stdout, &format!("{n:0length$}"));
                }
            });
            let mut lines = Vec::new();
            while lines.len() < 3 * MAX_LINES {
                notes.changed().await;
                lines.extend(notes.take().lines);
            }
            writing.await.unwrap();
            for (n, line) in lines.iter().enumerate() {
                assert_eq!(
                    line.text.trim_start_matches('0'),
                    format!("{n}").trim_start_matches('0')
                );
            }
        }
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
