//! The log that the durable store writes to. `log_store` holds the rules and knows logs only through this trait; each
//! implementation has a folder beside it.

#[cfg(test)]
pub(crate) mod conformance;
mod inbox;
mod node_message;
mod projection;
mod write_batch;

pub use inbox::LogInbox;
pub use node_message::{NodeHeartbeat, NodeMessage};
pub use projection::LogProjection;
pub use write_batch::{Mark, Write, WriteBatch};

use std::time::Duration;

use crate::job::{Cursor, Epoch};
use crate::store::{Storage, StoreError};

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Keys and values in the order of their keys. It ends after the first error.
pub type Rows = Box<dyn Iterator<Item = Result<Row, StoreError>> + Send>;

/// Keys in their order. It ends after the first error.
pub type Keys = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>> + Send>;

/// What became of a batch.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// Readers see it.
    Done,
    /// Nothing of it was written, because another process has written the chunk that the batch begins with, or has taken
    /// something from the inbox that the batch takes. The store reads on from there and decides again.
    ///
    /// The rows are the chunks of others, beginning with the one in the place of the batch, if the log knows them already;
    /// there may be more of them.
    Lost(Vec<Row>),
}

impl Applied {
    /// Whether another process was first.
    pub fn is_lost(&self) -> bool {
        matches!(self, Applied::Lost(_))
    }
}

/// A node that has lost an append, and how long it needs to decide and append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnRequest {
    pub node: u64,
    pub needs: Duration,
}

/// A chunk that another process has announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedChunk {
    pub number: u64,
    /// The node that has written it, if the announcement says so. Anybody may announce anything, so this is only a hint.
    pub writer: Option<u64>,
}

/// An ordered map of keys to values that changes in atomic batches.
///
/// The store writes its batches one after the other: chunks of the journal under ascending keys, and with them the
/// few rows that are derived from it. A log that several processes share therefore decides by the number of the first
/// new chunk whether a batch may follow: a store writes no batch without a chunk to a shared log.
///
/// [`StoreError::Unavailable`] says that a call may work later; the store then refuses commands and calls
/// [`Log::reopen`] until it succeeds. [`StoreError::Corrupt`], [`StoreError::Newer`] and [`StoreError::Replaced`] are
/// final.
pub trait Log: Send + Sync + 'static {
    /// Where the data is, for messages.
    fn location(&self) -> &str;

    /// What messages call the log as a whole.
    fn name(&self) -> String;

    /// The value under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// All rows whose key begins with `prefix`.
    fn scan(&self, prefix: &[u8]) -> Rows {
        self.scan_from(prefix, prefix)
    }

    /// The rows whose key begins with `prefix` and is not less than `from`.
    fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Rows;

    /// The keys that begin with `prefix`, without their values.
    fn keys(&self, prefix: &[u8]) -> Keys {
        Box::new(self.scan(prefix).map(|row| row.map(|(key, _)| key)))
    }

    /// Whether other processes write to the log at the same time.
    fn is_shared(&self) -> bool;

    /// Makes a batch visible to readers. It survives the end of the process, but not yet a power cut. A log that is not
    /// shared never loses.
    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError>;

    /// Says that a node is at work, and returns all nodes that have said so and have not signed off. A node whose process
    /// was replaced by another one of the same name is not among them. A log that is not shared has none.
    fn heartbeat(&self, _message: NodeMessage) -> Result<Vec<NodeHeartbeat>, StoreError> {
        Ok(Vec::new())
    }

    /// Says that a node has ended.
    fn sign_off(&self, _node: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Where jobs wait that programs submit in transactions of their own, if the log has such a place.
    fn inbox(&self) -> Option<&dyn LogInbox> {
        None
    }

    /// The rows of jobs for queries beside the log, if it has such a place.
    fn projection(&self) -> Option<&dyn LogProjection> {
        None
    }

    /// Applies a batch where no other process may write.
    ///
    /// # Errors
    /// As [`Log::apply`], and when another process has written nevertheless.
    fn apply_alone(&self, batch: WriteBatch) -> Result<(), StoreError> {
        match self.apply(batch)? {
            Applied::Done => Ok(()),
            Applied::Lost(_) => Err(another_writer(&self.name())),
        }
    }

    /// Whether a chunk with this number or a greater one is there. A log that is not shared returns `false`.
    fn has_chunk(&self, number: u64) -> Result<bool, StoreError>;

    /// Waits until another process has appended a chunk with this number or a greater one, but no longer than `at_most`.
    /// Returns whether it seems to have done so; a short wait may miss it. A log that is not shared returns `false` at once.
    fn wait_for_chunk(&self, number: u64, at_most: Duration) -> Result<bool, StoreError>;

    /// Waits until another process has announced a chunk with this number or a greater one, but no longer than `at_most`, and
    /// returns the newest announcement. Unlike [`Log::wait_for_chunk`], it asks nobody.
    fn wait_for_announcement(
        &self,
        number: u64,
        at_most: Duration,
    ) -> Result<Option<AnnouncedChunk>, StoreError> {
        let is_there = self.wait_for_chunk(number, at_most)?;
        Ok(is_there.then_some(AnnouncedChunk { number, writer: None }))
    }

    /// The chunks from this one on that others have announced together with their content, without a gap. Each is returned once.
    /// There may be more in the log, and some of these may have been read before.
    fn announced_chunks(&self, _from: u64) -> Vec<Row> {
        Vec::new()
    }

    /// Tells the other nodes that one has lost an append and is about to try again. They may miss it.
    fn ask_for_turn(&self, _request: TurnRequest) {}

    /// The nodes that have asked for their turn since this was called last.
    fn turn_requests(&self) -> Vec<TurnRequest> {
        Vec::new()
    }

    /// Waits until everything that was applied is durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// Called once during a start, after everything was read and validated. Nothing is written before that, so a
    /// damaged log stays as it is.
    fn begin_writing(&self) -> Result<(), StoreError>;

    /// The number of an event that is known to have been durable. It is recorded apart from the log itself: a log
    /// that ends before it has lost events. `None` when nothing was recorded.
    ///
    /// # Errors
    /// When what was recorded cannot be read, or belongs to another store than the one with this epoch.
    fn recorded_head(&self, epoch: Epoch) -> Result<Option<u64>, StoreError>;

    /// Stores the description of a store with a new epoch, because nothing is known to have been durable
    /// ([`Log::recorded_head`] has returned `None`). Loses if another process has done so meanwhile.
    fn begin_epoch(&self, description: WriteBatch) -> Result<Applied, StoreError> {
        self.apply_alone(description)?;
        self.sync()?;
        Ok(Applied::Done)
    }

    /// Records how far the log is durable.
    fn record_head(&self, head: Cursor) -> Result<(), StoreError>;

    /// Whether a later process would find what is written now.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] when the log is another one than at the start.
    fn check_identity(&self) -> Result<(), StoreError>;

    /// Whether every value is stored where a sync makes it durable.
    fn check_values(&self) -> Result<(), StoreError>;

    /// Adds the size of the log, and what was written to it.
    fn measure(&self, storage: &mut Storage) -> Result<(), StoreError>;

    /// Releases everything. Every call is refused until [`Log::reopen`] succeeds.
    fn shut(&self);

    /// Opens the log again after a fault, and makes what it holds durable.
    fn reopen(&self) -> Result<(), StoreError>;
}

/// The error of a log that only this process should write to, and that has another writer.
pub fn another_writer(log: &str) -> StoreError {
    StoreError::Unavailable(format!("another process has written to {log}"))
}
