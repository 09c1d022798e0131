//! Live statistics for pages and streams, a few times a second: counters, rates and latencies. One loop computes
//! them for all receivers; without receivers it does nothing.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::histogram::Latency;
use super::history::HistoryPoint;
use super::meter::{Rates, Recent};
use super::observer::Observed;
use crate::clock::Clock;
use crate::job::QueueName;
use crate::store::{Stats, Store, StoreError};
use crate::supervise::{Part, pass};

/// The statistics of one moment, shared by all receivers.
#[derive(Debug)]
pub struct LiveStats {
    /// Job counters by state, queue and kind.
    pub stats: Stats,
    /// Events per second over the last seconds.
    pub rates: Rates,
    /// How long jobs were available before they started, over the last seconds; `None` when none started.
    pub wait: Option<Latency>,
    /// How long attempts ran, over the last seconds; `None` when none ended.
    pub run: Option<Latency>,
    /// The last full second.
    pub second: HistoryPoint,
    /// Busy queues: their rates, and their last full second.
    pub queues: HashMap<QueueName, (Rates, HistoryPoint)>,
    encoded: OnceLock<Box<str>>,
}

impl LiveStats {
    /// Reads the statistics as they are now.
    ///
    /// # Errors
    /// When the store cannot be read, or is closing.
    pub(crate) async fn read(
        store: &dyn Store,
        clock: &dyn Clock,
        observed: &Observed,
    ) -> Result<LiveStats, StoreError> {
        let stats = store.stats().await?;
        let now = clock.now();
        let (all, queues) = {
            let observed = observed.lock();
            (observed.meter.recent(now), observed.meter.recent_of_queues(now))
        };
        let Recent { rates, wait, run, second } = all;
        let queues = queues.into_iter().map(|(name, of)| (name, (of.rates, of.second))).collect();
        let encoded = OnceLock::new();
        Ok(LiveStats { stats, rates, wait, run, second, queues, encoded })
    }

    /// The encoded statistics; `encode` runs once for all receivers.
    pub fn encoded(&self, encode: impl FnOnce(&LiveStats) -> String) -> &str {
        self.encoded.get_or_init(|| encode(self).into_boxed_str())
    }

    /// Whether the statistics are the same, apart from the time.
    fn equals(&self, other: &LiveStats) -> bool {
        let shown = |stats: &LiveStats| {
            let HistoryPoint { counts, wait, run, .. } = stats.second;
            (stats.rates, stats.wait, stats.run, counts, wait, run)
        };
        shown(self) == shown(other) && self.stats == other.stats
    }
}

/// The channel of live statistics.
pub struct LiveStatsChannel {
    newest: watch::Sender<Option<Arc<LiveStats>>>,
    /// Wakes the loop for the first receiver.
    subscribed: Notify,
}

impl Default for LiveStatsChannel {
    fn default() -> Self {
        LiveStatsChannel { newest: watch::Sender::new(None), subscribed: Notify::new() }
    }
}

impl LiveStatsChannel {
    /// A receiver that gets the current statistics and all later ones; a slow receiver gets only the newest.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<LiveStats>>> {
        let mut receiver = self.newest.subscribe();
        receiver.mark_changed();
        self.subscribed.notify_one();
        receiver
    }
}

/// The interval between two updates.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// The loop that publishes live statistics.
pub struct Publisher {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub observed: Arc<Observed>,
    pub live_stats: Arc<LiveStatsChannel>,
    /// Ends the loop.
    pub no_more_events: CancellationToken,
}

impl Publisher {
    /// Publishes statistics while there are receivers and something changes, until there are no more events.
    pub async fn run(self) {
        let mut tick = interval(PUBLISH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_receivers = false;
        loop {
            pass(Part::LiveStats);
            tokio::select! {
                () = self.no_more_events.cancelled() => return,
                () = self.live_stats.subscribed.notified() => has_receivers = true,
                _ = tick.tick(), if has_receivers => {
                    if self.live_stats.newest.receiver_count() == 0 {
                        has_receivers = false;
                        self.live_stats.newest.send_replace(None);
                    } else {
                        self.publish().await;
                    }
                }
            }
        }
    }

    async fn publish(&self) {
        // A store that is closing has no more statistics; the loop is about to end.
        let read = LiveStats::read(&*self.store, &*self.clock, &self.observed).await;
        let Ok(pulse) = read.map(Arc::new) else { return };
        self.live_stats.newest.send_if_modified(|newest| {
            let changed = newest.as_ref().is_none_or(|newest| !newest.equals(&pulse));
            if changed {
                *newest = Some(pulse);
            }
            changed
        });
    }
}
