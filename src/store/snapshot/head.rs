//! The head of a snapshot.

use serde::{Deserialize, Serialize};

use crate::job::{Epoch, Time};

/// The store and the cursor that a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The format of the pieces: [`FORMAT`](super::FORMAT).
    pub cortado_export: u32,
    /// The epoch of the store. An import starts a new one.
    pub epoch: Epoch,
    /// When it was taken by the clock of the store, in milliseconds since 1970.
    pub at: Time,
    /// The number of the event before the oldest one.
    pub oldest: u64,
    /// The number of the newest event.
    pub head: u64,
}
