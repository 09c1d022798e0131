//! The rate limits of queues and their recent starts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::rate::RateWindow;
use crate::engine::EngineConfig;
use crate::job::{QueueName, RateRule};

/// The rate windows of all queues that have a limit.
pub struct QueueRates {
    config: Arc<EngineConfig>,
    windows: Mutex<HashMap<QueueName, RateWindow>>,
    /// Wakes dispatchers that wait for their rate limit when a limit changes.
    changed: Notify,
}

impl QueueRates {
    /// The configured limits, without any starts.
    pub fn new(config: Arc<EngineConfig>) -> QueueRates {
        let limited = config
            .queues
            .iter()
            .filter_map(|(queue, own)| Some((queue.clone(), RateWindow::new(own.rate_limit?))));
        let windows = Mutex::new(limited.collect());
        QueueRates { config, windows, changed: Notify::new() }
    }

    /// Accesses the rate window of a queue; `None` when it has no limit.
    pub fn of<T>(&self, queue: &QueueName, look: impl FnOnce(&mut RateWindow) -> T) -> Option<T> {
        self.windows().get_mut(queue).map(look)
    }

    /// The longest window of all queues; `None` when no queue has a limit.
    pub fn longest(&self) -> Option<Duration> {
        self.windows().values().map(|window| window.limit.within).max()
    }

    /// Sets the rate limit of a queue; `None` restores the configured one.
    pub fn set(&self, queue: &QueueName, rule: Option<RateRule>) {
        let configured = self.config.of_queue(queue).rate_limit;
        match rule.map_or(configured, RateRule::limit) {
            Some(limit) => {
                let mut windows = self.windows();
                windows.entry(queue.clone()).or_insert_with(|| RateWindow::new(limit)).set(limit);
            }
            None => drop(self.windows().remove(queue)),
        }
        self.changed.notify_waiters();
    }

    /// Resolves when a limit changes after this call.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<QueueName, RateWindow>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
