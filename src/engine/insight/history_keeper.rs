//! The loop that stores what was counted for the charts of hours and weeks, so that it survives a restart. What is not
//! stored yet when the process is killed is counted again from the events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::observer::Observed;
use super::rollup::{mark_number, seconds};
use crate::clock::Clock;
use crate::job::Time;
use crate::logging::RetryLog;
use crate::store::{HistoryStep, Store, StoreError};
use crate::supervise::{Part, pass};

/// The time between two saves. A server on which nothing happens saves nothing.
const INTERVAL: Duration = Duration::from_secs(15);
/// The longest wait after the store has failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often old rows are removed.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// The loop.
pub struct HistoryKeeper {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub observed: Arc<Observed>,
    /// Ends the loop after a last save.
    pub no_more_events: CancellationToken,
}

impl HistoryKeeper {
    /// Saves from time to time, and once more at the end.
    pub async fn run(self) {
        let mut retry = RetryLog::new("storing the history", INTERVAL, LONGEST_WAIT);
        let (mut wait, mut forgotten_at) = (INTERVAL, None);
        loop {
            pass(Part::HistoryKeeper);
            let is_last = tokio::select! {
                () = self.no_more_events.cancelled() => true,
                () = sleep(wait) => false,
            };
            wait = match self.save(&mut forgotten_at).await {
                Ok(true) => {
                    retry.worked();
                    INTERVAL
                }
                Ok(false) => INTERVAL, // without a write, nothing shows that the store works again
                Err(StoreError::Closed) => return,
                Err(error) => retry.failed(&error),
            };
            if is_last {
                return;
            }
        }
    }

    /// Stores what was counted since the last save. Returns whether there was anything.
    async fn save(&self, forgotten_at: &mut Option<Time>) -> Result<bool, StoreError> {
        let mut batch = {
            let mut observed = self.observed.lock();
            let Some(mut batch) = observed.rollup.save() else { return Ok(false) };
            batch.rows.extend(observed.checkpoints.save());
            batch
        };
        let (now, steady) = (self.clock.now(), self.clock.steady());
        // Without the counters, old rows stay until the next save: what was taken above must not be lost.
        if forgotten_at.is_none_or(|at| steady.since(at) >= FORGET_INTERVAL)
            && let Ok(stats) = self.store.stats().await
        {
            let mut observed = self.observed.lock();
            observed.checkpoints.forget_before(stats.oldest.seq);
            let counters = observed.checkpoints.oldest_row();
            batch.forget =
                HistoryStep::ALL.map(|step| (step, oldest(step, now, counters))).to_vec();
            *forgotten_at = Some(steady);
        }
        // `false` means that another node has stored as much.
        let stored = self.store.history().put(batch).await;
        let mut observed = self.observed.lock();
        match stored {
            Ok(_) => observed.rollup.saved(),
            Err(_) => {
                observed.rollup.not_saved();
                observed.checkpoints.not_saved();
            }
        }
        stored.map(|_| true)
    }
}

/// The number of the oldest row that is kept: an hour or more beyond what the charts show, or that of the oldest checkpoint.
fn oldest(step: HistoryStep, now: Time, counters: u64) -> u64 {
    const HOUR_S: u64 = 3_600;
    let kept = match step {
        HistoryStep::ScheduleRuns => return 0, // they go with their schedules
        HistoryStep::Minute => 8 * HOUR_S,
        HistoryStep::TenMinutes => 26 * HOUR_S,
        HistoryStep::Hour | HistoryStep::Mark => 31 * 24 * HOUR_S,
        HistoryStep::Counters => return counters,
    };
    let from = now.before(Duration::from_secs(kept));
    match step {
        HistoryStep::Mark => mark_number(from),
        HistoryStep::Counters => counters,
        HistoryStep::Minute
        | HistoryStep::TenMinutes
        | HistoryStep::Hour
        | HistoryStep::ScheduleRuns => {
            u64::try_from(from.millis() / (1_000 * seconds(step))).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_for_longer_than_charts_show_them() {
        let now = Time::from_millis(1_800_000_000_000);
        let kept = |step: HistoryStep| match step {
            HistoryStep::Mark => (now.millis() - (oldest(step, now, 7) >> 16) as i64) / 1_000,
            step => now.millis() / 1_000 - oldest(step, now, 7) as i64 * seconds(step),
        };
        let timed =
            [HistoryStep::Minute, HistoryStep::TenMinutes, HistoryStep::Hour, HistoryStep::Mark];
        assert_eq!(timed.map(|step| kept(step) / 3_600), [8, 26, 31 * 24, 31 * 24]);
        assert_eq!(oldest(HistoryStep::Counters, now, 7), 7);
        assert_eq!(oldest(HistoryStep::ScheduleRuns, now, 7), 0, "they go with their schedules");
    }
}
