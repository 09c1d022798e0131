//! The description of the store as a whole: one small row.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::job::{Epoch, QueueName, RateRule, Time};
use crate::store::StoreError;
use crate::store::formats::{self, Unreadable};
use crate::store::log_store::journal::codec::{seal, unseal};

/// What is known of the store as a whole; one small value, written with every archive step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meta {
    pub epoch: Epoch,
    /// Jobs that finished up to this event are in the archive, or gone.
    pub archived: u64,
    /// The number of the next run.
    pub next_run: u64,
    /// Queues that are held back; the event that says so may have left the log.
    pub paused: BTreeSet<QueueName>,
    /// What later versions added; it stands behind the rest, and an old store has nothing there.
    #[serde(skip)]
    pub later: Later,
}

/// The part of [`Meta`] that the first stores did not have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Later {
    /// When processes opened the store, oldest first.
    pub starts: Vec<Time>,
    /// How many attempts of a queue may run at once, where somebody said so.
    pub concurrency: BTreeMap<QueueName, u32>,
    /// How often attempts of a queue may begin, where somebody said so; behind the rest like all of this is.
    #[serde(skip)]
    pub rate_limits: BTreeMap<QueueName, RateRule>,
}

impl Meta {
    pub const KEY: &'static [u8] = b"meta";

    /// That of an empty store: the beginning of a new life.
    pub fn new() -> Meta {
        let epoch = Epoch(fastrand::u32(1..));
        let later = Later::default();
        Meta { epoch, archived: 0, next_run: 1, paused: BTreeSet::new(), later }
    }

    /// A run number that was never used.
    pub fn take_run_number(&mut self) -> u64 {
        self.next_run += 1;
        self.next_run - 1
    }

    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let raw = postcard::to_stdvec(&(self, &self.later, &self.later.rate_limits));
        let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(seal(formats::STORE, &raw))
    }

    pub fn decode(bytes: &[u8]) -> Result<Meta, Unreadable> {
        let raw = unseal(formats::STORE, bytes)?;
        let meta = postcard::take_from_bytes::<Meta>(&raw);
        let (mut meta, rest) = meta.map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            let later = postcard::take_from_bytes::<Later>(rest);
            let (later, rest) = later.map_err(|error| error.to_string())?;
            meta.later = later;
            if !rest.is_empty() {
                let rates = postcard::from_bytes(rest);
                meta.later.rate_limits = rates.map_err(|error| error.to_string())?;
            }
        }
        Ok(meta)
    }
}
