//! Why a command on a data directory failed. The exit code of the process depends on it.

use crate::store::StoreError;
use crate::store::formats::Unreadable;

/// What went wrong, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// A newer version of Cortado wrote the data.
    #[error("{0}")]
    Newer(String),
    /// Any other failure.
    #[error("{0}")]
    Other(String),
}

impl Failed {
    /// The exit code of a command that has failed.
    pub const OTHER: u8 = 2;
    /// The exit code when the data is of a newer version.
    pub const NEWER: u8 = 3;

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failed::Newer(_) => Failed::NEWER,
            Failed::Other(_) => Failed::OTHER,
        }
    }

    /// Adds words before the message.
    pub(super) fn after(self, words: &str) -> Failed {
        match self {
            Failed::Newer(why) => Failed::Newer(format!("{words}: {why}")),
            Failed::Other(why) => Failed::Other(format!("{words}: {why}")),
        }
    }
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Failed::Other(why)
    }
}

impl From<&str> for Failed {
    fn from(why: &str) -> Self {
        Failed::Other(why.to_owned())
    }
}

impl From<StoreError> for Failed {
    /// The message of a store's error, without the words that are meant for other callers.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Newer { .. } => Failed::Newer(error.to_string()),
            StoreError::Unavailable(why) | StoreError::Corrupt(why) | StoreError::Replaced(why) => {
                Failed::Other(why)
            }
            StoreError::Closed => Failed::Other(error.to_string()),
        }
    }
}

impl From<Unreadable> for Failed {
    /// The message of an error in an export.
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Newer { .. } => Failed::from(why.at("the export")),
            Unreadable::Damaged(why) => Failed::Other(why),
        }
    }
}
