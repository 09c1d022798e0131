//! The queues of this process, and how many attempts of each may run at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::slots::{QueueKey, Slots};
use crate::engine::EngineConfig;
use crate::job::QueueName;

/// The queues that are known, each with its share of the slots.
pub struct KnownQueues {
    config: Arc<EngineConfig>,
    slots: Arc<Slots>,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// Queues with slots of their own.
    keys: HashMap<QueueName, QueueKey>,
    /// Queues whose concurrency somebody set, whatever the configuration says.
    set: HashMap<QueueName, u32>,
}

impl KnownQueues {
    /// No queue is known yet.
    pub fn new(config: Arc<EngineConfig>, slots: Arc<Slots>) -> KnownQueues {
        KnownQueues { config, slots, table: RwLock::default() }
    }

    /// Whether a queue is known.
    pub fn knows(&self, queue: &QueueName) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.keys.contains_key(queue)
    }

    /// Adds a queue; `None` when it is known already.
    pub fn add(&self, queue: &QueueName) -> Option<QueueKey> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.keys.contains_key(queue) {
            return None;
        }
        let mut config = self.config.of_queue(queue);
        if let Some(set) = table.set.get(queue) {
            config.concurrency = *set as usize;
        }
        let key = self.slots.add(config);
        table.keys.insert(queue.clone(), key);
        Some(key)
    }

    /// Lets so many attempts of a queue run at once from now on; `None` is what the configuration says.
    pub fn set_concurrency(&self, queue: &QueueName, concurrency: Option<u32>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = match concurrency {
            Some(concurrency) => table.set.insert(queue.clone(), concurrency),
            None => table.set.remove(queue),
        };
        if before != concurrency
            && let Some(key) = table.keys.get(queue)
        {
            let limit = concurrency.map_or(self.config.of_queue(queue).concurrency, |n| n as usize);
            self.slots.set_limit(*key, limit);
        }
    }
}
