//! Asks the store which queues it has, and starts dispatchers for the missing ones: queues of earlier and of other processes,
//! and queues whose submitters left before their answer. The answers also bring the concurrency limits that were set at run
//! time, before this process started or by another one. The store is asked at once when another process has changed
//! something, and otherwise at intervals.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::limits::QueueLimits;
use crate::engine::attempts::dispatchers::Dispatchers;
use crate::logging::RetryLog;
use crate::store::{Store, StoreError};
use crate::supervise::{Part, pass};

/// The wait before the store is asked again after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The shortest time between two answers, however often other processes change something: an answer has every queue.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// The loop that finds queues without a dispatcher.
pub struct QueueDiscovery {
    pub store: Arc<dyn Store>,
    pub limits: Arc<QueueLimits>,
    pub dispatchers: Arc<Dispatchers>,
    pub poll_interval: Duration,
    /// Ends the loop.
    pub draining: CancellationToken,
}

impl QueueDiscovery {
    /// Asks the store until the stop begins.
    pub async fn run(self) {
        let changes = self.store.queue_changes();
        let mut retry = RetryLog::new("discovering queues", RETRY_DELAY, RETRY_DELAY);
        loop {
            pass(Part::QueueDiscovery);
            let pause = match self.look().await {
                Ok(()) => {
                    retry.worked();
                    self.poll_interval
                }
                Err(StoreError::Closed) => return,
                Err(error) => retry.failed(&error),
            };
            let changed = async {
                sleep(LEAST_PAUSE).await;
                changes.notified().await;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = changed => {}
                () = self.draining.cancelled() => return,
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let queues = self.limits.restore().await?;
        self.dispatchers.ensure(queues.keys());
        Ok(())
    }
}
