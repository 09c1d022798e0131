//! The queues of this process, and how many attempts of each may run at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::slots::{QueueKey, Slots};
use crate::engine::EngineConfig;
use crate::job::{Concurrency, QueueName};

/// The known queues and their slots.
pub struct KnownQueues {
    config: Arc<EngineConfig>,
    slots: Arc<Slots>,
    table: RwLock<KnownTable>,
}

#[derive(Default)]
struct KnownTable {
    /// The slots of each queue.
    keys: HashMap<QueueName, QueueKey>,
    /// Concurrency limits that were set at run time and override the configuration.
    set: HashMap<QueueName, Concurrency>,
}

impl KnownQueues {
    /// A table without queues.
    pub fn new(config: Arc<EngineConfig>, slots: Arc<Slots>) -> KnownQueues {
        KnownQueues { config, slots, table: RwLock::default() }
    }

    /// Whether a queue is known.
    pub fn knows(&self, queue: &QueueName) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.keys.contains_key(queue)
    }

    /// All queues, by name.
    pub fn all(&self) -> Vec<(QueueName, QueueKey)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = table.keys.iter().map(|(queue, key)| (queue.clone(), *key)).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Adds a queue; returns `None` when it is known already.
    pub fn add(&self, queue: &QueueName) -> Option<QueueKey> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.keys.contains_key(queue) {
            return None;
        }
        let mut config = self.config.of_queue(queue);
        if let Some(set) = table.set.get(queue) {
            config.concurrency = *set;
        }
        let key = self.slots.add(config);
        table.keys.insert(queue.clone(), key);
        Some(key)
    }

    /// How many slots of this process a queue uses, and how many it may use.
    pub fn slots_of(&self, queue: &QueueName) -> (u64, u64) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let used = table.keys.get(queue).map(|key| self.slots.used_by(*key));
        let limit = table.set.get(queue).copied();
        let limit = limit.unwrap_or_else(|| self.config.of_queue(queue).concurrency);
        (used.unwrap_or_default() as u64, limit.get() as u64)
    }

    /// Sets the concurrency limits of these queues, and restores the configured ones of all others.
    pub fn set_all_concurrency(&self, set: BTreeMap<QueueName, Concurrency>) {
        let before = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.set.keys().cloned().collect::<Vec<_>>()
        };
        for queue in before.iter().filter(|queue| !set.contains_key(*queue)) {
            self.set_concurrency(queue, None);
        }
        for (queue, concurrency) in set {
            self.set_concurrency(&queue, Some(concurrency));
        }
    }

    /// Sets the concurrency limit of a queue; `None` restores the configured one.
    pub fn set_concurrency(&self, queue: &QueueName, concurrency: Option<Concurrency>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = match concurrency {
            Some(concurrency) => table.set.insert(queue.clone(), concurrency),
            None => table.set.remove(queue),
        };
        if before != concurrency
            && let Some(key) = table.keys.get(queue)
        {
            let limit = concurrency.unwrap_or(self.config.of_queue(queue).concurrency);
            self.slots.set_limit(*key, limit.get());
        }
    }
}
