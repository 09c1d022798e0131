//! One loop per queue: takes free slots, claims that many jobs, starts an executor for each.
//! While full batches come it claims on; else it waits for a wake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until, timeout};
use tracing::error;

use crate::engine::Inner;
use crate::engine::queues::slots::{Permits, QueueKey};
use crate::job::QueueName;
use crate::logging::RetryLog;
use crate::store::{Claim, Lease, StoreError};
use crate::supervise::{Part, pass};

/// Jobs claimed at once: big enough that a claim which waits for one disk sync still allows some
/// hundred thousand jobs a second, small enough that starting them does not hold a thread for long.
const BATCH: usize = 1_024;
/// The first and the longest wait between two tries while the store refuses.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub async fn run(inner: Arc<Inner>, queue: QueueName, key: QueueKey) {
    let draining = inner.shutdown.draining.clone();
    tokio::select! {
        () = draining.cancelled() => return,
        () = inner.queues.ready.cancelled() => {}
    }
    let wake = inner.store.wake(&queue);
    let mut retry = RetryLog::new("claiming jobs", RETRY.0, RETRY.1).of_queue(&queue);
    while !draining.is_cancelled() {
        pass(Part::Dispatcher);
        let permits = tokio::select! {
            biased;
            () = draining.cancelled() => return,
            permits = may_start(&inner, &queue, key) => permits,
        };
        let pause = match claim_and_start(&inner, &queue, permits).await {
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
        inner.slots.rest(key);
        match pause {
            None => tokio::select! {
                () = draining.cancelled() => return,
                () = wake.notified() => {}
                () = sleep(inner.config.poll_interval) => {}
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
async fn may_start(inner: &Inner, queue: &QueueName, key: QueueKey) -> Permits {
    loop {
        let another = inner.queues.rates.notified();
        let room = inner.queues.pace(queue, |pace| pace.room(tokio::time::Instant::now()));
        match room.unwrap_or(Ok(BATCH)) {
            Ok(room) => return inner.slots.acquire(key, room.min(BATCH)).await,
            Err(next) => {
                inner.slots.rest(key);
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = another => {}
                }
            }
        }
    }
}

/// Whether there may be more.
enum Claimed {
    /// As many as asked for.
    All,
    /// Fewer: the queue has no more for now.
    Some,
}

async fn claim_and_start(
    inner: &Arc<Inner>,
    queue: &QueueName,
    mut permits: Permits,
) -> Result<Claimed, StoreError> {
    let max = permits.count();
    let asked = Instant::now();
    let (worker, ttl) = (inner.config.worker.clone(), inner.config.lease_ttl);
    let leases = inner.store.claim(Claim { queue: queue.clone(), max, worker, ttl }).await?;
    let claimed = if leases.len() < max { Claimed::Some } else { Claimed::All };
    inner.queues.pace(queue, |pace| pace.spend(tokio::time::Instant::now(), leases.len()));
    let attempts = inner.leases.insert(&leases, asked);
    for (Lease { job, .. }, running) in leases.into_iter().zip(attempts) {
        let Some(slot) = permits.take() else {
            error!(%queue, job.id = %job.id, "the store leased more than was asked for");
            break;
        };
        if inner.shutdown.draining.is_cancelled() {
            inner.executor.give_back(running, slot);
        } else {
            inner.executor.start(job, running, slot);
        }
    }
    Ok(claimed)
}
