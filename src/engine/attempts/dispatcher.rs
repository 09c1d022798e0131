//! One loop per queue: takes free slots, claims that many jobs, starts an executor for each.
//! While full batches come it claims on; else it waits for a wake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::executor::Executor;
use super::leases::Leases;
use crate::engine::queues::rates::QueueRates;
use crate::engine::queues::slots::{Permits, QueueKey, Slots};
use crate::job::{QueueName, WorkerName};
use crate::logging::RetryLog;
use crate::store::{Claim, Lease, Store, StoreError};
use crate::supervise::{Part, pass};

/// Jobs claimed at once: big enough that a claim which waits for one disk sync still allows some
/// hundred thousand jobs a second, small enough that starting them does not hold a thread for long.
const BATCH: usize = 1_024;
/// The first and the longest wait between two tries while the store refuses.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whether there may be more.
enum Claimed {
    /// As many as asked for.
    All,
    /// Fewer: the queue has no more for now.
    Some,
}

/// What the dispatcher of a queue uses; each queue has a clone.
#[derive(Clone)]
pub struct Dispatcher {
    pub store: Arc<dyn Store>,
    pub slots: Arc<Slots>,
    pub rates: Arc<QueueRates>,
    pub leases: Arc<Leases>,
    pub executor: Arc<Executor>,
    /// Is cancelled once the stored settings of queues are in force: nothing is claimed before.
    pub restored: CancellationToken,
    /// Ends the loop.
    pub draining: CancellationToken,
    /// The name under which leases are taken, and how long they last.
    pub worker: WorkerName,
    pub lease_ttl: Duration,
    /// How long to wait for a wake before the store is asked all the same.
    pub poll_interval: Duration,
}

impl Dispatcher {
    /// Claims and starts jobs of a queue until the stop begins.
    pub async fn run(self, queue: QueueName, key: QueueKey) {
        let draining = &self.draining;
        tokio::select! {
            () = draining.cancelled() => return,
            () = self.restored.cancelled() => {}
        }
        let wake = self.store.wake(&queue);
        let mut retry = RetryLog::new("claiming jobs", RETRY.0, RETRY.1).of_queue(&queue);
        while !draining.is_cancelled() {
            pass(Part::Dispatcher);
            let permits = tokio::select! {
                biased;
                () = draining.cancelled() => return,
                permits = self.may_start(&queue, key) => permits,
            };
            let pause = match self.claim_and_start(&queue, permits).await {
                Ok(claimed) => {
                    retry.worked();
                    match claimed {
                        Claimed::All => continue,
                        Claimed::Some => None,
                    }
                }
                Err(StoreError::Closed) => return,
                Err(
                    error @ (StoreError::Unavailable(_)
                    | StoreError::Corrupt(_)
                    | StoreError::Newer { .. }
                    | StoreError::Full { .. }
                    | StoreError::TooManyQueues { .. }),
                ) => Some(retry.failed(&error)),
            };
            self.slots.set_idle(key);
            match pause {
                None => tokio::select! {
                    () = draining.cancelled() => return,
                    () = wake.notified() => {}
                    () = sleep(self.poll_interval) => {}
                },
                // A refusal may outlast the cause of this wait: the stop does not wait for it.
                Some(pause) => {
                    let stopped = timeout(pause, draining.cancelled()).await.is_ok();
                    if stopped {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until attempts may start: until the queue's rate allows one, and a slot is free.
    async fn may_start(&self, queue: &QueueName, key: QueueKey) -> Permits {
        loop {
            let another = self.rates.changed();
            let room = self.rates.of(queue, |window| window.room(tokio::time::Instant::now()));
            match room.unwrap_or(Ok(BATCH)) {
                Ok(room) => return self.slots.acquire(key, room.min(BATCH)).await,
                Err(next) => {
                    self.slots.set_idle(key);
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = another => {}
                    }
                }
            }
        }
    }

    async fn claim_and_start(
        &self,
        queue: &QueueName,
        mut permits: Permits,
    ) -> Result<Claimed, StoreError> {
        let max = permits.count();
        let asked = Instant::now();
        let (worker, ttl) = (self.worker.clone(), self.lease_ttl);
        let leases = self.store.claim(Claim { queue: queue.clone(), max, worker, ttl }).await?;
        let claimed = if leases.len() < max { Claimed::Some } else { Claimed::All };
        self.rates.of(queue, |window| window.spend(tokio::time::Instant::now(), leases.len()));
        let attempts = self.leases.insert(&leases, asked);
        for (Lease { job, .. }, running) in leases.into_iter().zip(attempts) {
            let Some(slot) = permits.take() else {
                error!(%queue, job.id = %job.id, "the store leased more than was asked for");
                break;
            };
            if self.draining.is_cancelled() {
                self.executor.give_back(running, slot);
            } else {
                self.executor.start(job, running, slot);
            }
        }
        Ok(claimed)
    }
}
