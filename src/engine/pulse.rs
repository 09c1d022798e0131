//! How busy the server is, a few times a second and for whoever asks: counters, rates, and how long jobs
//! waited and ran. One loop works it out for all; with nobody listening it does nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::meter::{Latency, Meter, Rates};
use super::{Batch, Inner};
use crate::store::Stats;

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
    encoded: OnceLock<Box<str>>,
}

impl Pulse {
    /// Its text; `encode` runs once, whoever asks first.
    pub fn encoded(&self, encode: impl FnOnce(&Pulse) -> String) -> &str {
        self.encoded.get_or_init(|| encode(self).into_boxed_str())
    }

    fn says_the_same(&self, other: &Pulse) -> bool {
        let lately = |pulse: &Pulse| (pulse.rates, pulse.wait, pulse.run);
        lately(self) == lately(other) && self.stats == other.stats
    }
}

/// Where pulses are published.
pub(super) struct Pulses {
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
    pub(super) fn listen(&self) -> watch::Receiver<Option<Arc<Pulse>>> {
        let mut receiver = self.newest.subscribe();
        receiver.mark_changed();
        self.called.notify_one();
        receiver
    }
}

/// At most four pulses a second, whatever happens.
const EVERY: Duration = Duration::from_millis(250);

/// Publishes pulses, as long as somebody listens and something changes, until the channel ends.
pub(super) async fn run(inner: Arc<Inner>, mut live: Receiver<Arc<Batch>>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // There while somebody listens.
    let mut meter: Option<Meter> = None;
    loop {
        tokio::select! {
            next = live.recv() => match next {
                Ok(batch) => {
                    if let Some(meter) = &mut meter {
                        batch.events.iter().for_each(|event| meter.add(event));
                    }
                }
                // What was missed is missing in the rates, for a few seconds.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = inner.pulses.called.notified() => {
                meter.get_or_insert_with(|| Meter::new(inner.clock.now()));
            }
            _ = tick.tick(), if meter.is_some() => {
                if inner.pulses.newest.receiver_count() == 0 {
                    meter = None;
                    inner.pulses.newest.send_replace(None);
                } else if let Some(meter) = &meter {
                    publish(&inner, meter).await;
                }
            }
        }
    }
}

async fn publish(inner: &Inner, meter: &Meter) {
    // A store that is closing has no more to tell; the channel's end comes soon.
    let Ok(stats) = inner.store.stats().await else { return };
    let (rates, wait, run) = meter.read(inner.clock.now());
    let pulse = Arc::new(Pulse { stats, rates, wait, run, encoded: OnceLock::new() });
    inner.pulses.newest.send_if_modified(|newest| {
        let changed = newest.as_ref().is_none_or(|newest| !newest.says_the_same(&pulse));
        if changed {
            *newest = Some(pulse);
        }
        changed
    });
}
