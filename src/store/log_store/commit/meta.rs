//! The description of the store as a whole, which is one small row of the log.

mod first_format;

use serde::{Deserialize, Serialize};

use crate::job::{Epoch, Time};
use crate::store::StoreError;
use crate::store::formats::{self, Unreadable};
use crate::store::log_store::journal::codec::{seal, unseal};
use crate::store::log_store::journal::queue_rows::QueueTable;

/// The description of the store. It is written again whenever the archive changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meta {
    pub epoch: Epoch,
    /// Jobs that finished at or before this event are in the archive or were removed.
    pub archived: u64,
    /// The number of the next run.
    pub next_run: u64,
    /// When processes opened the store, oldest first.
    pub starts: Vec<Time>,
}

/// A description as it was read.
pub struct StoredMeta {
    pub meta: Meta,
    /// The number of its format.
    pub format: u8,
    /// The settings of queues of a store in format 1, which has no rows for them.
    pub older_settings: Option<QueueTable>,
}

impl StoredMeta {
    /// Whether an older version wrote it, which must not open the store again.
    pub fn is_older(&self) -> bool {
        self.format < formats::STORE.newest
    }
}

impl Meta {
    pub const KEY: &'static [u8] = b"meta";

    /// The description of an empty store, with an epoch of its own.
    pub fn new() -> Meta {
        Meta { epoch: Epoch(fastrand::u32(1..)), archived: 0, next_run: 1, starts: Vec::new() }
    }

    /// A run number that was never used.
    pub fn take_run_number(&mut self) -> u64 {
        self.next_run += 1;
        self.next_run - 1
    }

    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let raw = postcard::to_stdvec(self);
        let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(seal(formats::STORE, &raw))
    }

    /// Reads a description in any format up to the newest.
    pub fn decode(bytes: &[u8]) -> Result<StoredMeta, Unreadable> {
        let raw = unseal(formats::STORE, bytes)?;
        if bytes.first() == Some(&first_format::NUMBER) {
            let first_format::Description { epoch, archived, next_run, starts, queues } =
                first_format::decode(&raw)?;
            let meta = Meta { epoch, archived, next_run, starts };
            return Ok(StoredMeta {
                meta,
                format: first_format::NUMBER,
                older_settings: Some(queues),
            });
        }
        // Format 3 differs from format 2 only in the rows that a store may have.
        let meta = postcard::from_bytes(&raw).map_err(|error| error.to_string())?;
        let format = bytes.first().copied().unwrap_or_default();
        Ok(StoredMeta { meta, format, older_settings: None })
    }
}
