//! Asks the store regularly which queues it has, and starts dispatchers for the missing ones: queues of earlier
//! processes, and queues whose submitters left before their answer. The first answer also brings the stored settings
//! of queues.

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
            tokio::select! {
                () = sleep(pause) => {}
                () = self.draining.cancelled() => return,
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let stats = self.store.stats().await?;
        if !self.limits.restored.is_cancelled() {
            self.limits.restore(&stats.queues);
            self.limits.restored.cancel();
        }
        self.dispatchers.ensure(stats.queues.keys());
        Ok(())
    }
}
