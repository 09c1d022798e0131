//! The dispatcher of a queue: takes free slots, claims as many jobs, and starts an attempt for each of them.
//! It keeps claiming while it gets full batches; then it waits to be woken. Slots that become free while a claim waits for
//! the store do not wait for its answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::executor::Executor;
use super::leases::Leases;
use crate::engine::queues::slots::{Permits, QueueKey, Slots};
use crate::job::{JobId, Kind, QueueName, WorkerName};
use crate::logging::RetryLog;
use crate::store::{Claim, Claimed, Lease, Store, StoreError, WorkerPlace};
use crate::supervise::{Part, pass};

/// The most jobs in one claim: enough for about a hundred thousand jobs a second although a claim may wait for a disk
/// sync, and few enough that starting them does not block a thread for long.
const MAX_CLAIM: usize = 1_024;
/// How many claims may wait for the store at a time. More would be many small ones instead of few large ones.
const MAX_CLAIMS: usize = 4;
/// The first and the longest wait between two attempts to claim while the store fails.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whether the queue may have more jobs.
enum Remaining {
    /// The claim was filled, so there may be more.
    Perhaps,
    /// The queue gives no more jobs for now. When a rate limit holds them back, it may give more after this time.
    Nothing { retry_in: Option<Duration> },
}

/// Why nothing is claimed.
#[derive(Clone, Copy)]
enum Pause {
    /// There may be no jobs, until a wake-up or this time.
    UntilWoken(Instant),
    /// The store fails, and is tried again at this time.
    Outage(Instant),
}

impl Pause {
    fn end(self) -> Instant {
        match self {
            Pause::UntilWoken(end) | Pause::Outage(end) => end,
        }
    }
}

/// The dispatcher of a queue. Each queue gets a clone.
#[derive(Clone)]
pub struct Dispatcher {
    pub store: Arc<dyn Store>,
    pub slots: Arc<Slots>,
    pub leases: Arc<Leases>,
    pub executor: Arc<Executor>,
    /// Cancelled once the stored settings of queues apply. Nothing is claimed before that.
    pub restored: CancellationToken,
    /// Cancelled once the server is not paused. Nothing is claimed before that, either.
    pub resumed: CancellationToken,
    /// Ends the loop.
    pub draining: CancellationToken,
    /// The kinds that this process has handlers for. No others are claimed.
    pub kinds: Arc<BTreeSet<Kind>>,
    /// The name under which leases are taken, and how long they last.
    pub worker: WorkerName,
    pub lease_ttl: Duration,
    /// How long to wait for a wake-up before asking the store anyway.
    pub poll_interval: Duration,
}

impl Dispatcher {
    /// Claims and starts jobs of a queue until the stop begins. `wake` is notified when the queue may have work.
    pub async fn run(self, queue: QueueName, key: QueueKey, wake: Arc<Notify>) {
        let draining = &self.draining;
        for ready in [&self.restored, &self.resumed] {
            tokio::select! {
                () = draining.cancelled() => return,
                () = ready.cancelled() => {}
            }
        }
        let mut retry =
            RetryLog::new("claiming jobs", RETRY_DELAYS.0, RETRY_DELAYS.1).of_queue(&queue);
        // Their answers are taken in order, so that the newest one says whether there are more jobs.
        let mut claims = FuturesOrdered::new();
        // Until when nothing is claimed, unless the queue is woken; `None` while the queue may have more jobs.
        let mut pause: Option<Pause> = None;
        loop {
            pass(Part::Dispatcher);
            let claimed = tokio::select! {
                biased;
                // What was claimed meanwhile is given back.
                () = draining.cancelled() => {
                    while claims.next().await.is_some() {}
                    return;
                }
                Some(claimed) = claims.next(), if !claims.is_empty() => claimed,
                permits = self.slots.acquire(key, MAX_CLAIM),
                    if pause.is_none() && claims.len() < MAX_CLAIMS =>
                {
                    claims.push_back(self.claim_and_start(&queue, permits, |_| {}));
                    continue;
                }
                () = wake.notified(), if matches!(pause, Some(Pause::UntilWoken(_))) => {
                    pause = None;
                    continue;
                }
                () = sleep_until(pause.map_or_else(Instant::now, Pause::end)), if pause.is_some() => {
                    pause = None;
                    continue;
                }
            };
            pause = match claimed {
                Ok(remaining) => {
                    retry.worked();
                    match remaining {
                        Remaining::Perhaps => {
                            pause = None;
                            continue;
                        }
                        Remaining::Nothing { retry_in } => {
                            let wait = retry_in.unwrap_or(Duration::MAX).min(self.poll_interval);
                            Some(Pause::UntilWoken(Instant::now() + wait))
                        }
                    }
                }
                Err(StoreError::Closed) => return,
                // Claims that were waiting together fail together, which is one failure.
                Err(_) if matches!(pause, Some(Pause::Outage(_))) => continue,
                Err(
                    error @ (StoreError::Unavailable(_)
                    | StoreError::Corrupt(_)
                    | StoreError::Newer { .. }
                    | StoreError::Replaced(_)),
                ) => Some(Pause::Outage(Instant::now() + retry.failed(&error))),
            };
            self.slots.set_idle(key);
        }
    }

    /// Claims and starts up to `max` jobs of a queue that has slots for them, and adds their ids. For a server that is
    /// paused, whose dispatchers do nothing.
    pub async fn start_jobs(
        &self,
        queue: &QueueName,
        key: QueueKey,
        max: usize,
        started: &mut Vec<JobId>,
    ) -> Result<(), StoreError> {
        self.restored.cancelled().await;
        let Some(permits) = self.slots.acquire(key, max).now_or_never() else { return Ok(()) };
        self.claim_and_start(queue, permits, |id| started.push(id)).await?;
        Ok(())
    }

    async fn claim_and_start(
        &self,
        queue: &QueueName,
        mut permits: Permits,
        mut started: impl FnMut(JobId),
    ) -> Result<Remaining, StoreError> {
        let max = permits.count();
        let asked = std::time::Instant::now();
        let claim = Claim {
            queues: vec![queue.clone()],
            kinds: self.kinds.clone(),
            max,
            worker: self.worker.clone(),
            place: WorkerPlace::InProcess,
            ttl: self.lease_ttl,
        };
        let Claimed { leases, retry_in } = self.store.claim(claim).await?;
        let remaining =
            if leases.len() < max { Remaining::Nothing { retry_in } } else { Remaining::Perhaps };
        let attempts = self.leases.insert(&leases, asked);
        for (Lease { job, .. }, running) in leases.into_iter().zip(attempts) {
            let Some(slot) = permits.take() else {
                error!(%queue, job.id = %job.id, "the store returned more leases than were requested");
                break;
            };
            if self.draining.is_cancelled() {
                self.executor.give_back(running, slot);
            } else {
                started(job.id);
                self.executor.start(job, running, slot);
            }
        }
        Ok(remaining)
    }
}
