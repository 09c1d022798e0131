//! Calls the store's `tick`, which does everything that is due: it fires schedules, makes due jobs available, rescues
//! attempts whose leases have expired, and removes finished jobs after their retention.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::attempts::dispatchers::Dispatchers;
use super::schedule_warnings::ScheduleWarnings;
use super::submission::declared_schedules::DeclaredSchedules;
use crate::clock::{Clock, ClockJump};
use crate::logging::RetryLog;
use crate::store::{Store, StoreError, Ticked};
use crate::supervise::{Part, pass};

/// The longest sleep. It bounds the delay of a due job when a wake-up is lost.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// The shortest sleep after a tick that found nothing to do.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The loop that ticks the store.
pub(super) struct Timer {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub declared: DeclaredSchedules,
    pub dispatchers: Arc<Dispatchers>,
    /// Cancelled once the server is not paused. Nothing is due before that, and declared schedules are not stored.
    pub resumed: CancellationToken,
    /// Ends the loop.
    pub end: CancellationToken,
}

impl Timer {
    /// Stores the declared schedules, then ticks until `end` is cancelled.
    pub(super) async fn run(self) {
        let hint = self.store.wake_timer();
        let mut retry = RetryLog::new("store tick", MAX_SLEEP, MAX_SLEEP);
        tokio::select! {
            () = self.end.cancelled() => return,
            () = self.resumed.cancelled() => {}
        }
        self.declared.store().await;
        self.ensure_dispatchers().await;
        let mut warnings = ScheduleWarnings::default();
        while !self.end.is_cancelled() {
            pass(Part::Timer);
            let wait = match self.store.tick().await {
                Ok(ticked) => {
                    retry.worked();
                    log_tick(&ticked);
                    warnings.check(&*self.store).await;
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
                    | StoreError::Replaced(_)),
                ) => {
                    let wait = retry.failed(&error);
                    // A wake-up does not shorten this wait: the store would be asked in a tight loop.
                    tokio::select! {
                        () = self.end.cancelled() => return,
                        () = sleep(wait) => continue,
                    }
                }
            };
            if wait.is_zero() {
                // There is more to do now; other tasks run in between.
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

    /// Makes sure that the queues of all schedules have a dispatcher.
    async fn ensure_dispatchers(&self) {
        // If the store cannot answer now, the queue discovery asks it again.
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
    let Ticked { fired, skipped, due, rescued, pruned, clock_jump, .. } = *ticked;
    match clock_jump {
        Some(ClockJump::Forward(by)) => warn!(
            jump_ms = by.as_millis() as u64,
            "the system clock was set forward, or the machine was suspended; schedules and due times were adjusted"
        ),
        Some(ClockJump::Back(by)) => warn!(
            jump_ms = -i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
            "the system clock was set back; schedules and due times were adjusted"
        ),
        None => {}
    }
    if rescued > 0 {
        warn!(rescued, "leases expired, their attempts are lost");
    }
    if fired + skipped + due + pruned > 0 {
        debug!(fired, skipped, due, pruned, "store tick");
    }
}
