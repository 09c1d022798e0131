//! The limits of queues that somebody sets at run time: stored first, then put in force here.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::known::KnownQueues;
use super::rates::QueueRates;
use crate::job::{QueueName, RateRule};
use crate::store::{Control, QueueStats, Store, StoreError};

/// Sets the concurrency and the rate of queues.
pub struct QueueSettings {
    pub store: Arc<dyn Store>,
    pub queues: Arc<KnownQueues>,
    pub rates: Arc<QueueRates>,
    /// Is cancelled once the stored settings are in force.
    pub restored: CancellationToken,
    /// Nothing is claimed any more, so nobody waits for stored settings.
    pub draining: CancellationToken,
    /// Held while somebody sets a limit, so that the one in force is the one that was stored last.
    pub turn: Mutex<()>,
}

impl QueueSettings {
    /// Puts what is stored in force.
    pub fn restore(&self, stored: &BTreeMap<QueueName, QueueStats>) {
        for (queue, stats) in stored {
            self.queues.set_concurrency(queue, stats.concurrency);
            self.rates.set(queue, stats.rate_limit);
        }
    }

    /// Lets so many attempts of a queue run at once from now on; `None` is what the configuration says.
    pub async fn set_concurrency(
        &self,
        queue: QueueName,
        concurrency: Option<u32>,
    ) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.control(Control::SetConcurrency(queue.clone(), concurrency)).await?;
        self.queues.set_concurrency(&queue, concurrency);
        Ok(())
    }

    /// Lets attempts of a queue begin so often from now on; `None` is what the configuration says.
    pub async fn set_rate_limit(
        &self,
        queue: QueueName,
        rule: Option<RateRule>,
    ) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.control(Control::SetRateLimit(queue.clone(), rule)).await?;
        self.rates.set(&queue, rule);
        Ok(())
    }

    async fn turn(&self) -> MutexGuard<'_, ()> {
        tokio::select! {
            () = self.restored.cancelled() => {}
            () = self.draining.cancelled() => {}
        }
        self.turn.lock().await
    }
}
