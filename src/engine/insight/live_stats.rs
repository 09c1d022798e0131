//! How busy the server is, a few times a second and for whoever asks: counters, rates, and how long jobs
//! waited and ran. One loop works it out for all; with nobody listening it does nothing.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::histogram::Latency;
use super::history::Point;
use super::meter::{Rates, Recent};
use super::observer::Observed;
use crate::clock::Clock;
use crate::job::QueueName;
use crate::store::{Stats, Store};
use crate::supervise::{Part, pass};

/// One look at the server. Shared by all who listen.
#[derive(Debug)]
pub struct LiveStats {
    /// Counters by state, queue and kind.
    pub stats: Stats,
    /// What happened per second, lately.
    pub rates: Rates,
    /// From available to started, of the attempts that started lately; `None` when none did.
    pub wait: Option<Latency>,
    /// From started to the end, of the attempts that ended lately; `None` when none did.
    pub run: Option<Latency>,
    /// The last whole second.
    pub second: Point,
    /// Queues in which something happened lately: per second, and in the last whole second.
    pub queues: HashMap<QueueName, (Rates, Point)>,
    encoded: OnceLock<Box<str>>,
}

impl LiveStats {
    /// Its text; `encode` runs once, whoever asks first.
    pub fn encoded(&self, encode: impl FnOnce(&LiveStats) -> String) -> &str {
        self.encoded.get_or_init(|| encode(self).into_boxed_str())
    }

    /// Nothing to tell: that time goes by, everybody knows.
    fn equals(&self, other: &LiveStats) -> bool {
        let shown = |stats: &LiveStats| {
            let Point { counts, wait, run, .. } = stats.second;
            (stats.rates, stats.wait, stats.run, counts, wait, run)
        };
        shown(self) == shown(other) && self.stats == other.stats
    }
}

/// Where live_stats are published.
pub struct LiveStatsChannel {
    newest: watch::Sender<Option<Arc<LiveStats>>>,
    /// Wakes the loop for the first listener.
    subscribed: Notify,
}

impl Default for LiveStatsChannel {
    fn default() -> Self {
        LiveStatsChannel { newest: watch::Sender::new(None), subscribed: Notify::new() }
    }
}

impl LiveStatsChannel {
    /// A receiver of every pulse from the present one on, the newest only when it is slow.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<LiveStats>>> {
        let mut receiver = self.newest.subscribe();
        receiver.mark_changed();
        self.subscribed.notify_one();
        receiver
    }
}

/// At most four live_stats a second, whatever happens.
const EVERY: Duration = Duration::from_millis(250);

/// The loop that publishes live_stats.
pub struct Publisher {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub observed: Arc<Observed>,
    pub live_stats: Arc<LiveStatsChannel>,
    /// Ends the loop.
    pub no_more_events: CancellationToken,
}

impl Publisher {
    /// Publishes live_stats, as long as somebody listens and something changes, until the last event is in.
    pub async fn run(self) {
        let mut tick = interval(EVERY);
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
        // A store that is closing has no more to tell; the end comes soon.
        let Ok(stats) = self.store.stats().await else { return };
        let now = self.clock.now();
        let (all, queues) = {
            let mut observed = self.observed.lock();
            (observed.meter.recent(now), observed.meter.recent_of_queues(now))
        };
        let Recent { rates, wait, run, second } = all;
        let queues = queues.into_iter().map(|(name, of)| (name, (of.rates, of.second))).collect();
        let pulse = Arc::new(LiveStats {
            stats,
            rates,
            wait,
            run,
            second,
            queues,
            encoded: OnceLock::new(),
        });
        self.live_stats.newest.send_if_modified(|newest| {
            let changed = newest.as_ref().is_none_or(|newest| !newest.equals(&pulse));
            if changed {
                *newest = Some(pulse);
            }
            changed
        });
    }
}
