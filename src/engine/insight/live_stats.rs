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
use super::meter::{Lately, Rates};
use super::observer::Observed;
use crate::clock::Clock;
use crate::job::QueueName;
use crate::store::{Stats, Store};
use crate::supervise::{Part, pass};

/// One look at the server. Shared by all who listen.
#[derive(Debug)]
pub struct Pulse {
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

impl Pulse {
    /// Its text; `encode` runs once, whoever asks first.
    pub fn encoded(&self, encode: impl FnOnce(&Pulse) -> String) -> &str {
        self.encoded.get_or_init(|| encode(self).into_boxed_str())
    }

    /// Nothing to tell: that time goes by, everybody knows.
    fn says_the_same(&self, other: &Pulse) -> bool {
        let lately = |pulse: &Pulse| {
            let Point { counts, wait, run, .. } = pulse.second;
            (pulse.rates, pulse.wait, pulse.run, counts, wait, run)
        };
        lately(self) == lately(other) && self.stats == other.stats
    }
}

/// Where pulses are published.
pub struct Pulses {
    newest: watch::Sender<Option<Arc<Pulse>>>,
    /// Wakes the loop for the first listener.
    called: Notify,
}

impl Default for Pulses {
    fn default() -> Self {
        Pulses { newest: watch::Sender::new(None), called: Notify::new() }
    }
}

impl Pulses {
    /// A receiver of every pulse from the present one on, the newest only when it is slow.
    pub fn listen(&self) -> watch::Receiver<Option<Arc<Pulse>>> {
        let mut receiver = self.newest.subscribe();
        receiver.mark_changed();
        self.called.notify_one();
        receiver
    }
}

/// At most four pulses a second, whatever happens.
const EVERY: Duration = Duration::from_millis(250);

/// The loop that publishes pulses.
pub struct Publisher {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub observed: Arc<Observed>,
    pub pulses: Arc<Pulses>,
    /// Ends the loop.
    pub no_more_events: CancellationToken,
}

impl Publisher {
    /// Publishes pulses, as long as somebody listens and something changes, until the last event is in.
    pub async fn run(self) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_heard = false;
        loop {
            pass(Part::Pulse);
            tokio::select! {
                () = self.no_more_events.cancelled() => return,
                () = self.pulses.called.notified() => is_heard = true,
                _ = tick.tick(), if is_heard => {
                    if self.pulses.newest.receiver_count() == 0 {
                        is_heard = false;
                        self.pulses.newest.send_replace(None);
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
            (observed.meter.lately(now), observed.meter.queues_lately(now))
        };
        let Lately { rates, wait, run, second } = all;
        let queues = queues.into_iter().map(|(name, of)| (name, (of.rates, of.second))).collect();
        let pulse =
            Arc::new(Pulse { stats, rates, wait, run, second, queues, encoded: OnceLock::new() });
        self.pulses.newest.send_if_modified(|newest| {
            let changed = newest.as_ref().is_none_or(|newest| !newest.says_the_same(&pulse));
            if changed {
                *newest = Some(pulse);
            }
            changed
        });
    }
}
