//! Starts the engine's loops, and a dispatcher for every queue: those configured, those the store
//! knows, and each new one from its first job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::rate::Pace;
use super::slots::QueueKey;
use crate::engine::attempts::dispatcher;
use crate::engine::{EngineConfig, Inner};
use crate::job::{QueueName, RateRule};
use crate::logging::RetryLog;
use crate::store::StoreError;
use crate::supervise::{Part, pass};

/// The wait before the store is asked again for its queues when it refused.
const PAUSE: Duration = Duration::from_secs(1);

/// Which queues have a dispatcher.
pub struct Queues {
    known: RwLock<Known>,
    /// What the store remembers of queues is in force: only now somebody may claim.
    pub ready: CancellationToken,
    /// Held while somebody sets a limit.
    pub setting: tokio::sync::Mutex<()>,
    /// Of the queues that may not start as often as they can.
    paces: Mutex<HashMap<QueueName, Pace>>,
    /// Tells dispatchers that wait for their rate that it is another one.
    pub rates: Notify,
}

#[derive(Default)]
struct Known {
    /// Queues with a dispatcher.
    keys: HashMap<QueueName, QueueKey>,
    /// Queues whose concurrency somebody set, whatever the configuration says.
    set: HashMap<QueueName, u32>,
}

impl Queues {
    /// None has a dispatcher yet.
    pub fn new(config: &EngineConfig) -> Queues {
        let limited = config
            .queues
            .iter()
            .filter_map(|(queue, own)| Some((queue.clone(), Pace::new(own.rate_limit?))));
        Queues {
            known: RwLock::default(),
            ready: CancellationToken::new(),
            setting: tokio::sync::Mutex::default(),
            paces: Mutex::new(limited.collect()),
            rates: Notify::new(),
        }
    }

    /// Looks at what a queue has started lately; `None` when it has no limit.
    pub fn pace<T>(&self, queue: &QueueName, look: impl FnOnce(&mut Pace) -> T) -> Option<T> {
        self.paces().get_mut(queue).map(look)
    }

    /// How far back the rate that reaches back most does; `None` when no queue has one.
    pub fn longest_rate(&self) -> Option<Duration> {
        self.paces().values().map(|pace| pace.limit.within).max()
    }

    fn paces(&self) -> MutexGuard<'_, HashMap<QueueName, Pace>> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sees to it that each queue has a dispatcher.
    pub fn ensure_queues<'a>(self: &Arc<Self>, queues: impl Iterator<Item = &'a QueueName>) {
        let mut last = None;
        for queue in queues {
            // A batch is mostly of one queue.
            if last.replace(queue) != Some(queue) && !self.knows(queue) {
                self.start_queue(queue);
            }
        }
    }

    fn knows(&self, queue: &QueueName) -> bool {
        let known = self.queues.known.read().unwrap_or_else(PoisonError::into_inner);
        known.keys.contains_key(queue)
    }

    /// Lets so many attempts of a queue run at once from now on; `None` is what the configuration says.
    pub fn set_concurrency(&self, queue: &QueueName, concurrency: Option<u32>) {
        let mut known = self.queues.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = match concurrency {
            Some(concurrency) => known.set.insert(queue.clone(), concurrency),
            None => known.set.remove(queue),
        };
        if before != concurrency
            && let Some(key) = known.keys.get(queue)
        {
            let limit = concurrency.map_or(self.config.of_queue(queue).concurrency, |n| n as usize);
            self.slots.set_limit(*key, limit);
        }
    }

    /// Lets attempts of a queue begin so often from now on; `None` is what the configuration says.
    pub fn set_rate_limit(&self, queue: &QueueName, rule: Option<RateRule>) {
        let configured = self.config.of_queue(queue).rate_limit;
        match rule.map_or(configured, RateRule::limit) {
            Some(limit) => {
                let mut paces = self.queues.paces();
                paces.entry(queue.clone()).or_insert_with(|| Pace::new(limit)).set(limit);
            }
            None => drop(self.queues.paces().remove(queue)),
        }
        self.queues.rates.notify_waiters();
    }

    fn start_queue(self: &Arc<Self>, queue: &QueueName) {
        let draining = &self.shutdown.draining;
        if draining.is_cancelled() {
            return; // the job waits for the next start
        }
        let mut known = self.queues.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.keys.contains_key(queue) {
            return;
        }
        let mut config = self.config.of_queue(queue);
        if let Some(set) = known.set.get(queue) {
            config.concurrency = *set as usize;
        }
        let key = self.slots.add(config);
        known.keys.insert(queue.clone(), key);
        let body = dispatcher::run(self.clone(), queue.clone(), key);
        let body = self.supervise(Part::Dispatcher, draining, body);
        self.shutdown.tasks.spawn(self.dispatchers.track_future(body));
    }
}

/// Asks the store now and then which queues it knows: those of earlier runs, and any whose submitter
/// went away before its answer.
pub async fn census(inner: Arc<Inner>) {
    let mut retry = RetryLog::new("reading the queues", PAUSE, PAUSE);
    loop {
        pass(Part::Census);
        let pause = match look(&inner).await {
            Ok(()) => {
                retry.worked();
                inner.config.poll_interval
            }
            Err(StoreError::Closed) => return,
            Err(error) => retry.failed(&error),
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = inner.shutdown.draining.cancelled() => return,
        }
    }
}

async fn look(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let stats = inner.store.stats().await?;
    if !inner.queues.ready.is_cancelled() {
        for (queue, stats) in &stats.queues {
            inner.set_concurrency(queue, stats.concurrency);
            inner.set_rate_limit(queue, stats.rate_limit);
        }
        inner.recall_starts(stats.oldest).await?;
        inner.queues.ready.cancel();
    }
    inner.ensure_queues(stats.queues.keys());
    Ok(())
}
