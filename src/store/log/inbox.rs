//! The inbox beside a log: a table to which programs submit jobs in transactions of their own.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::store::StoreError;
use crate::store::inbox::{InboxFigures, InboxRow, NotEnqueued};

/// An inbox. A batch that enqueues jobs from it says so with [`WriteBatch::take`](super::WriteBatch::take).
pub trait LogInbox: Send + Sync {
    /// Notified (`notify_one`) when something was submitted. A notification may be lost.
    fn arrivals(&self) -> Arc<Notify>;

    /// Tells submitters how long a payload may be.
    fn set_max_payload(&self, bytes: usize) -> Result<(), StoreError>;

    /// The oldest submissions, by their ids, as far as this node should enqueue them now: those of these kinds, and those
    /// that no node has taken although they have been there for long. Their number and their size are bounded.
    fn read(&self, node: u64, kinds: Vec<String>) -> Result<Vec<InboxRow>, StoreError>;

    /// How much waits.
    fn figures(&self) -> Result<InboxFigures, StoreError>;

    /// Moves submissions that make no job out of the inbox. One that is no longer there is left out.
    fn dismiss(&self, rows: Vec<NotEnqueued>) -> Result<(), StoreError>;
}
