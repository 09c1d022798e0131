//! The loop that submits the demo's jobs, at a pace that any machine can follow.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::orders::{self, Fate, TENANT_IMAGES};
use crate::engine::{
    ControlError, Engine, EnqueueError, JobActionError, Stats, StoreError, SubmitError,
};
use crate::job::{Invalid, JobId, State};
use crate::supervise::{Part, pass};

/// The interval between two steps.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the demo waits after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How many steps happen at the start without pauses.
pub(super) const FIRST_STEPS: u64 = 24;
/// The number of waiting jobs, from any source, at which the demo pauses.
const MAX_WAITING: u64 = 500;
/// The number of waiting images of the busy tenant at which it imports no more.
const MAX_IMPORTED: u64 = 60;
/// How long a job runs before the demo cancels it.
const CANCEL_AFTER: Duration = Duration::from_secs(3);

/// Submits sample jobs until the server drains. Must be spawned on the shutdown's tracker.
pub async fn feed(engine: Engine) {
    let draining = engine.shutdown().draining.clone();
    info!("submitting sample jobs with the tag \"demo\"");
    // A repeated failure is logged once.
    let mut refused = String::new();
    loop {
        pass(Part::Demo);
        let ended = tokio::select! {
            () = draining.cancelled() => return,
            ended = submit_jobs(&engine) => ended,
        };
        match ended {
            Ok(never) => match never {},
            Err(error) if error.is_closed() => return,
            Err(error) => {
                let reason = error.to_string();
                if reason != refused {
                    warn!(%error, "submitting demo jobs failed, retrying");
                }
                refused = reason;
            }
        }
        tokio::select! {
            () = draining.cancelled() => return,
            () = sleep(RETRY_DELAY) => {}
        }
    }
}

/// Why the demo cannot continue.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Stats(#[from] StoreError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Cancel(#[from] ControlError),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl DemoError {
    /// Whether the store is closed, because the server is stopping.
    fn is_closed(&self) -> bool {
        matches!(
            self,
            DemoError::Stats(StoreError::Closed)
                | DemoError::Submit(SubmitError::Enqueue(EnqueueError::Store(StoreError::Closed)))
                | DemoError::Cancel(ControlError::Store(StoreError::Closed))
        )
    }
}

/// Jobs to cancel and when, oldest first.
type ToCancel = VecDeque<(Instant, JobId)>;

async fn submit_jobs(engine: &Engine) -> Result<std::convert::Infallible, DemoError> {
    let mut to_cancel = ToCancel::new();
    let mut next = 0;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        pass(Part::Demo);
        let stats = engine.stats().await?;
        if waiting(&stats) <= MAX_WAITING {
            let until = if next < FIRST_STEPS { FIRST_STEPS } else { next + 1 };
            let mut batch = Vec::new();
            for step in next..until {
                if orders::has_import(step) && imported(&stats) > MAX_IMPORTED {
                    continue;
                }
                for planned in orders::step(step)? {
                    if planned.fate == Fate::Cancelled {
                        to_cancel.push_back((Instant::now() + CANCEL_AFTER, planned.job.id));
                    }
                    batch.push(planned.job);
                }
            }
            next = until;
            match engine.enqueue(batch).await {
                // Other clients filled the backlog meanwhile; the next round tries again.
                Ok(_) | Err(SubmitError::Enqueue(EnqueueError::Full { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(&(at, id)) = to_cancel.front()
            && at <= Instant::now()
        {
            to_cancel.pop_front();
            match engine.cancel(id).await {
                // The job has finished or was deleted, so there is nothing to cancel.
                Ok(_) | Err(JobActionError::Job(_)) => {}
                Err(JobActionError::Control(error)) => return Err(error.into()),
            }
        }
    }
}

fn waiting(stats: &Stats) -> u64 {
    stats.states.iter().filter(|(state, _)| state.is_waiting()).map(|(_, count)| count).sum()
}

/// How many images of the busy tenant are waiting.
pub(super) fn imported(stats: &Stats) -> u64 {
    let queue = stats.queues.get(TENANT_IMAGES);
    queue.and_then(|queue| queue.states.get(&State::Available)).copied().unwrap_or(0)
}
