//! The limits of queues and the retention that are in force. On a shared log they are those of the node that was started
//! last, so that nodes whose configurations disagree do the same.

use std::sync::Arc;

use super::core::Core;
use super::shared::Shared;
use crate::store::log_store::journal::limits_row;
use crate::store::{SharedLimits, StoreError};

/// The limits that the node which was started last has stored, or else those of this process.
pub fn read(shared: &Shared) -> Result<Arc<SharedLimits>, StoreError> {
    let stored = if shared.log.is_shared() { limits_row::read(&*shared.log)? } else { None };
    Ok(Arc::new(stored.unwrap_or_else(|| shared.limits.shared())))
}

impl Core {
    /// Reads the limits again, because another node may have stored its own.
    pub fn read_limits_again(&mut self) -> Result<(), StoreError> {
        let limits = read(&self.shared)?;
        self.put_in_force(limits);
        Ok(())
    }

    /// Changes the limits of queues and the retention. Starts that were counted for a rate limit still count.
    pub fn put_in_force(&mut self, limits: Arc<SharedLimits>) {
        if limits == self.limits_in_force {
            return;
        }
        for number in 0..self.index.sets.queues.len() {
            let queue = self.index.queue_mut(number as u32);
            queue.limits.configure(limits.queues.get(&queue.name));
            queue.set(queue.settings);
            queue.wake.notify_one(); // more may run now
        }
        self.limits_in_force = limits;
    }
}
