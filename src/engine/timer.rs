//! Does what time asks through the store's one `tick`: schedules fire, due jobs become available, leases that ran out
//! are rescued, finished jobs past their retention go.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::attempts::dispatchers::Dispatchers;
use super::submission::declared_schedules::DeclaredSchedules;
use crate::clock::Clock;
use crate::logging::RetryLog;
use crate::store::{Store, StoreError, Ticked};
use crate::supervise::{Part, pass};

/// The longest sleep: a bound on how late a lost hint can make a due job.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// The shortest sleep after a tick that found nothing to do, whatever it said of the next one.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The loop that lets the store do what is due.
pub(super) struct Timer {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub declared: DeclaredSchedules,
    pub dispatchers: Arc<Dispatchers>,
    /// Ends the loop.
    pub end: CancellationToken,
}

impl Timer {
    /// Stores the declared schedules, then ticks until it is told to end.
    pub(super) async fn run(self) {
        let hint = self.store.wake_timer();
        let mut retry = RetryLog::new("the store's tick", MAX_SLEEP, MAX_SLEEP);
        self.declared.store().await;
        self.ensure_dispatchers().await;
        while !self.end.is_cancelled() {
            pass(Part::Timer);
            let wait = match self.store.tick().await {
                Ok(ticked) => {
                    retry.worked();
                    log_tick(&ticked);
                    if ticked.fired > 0 {
                        self.ensure_dispatchers().await;
                    }
                    self.pause_after(&ticked)
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
                        () = self.end.cancelled() => return,
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
                () = self.end.cancelled() => return,
                () = hint.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Sees to it that the queues of all schedules have a dispatcher.
    async fn ensure_dispatchers(&self) {
        // A store that refuses now is asked again by the queue discovery.
        let Ok((schedules, _)) = self.store.schedules().await else { return };
        self.dispatchers.ensure(schedules.iter().map(|schedule| &schedule.spec.labels.queue));
    }

    fn pause_after(&self, ticked: &Ticked) -> Duration {
        let Some(next) = ticked.next else { return MAX_SLEEP };
        let wait = next.since(self.clock.now()).min(MAX_SLEEP);
        let Ticked { fired, skipped, due, rescued, pruned, .. } = ticked;
        let worked = fired + skipped + due + rescued + pruned > 0;
        if worked { wait } else { wait.max(MIN_SLEEP) }
    }
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
