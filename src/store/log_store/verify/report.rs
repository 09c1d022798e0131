//! What `verify` found: a summary, and every problem with the key it is about.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::job::{Epoch, State};
use crate::store::formats::Unreadable;

/// Problems that are kept; the rest is counted.
const KEPT: usize = 1_000;

/// The findings of [`verify`](super::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where.
    pub dir: PathBuf,
    /// The life of the store, when its description can be read.
    pub epoch: Option<Epoch>,
    /// Jobs in each state.
    pub jobs: BTreeMap<State, u64>,
    /// How many of them are in the archive.
    pub archived: u64,
    /// Runs of the archive.
    pub runs: u64,
    /// Chunks of the journal.
    pub chunks: u64,
    /// Events in the log.
    pub events: u64,
    /// The events begin after this number.
    pub oldest: u64,
    /// The number of the newest event.
    pub head: u64,
    /// Idempotency keys of archived jobs.
    pub keys: u64,
    /// Schedules.
    pub schedules: u64,
    /// Bytes of all keys and values.
    pub value_bytes: u64,
    /// Bytes of the files.
    pub disk_bytes: u64,
    /// What is wrong, at most the first thousand.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub more_problems: u64,
    /// A newer version wrote some of it, so that this one cannot say whether it is sound.
    pub is_newer: bool,
    /// Why it could not be looked at, when it could not: that says nothing about the store.
    pub unchecked: Option<String>,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key of the value that it is about, such as `j 12` or `meta`; empty for the whole directory.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl Report {
    pub(super) fn new(dir: &Path) -> Report {
        Report {
            dir: dir.to_owned(),
            epoch: None,
            jobs: State::ALL.into_iter().map(|state| (state, 0)).collect(),
            archived: 0,
            runs: 0,
            chunks: 0,
            events: 0,
            oldest: 0,
            head: 0,
            keys: 0,
            schedules: 0,
            value_bytes: 0,
            disk_bytes: size_of_files(dir),
            problems: Vec::new(),
            more_problems: 0,
            is_newer: false,
            unchecked: None,
        }
    }

    /// Whether it was looked at and nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.unchecked.is_none()
    }

    pub(super) fn problem(&mut self, key: &str, what: impl Into<Unreadable>) {
        let what = what.into();
        self.is_newer |= matches!(what, Unreadable::Newer { .. });
        if self.problems.len() < KEPT {
            self.problems.push(Problem { key: key.to_owned(), what: what.to_string() });
        } else {
            self.more_problems += 1;
        }
    }

    pub(super) fn count(&mut self, state: State) {
        *self.jobs.entry(state).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.dir.display())?;
        if let Some(Epoch(epoch)) = self.epoch {
            writeln!(f, "  epoch     {epoch:08x}")?;
        }
        let total: u64 = self.jobs.values().sum();
        writeln!(f, "  jobs      {total}, {} of them in {} runs", self.archived, self.runs)?;
        for (state, count) in self.jobs.iter().filter(|(_, count)| **count > 0) {
            writeln!(f, "    {:<12}{count}", state.as_str())?;
        }
        let (events, oldest, head) = (self.events, self.oldest, self.head);
        writeln!(
            f,
            "  events    {events}, after {oldest} up to {head}, in {} chunks",
            self.chunks
        )?;
        writeln!(f, "  keys      {} of archived jobs", self.keys)?;
        writeln!(f, "  schedules {}", self.schedules)?;
        writeln!(f, "  bytes     {} stored, {} on disk", self.value_bytes, self.disk_bytes)?;
        for Problem { key, what } in &self.problems {
            let at = if key.is_empty() { String::new() } else { format!("{key}: ") };
            writeln!(f, "problem: {at}{what}")?;
        }
        if self.more_problems > 0 {
            writeln!(f, "and {} problems more", self.more_problems)?;
        }
        if self.is_newer {
            return write!(f, "cannot be checked: a newer version of Cortado wrote it");
        }
        if let Some(why) = &self.unchecked {
            return write!(f, "cannot be checked: {why}");
        }
        match self.problems.len() {
            0 => write!(f, "sound"),
            _ => write!(f, "NOT sound"),
        }
    }
}

/// A key as people read it: its letter, then its numbers or its text.
pub(super) fn key_name(key: &[u8]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    match (key.first(), key.len()) {
        (Some(letter @ (b'j' | b'r' | b't')), 9) => {
            format!("{} {}", char::from(*letter), number(&key[1..]))
        }
        (Some(b'a'), 13) => format!("a {} {}", number(&key[1..9]), number(&key[9..])),
        (Some(letter @ (b'k' | b's')), _) => {
            format!("{} {:?}", char::from(*letter), String::from_utf8_lossy(&key[1..]))
        }
        _ => String::from_utf8_lossy(key).escape_debug().to_string(),
    }
}

fn size_of_files(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of_files(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
