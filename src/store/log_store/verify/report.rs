//! The report of `verify`: a summary, and every problem with the key of the value that it is about.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::job::{Epoch, State};
use crate::store::WideAccess;
use crate::store::formats::Unreadable;

/// How many problems are kept. The others are only counted.
const MAX_PROBLEMS: usize = 1_000;

/// What [`verify`](super::verify) found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The data directory or the database.
    pub place: String,
    /// The epoch of the store, if its description can be read.
    pub epoch: Option<Epoch>,
    /// The number of jobs in each state.
    pub jobs: BTreeMap<State, u64>,
    /// The number of archived jobs.
    pub archived: u64,
    /// The number of runs in the archive.
    pub runs: u64,
    /// The number of chunks in the journal.
    pub chunks: u64,
    /// The number of events in the journal.
    pub events: u64,
    /// The number of the event before the oldest one.
    pub oldest: u64,
    /// The number of the newest event.
    pub head: u64,
    /// The number of rows for idempotency keys of archived jobs.
    pub keys: u64,
    /// The number of schedules.
    pub schedules: u64,
    /// The number of declared kinds.
    pub kinds: u64,
    /// The number of rows of users, tokens, sessions and share links, and of the key that signs links.
    pub access_rows: u64,
    /// The size of all keys and values in bytes.
    pub value_bytes: u64,
    /// The size of all files or tables in bytes.
    pub disk_bytes: u64,
    /// The problems, at most the first thousand.
    pub problems: Vec<VerifyProblem>,
    /// How many more problems there are.
    pub more_problems: u64,
    /// Whether a newer version wrote some of it, so that this version cannot say whether it is sound.
    pub is_newer: bool,
    /// Why the store could not be checked, if so. That says nothing about its state.
    pub unchecked: Option<String>,
    /// Who else has access to the directory, if anybody has. It says nothing about the state of the store, either.
    pub access: Option<WideAccess>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyProblem {
    /// The key of the value that it is about, such as `j 12` or `meta`; empty for the store as a whole.
    pub key: String,
    /// A description of the problem.
    pub what: String,
}

impl Report {
    /// An empty report on a data directory.
    pub fn of_dir(dir: &Path) -> Report {
        Report {
            disk_bytes: size_of_files(dir),
            // Without a store in it, the directory may be anything.
            access: WideAccess::of(dir).filter(|_| dir.join("db").exists()),
            ..Report::of_place(dir.display().to_string())
        }
    }

    /// An empty report on another place.
    pub fn of_place(place: String) -> Report {
        Report {
            place,
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
            kinds: 0,
            access_rows: 0,
            value_bytes: 0,
            disk_bytes: 0,
            problems: Vec::new(),
            more_problems: 0,
            is_newer: false,
            unchecked: None,
            access: None,
        }
    }

    /// Whether the store was checked and nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.unchecked.is_none()
    }

    pub(super) fn problem(&mut self, key: &str, what: impl Into<Unreadable>) {
        let what = what.into();
        self.is_newer |= matches!(what, Unreadable::Newer { .. });
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(VerifyProblem { key: key.to_owned(), what: what.to_string() });
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
        writeln!(f, "{}", self.place)?;
        if let Some(access) = &self.access {
            writeln!(f, "warning: {access}")?;
        }
        if let Some(why) = &self.unchecked
            && self.epoch.is_none()
        {
            return write!(f, "cannot be checked: {why}"); // there is nothing to count
        }
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
        writeln!(f, "  kinds     {} declared", self.kinds)?;
        writeln!(f, "  access    {} records", self.access_rows)?;
        writeln!(f, "  bytes     {} stored, {} on disk", self.value_bytes, self.disk_bytes)?;
        for VerifyProblem { key, what } in &self.problems {
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

/// A key in readable form: its letter, then its numbers or its text.
pub(super) fn key_name(key: &[u8]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    match (key.first(), key.len()) {
        (Some(letter @ (b'j' | b'r' | b't')), 9) => {
            format!("{} {}", char::from(*letter), number(&key[1..]))
        }
        (Some(b'a'), 13) => format!("a {} {}", number(&key[1..9]), number(&key[9..])),
        (Some(letter @ (b'k' | b'q' | b's' | b'd' | b'u' | b'o' | b'x' | b'l')), _) => {
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
