//! Stores what was counted over time. These rows have no event.

use super::group::CommitGroup;
use crate::store::StoreError;
use crate::store::log_store::journal::history_rows::{self, HistoryWrites};
use crate::store::log_store::journal::nodes::{ChangedRows, NodeNote};

impl CommitGroup<'_> {
    /// Writes the rows, unless others have been stored that have counted as far. Returns whether it did.
    ///
    /// The progress is read from the log as it is now. On a shared log, another node may have stored its own after the
    /// chunks that this one has read; then this group is lost and applied again.
    pub fn put_history(&mut self, new: HistoryWrites) -> Result<bool, StoreError> {
        let stored = history_rows::progress(&*self.core.shared.log)?;
        if !new.progress.may_follow(stored.as_ref()) {
            return Ok(false);
        }
        self.writes.put(history_rows::PROGRESS, new.sealed);
        for (key, len) in new.removed {
            self.writes.remove(key, len);
        }
        for (key, value) in new.rows {
            self.writes.put(key, value);
        }
        // A batch on a shared log has a chunk, which decides who was first.
        self.note(NodeNote::Rows(ChangedRows::default()))?;
        Ok(true)
    }
}
