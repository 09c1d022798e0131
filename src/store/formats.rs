//! The numbers of all formats that Cortado writes, and the error for a format that is newer.
//!
//! A change of a format raises its number here and adds a row to this table and to the one in docs/store-format.md. A
//! version reads every number from 1 up to its own. A greater one is refused with [`Unreadable::Newer`], before
//! anything in the directory is changed.
//!
//! | format | where its number is | number | what changed |
//! |---|---|---|---|
//! | [`STORE`] | version byte of the value under `meta` | 1 | the first, with the settings of queues |
//! | | | 2 | the settings of queues are rows of their own |
//! | | | 3 | rows for users, tokens, sessions, share links, the signing key and declared kinds |
//! | [`JOURNAL_CHUNK`] | version byte of the values under `j` | 1 | the first |
//! | | | 2 | actors of events, and events about users, tokens, sessions, share links and declared kinds |
//! | | | 3 | notes of the nodes that share a log |
//! | [`RUN_HEADER`] | version byte of the values under `r` and `t` | 1 | the first |
//! | [`ARCHIVED_JOBS`] | version byte of the values under `a` | 1 | the first |
//! | | | 2 | who submitted a job, and who caused each change |
//! | [`SCHEDULE`] | version byte of the values under `s` | 1 | the first |
//! | [`QUEUE_SETTINGS`] | version byte of the values under `q` | 1 | the first |
//! | [`SHARED_LIMITS`] | version byte of the value under `c` | 1 | the first |
//! | [`ACCESS`] | version byte of the values under `u`, `o`, `x`, `l`, `v` and `i` | 1 | the first |
//! | [`DECLARED_KIND`] | version byte of the values under `d` | 1 | the first |
//! | [`HISTORY`] | version byte of the values under `h` | 1 | the first |
//! | [`HEAD_FILE`] | third word of each slot of the file `head` | 1 | the first |
//! | [`POSTGRES_SCHEMA`] | row `format` of the table `cortado.meta` | 1 | the first |
//! | [`EXPORT`] | `cortado_export` in the first line of an export | 1 | the first |
//! | | | 2 | a checksum at the end of each line, and one over all lines in the last |
//! | | | 3 | one line for all settings of a queue |
//! | | | 4 | actors in events and jobs, events about users, tokens, sessions and share links, and declared kinds |
//!
//! A backup is a data directory, so it has the numbers of one.

use std::fmt::Display;

use super::StoreError;

/// A format: its name, and the number that this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredFormat {
    /// What messages call it.
    pub name: &'static str,
    /// The number that this version writes, and the greatest that it reads.
    pub newest: u8,
}

/// The description of the store as a whole. Its number is checked first, so it is the one to raise when older versions
/// must not open a directory at all.
pub const STORE: StoredFormat = StoredFormat { name: "description of the store", newest: 3 };
/// A chunk of the journal.
pub const JOURNAL_CHUNK: StoredFormat = StoredFormat { name: "journal chunk", newest: 3 };
/// The header of a run of the archive.
pub const RUN_HEADER: StoredFormat = StoredFormat { name: "run header", newest: 1 };
/// A chunk of a run of the archive.
pub const ARCHIVED_JOBS: StoredFormat = StoredFormat { name: "chunk of archived jobs", newest: 2 };
/// A schedule.
pub const SCHEDULE: StoredFormat = StoredFormat { name: "schedule", newest: 1 };
/// A kind that was declared at run time.
pub const DECLARED_KIND: StoredFormat = StoredFormat { name: "declared kind", newest: 1 };
/// The settings of a queue.
pub const QUEUE_SETTINGS: StoredFormat = StoredFormat { name: "queue settings", newest: 1 };
/// The limits that all nodes of a shared log apply.
pub const SHARED_LIMITS: StoredFormat = StoredFormat { name: "shared limits", newest: 1 };
/// A user, token, session or share link, or the key that signs share links.
pub const ACCESS: StoredFormat = StoredFormat { name: "access record", newest: 1 };
/// What was counted over time.
pub const HISTORY: StoredFormat = StoredFormat { name: "history", newest: 1 };
/// The file beside the log that records how far it was durable.
pub const HEAD_FILE: StoredFormat = StoredFormat { name: "head file", newest: 1 };
/// The tables of a store on PostgreSQL.
pub const POSTGRES_SCHEMA: StoredFormat = StoredFormat { name: "PostgreSQL schema", newest: 1 };
/// An export.
pub const EXPORT: StoredFormat = StoredFormat { name: "export", newest: 4 };

impl StoredFormat {
    /// Checks that this version can read the number that was found.
    ///
    /// # Errors
    /// [`Unreadable::Newer`] when the number is greater than any that this version knows.
    pub fn check(self, found: u64) -> Result<(), Unreadable> {
        let newest = u64::from(self.newest);
        match found {
            0 => Err(Unreadable::Damaged(format!("no {} has format 0", self.name))),
            _ if found > newest => Err(Unreadable::Newer { found, newest }),
            _ => Ok(()),
        }
    }
}

/// Why stored bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They are in a format that this version does not know yet.
    #[error(
        "written by a newer version of Cortado (format {found}; this version reads up to {newest})"
    )]
    Newer {
        /// The number that was found.
        found: u64,
        /// The greatest number that this version reads.
        newest: u64,
    },
    /// They are damaged.
    #[error("{0}")]
    Damaged(String),
}

impl Unreadable {
    /// Makes the error of a store in which `place` cannot be read.
    pub fn at(self, place: impl Display) -> StoreError {
        match self {
            Unreadable::Newer { found, newest } => {
                StoreError::Newer { what: place.to_string(), found, newest }
            }
            Unreadable::Damaged(why) => StoreError::Corrupt(format!("{place}: {why}")),
        }
    }
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        Unreadable::Damaged(why)
    }
}

impl From<&String> for Unreadable {
    fn from(why: &String) -> Self {
        Unreadable::Damaged(why.clone())
    }
}

impl From<&str> for Unreadable {
    fn from(why: &str) -> Self {
        Unreadable::Damaged(why.to_owned())
    }
}

impl From<&Unreadable> for Unreadable {
    fn from(why: &Unreadable) -> Self {
        why.clone()
    }
}

impl From<StoreError> for Unreadable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Newer { found, newest, .. } => Unreadable::Newer { found, newest },
            StoreError::Unavailable(why) | StoreError::Corrupt(why) => Unreadable::Damaged(why),
            StoreError::Closed | StoreError::Replaced(_) => Unreadable::Damaged(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [StoredFormat; 13] = [
        STORE,
        JOURNAL_CHUNK,
        RUN_HEADER,
        ARCHIVED_JOBS,
        SCHEDULE,
        DECLARED_KIND,
        QUEUE_SETTINGS,
        SHARED_LIMITS,
        ACCESS,
        HISTORY,
        HEAD_FILE,
        POSTGRES_SCHEMA,
        EXPORT,
    ];

    #[test]
    fn a_number_that_is_too_great_is_called_newer_and_none_at_all_is_damage() {
        for format in ALL {
            for known in 1..=format.newest {
                assert_eq!(format.check(u64::from(known)), Ok(()), "{}", format.name);
            }
            assert!(matches!(format.check(0), Err(Unreadable::Damaged(_))), "{}", format.name);
            let found = u64::from(format.newest) + 1;
            let newer = format.check(found).unwrap_err();
            assert_eq!(newer, Unreadable::Newer { found, newest: format.newest.into() });
            assert!(newer.to_string().contains("newer version of Cortado"), "{newer}");
        }
    }

    /// The table of that page is the one above.
    #[test]
    fn the_page_on_the_store_format_has_the_newest_number_of_every_format() {
        let page = include_str!("../../docs/store-format.md");
        for format in ALL {
            let row = format!("| {} | {} |", format.name, format.newest);
            assert!(page.contains(&row), "docs/store-format.md has no row {row:?}");
        }
    }
}
