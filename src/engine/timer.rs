//! Does what time asks through the store's one `tick`: schedules fire, due jobs become available, leases that ran out
//! are rescued, finished jobs past their retention go.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use super::Inner;
use crate::logging::RetryLog;
use crate::store::{StoreError, Ticked};
use crate::supervise::{Part, pass};

/// The longest sleep: a bound on how late a lost hint can make a due job.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// The shortest sleep after a tick that found nothing to do, whatever it said of the next one.
const MIN_SLEEP: Duration = Duration::from_millis(1);

pub(super) async fn run(inner: Arc<Inner>) {
    let hint = inner.store.wake_timer();
    let mut retry = RetryLog::new("the store's tick", MAX_SLEEP, MAX_SLEEP);
    inner.declare_schedules().await;
    while !inner.stages.end_loops.is_cancelled() {
        pass(Part::Timer);
        let wait = match inner.store.tick().await {
            Ok(ticked) => {
                retry.worked();
                log_tick(&ticked);
                if ticked.fired > 0 {
                    inner.ensure_scheduled_queues().await;
                }
                pause_after(&inner, &ticked)
            }
            Err(StoreError::Closed) => return,
            Err(
                error @ (StoreError::Unavailable(_)
                | StoreError::Corrupt(_)
                | StoreError::Newer { .. }
                | StoreError::Full { .. }
                | StoreError::TooManyQueues { .. }),
            ) => {
                let wait = retry.failed(&error);
                // A hint does not cut this short: the store would be asked in a tight loop.
                tokio::select! {
                    () = inner.stages.end_loops.cancelled() => return,
                    () = sleep(wait) => continue,
                }
            }
        };
        if wait.is_zero() {
            // More is to be done now; others get their turn in between.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = inner.stages.end_loops.cancelled() => return,
            () = hint.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

fn pause_after(inner: &Inner, ticked: &Ticked) -> Duration {
    let Some(next) = ticked.next else { return MAX_SLEEP };
    let wait = next.since(inner.clock.now()).min(MAX_SLEEP);
    let Ticked { fired, skipped, due, rescued, pruned, .. } = ticked;
    let worked = fired + skipped + due + rescued + pruned > 0;
    if worked { wait } else { wait.max(MIN_SLEEP) }
}

fn log_tick(ticked: &Ticked) {
    let Ticked { fired, skipped, due, rescued, pruned, .. } = *ticked;
    if rescued > 0 {
        warn!(rescued, "attempts were lost: their leases ran out");
    }
    if fired + skipped + due + pruned > 0 {
        debug!(fired, skipped, due, pruned, "timer");
    }
}
