//! The limits of queues that are set at run time. The store enforces them over all workers; a concurrency limit also
//! sets the slots of this process, after it was stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::known::KnownQueues;
use crate::job::{Actor, Concurrency, QueueChange, QueueName, RateRule};
use crate::store::{Control, ControlError, QueueStats, Store, StoreError};

/// Sets the concurrency and rate limits of queues.
pub struct QueueLimits {
    pub store: Arc<dyn Store>,
    pub queues: Arc<KnownQueues>,
    /// Cancelled once the stored limits apply.
    pub restored: CancellationToken,
    /// Cancelled when the stop begins: claims have ended, so no change needs to wait for the stored limits.
    pub draining: CancellationToken,
    /// Serialises changes, so that the limit that applies is the one that was stored last.
    pub change_lock: Mutex<()>,
}

impl QueueLimits {
    /// Applies the stored limits to the slots of this process. Returns all queues.
    pub async fn restore(&self) -> Result<BTreeMap<QueueName, QueueStats>, StoreError> {
        let _changing = self.change_lock.lock().await;
        let queues = self.store.stats().await?.queues;
        let set = queues
            .iter()
            .filter_map(|(queue, stats)| Some((queue.clone(), stats.settings.concurrency?)));
        self.queues.set_all_concurrency(set.collect());
        self.restored.cancel();
        Ok(queues)
    }

    /// Stores the concurrency limit of a queue and applies it; `None` restores the configured one.
    pub async fn set_concurrency(
        &self,
        queue: QueueName,
        concurrency: Option<Concurrency>,
        by: Option<Actor>,
    ) -> Result<(), ControlError> {
        let _changing = self.lock_changes().await;
        let change = QueueChange::ConcurrencySet { concurrency };
        self.store.control(Control::SetQueue(queue.clone(), change), by).await?;
        self.queues.set_concurrency(&queue, concurrency);
        Ok(())
    }

    /// Stores the rate limit of a queue, which the store enforces; `None` restores the configured one.
    pub async fn set_rate_limit(
        &self,
        queue: QueueName,
        rule: Option<RateRule>,
        by: Option<Actor>,
    ) -> Result<(), ControlError> {
        let change = QueueChange::RateLimitSet { rate_limit: rule };
        self.store.control(Control::SetQueue(queue, change), by).await.map(drop)
    }

    /// Waits until the stored limits apply, and for other changes.
    async fn lock_changes(&self) -> MutexGuard<'_, ()> {
        tokio::select! {
            () = self.restored.cancelled() => {}
            () = self.draining.cancelled() => {}
        }
        self.change_lock.lock().await
    }
}
