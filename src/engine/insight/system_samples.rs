//! What the System page draws over time: a sample of the process and of the store every few seconds, the newest in bounded
//! memory. They are about this process and begin with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::enqueue_times::EnqueueTimes;
use super::latency_totals::HistogramTotals;
use super::meter::Rates;
use super::observer::Observed;
use crate::clock::Clock;
use crate::engine::attempts::leases::Leases;
use crate::engine::stream::subscriber_counts::SubscriberCounts;
use crate::job::Time;
use crate::store::Store;
use crate::supervise::{Part, pass};

/// The time between two samples, which the rates of a sample cover.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long samples are kept.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(30 * 60);
/// The most samples.
const MAX_SAMPLES: usize = (SAMPLES_KEPT.as_secs() / INTERVAL.as_secs()) as usize;
/// The size of the store is measured with every sixth sample only, because a shared store has to be asked for it.
const STORE_EVERY: usize = 6;

/// What was measured at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SystemSample {
    /// When it was measured.
    pub at: Time,
    /// The rates over the last seconds.
    pub rates: Rates,
    /// The mean time until a submission was durable since the sample before, in seconds; `None` when there was none.
    pub enqueue_seconds: Option<f64>,
    /// The running attempts of this process.
    pub running: usize,
    /// The subscribers of the event stream.
    pub subscribers: u64,
    /// The resident memory of the process in bytes, where the system tells it.
    pub memory_bytes: Option<u64>,
    /// The size of the store in bytes, as it was measured last; `None` while the store cannot be read.
    pub disk_bytes: Option<u64>,
}

/// The newest samples, oldest first.
#[derive(Debug, Default)]
pub struct SystemSamples(Mutex<VecDeque<SystemSample>>);

impl SystemSamples {
    fn add(&self, sample: SystemSample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// All of them.
    pub fn all(&self) -> Vec<SystemSample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// The loop that takes samples.
pub struct SystemSampler {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub observed: Arc<Observed>,
    pub enqueue_times: Arc<EnqueueTimes>,
    pub leases: Arc<Leases>,
    pub subscriber_counts: Arc<SubscriberCounts>,
    pub samples: Arc<SystemSamples>,
    /// Ends the loop.
    pub no_more_events: CancellationToken,
}

impl SystemSampler {
    /// Takes samples until there are no more events.
    pub async fn run(self) {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut disk_bytes, mut enqueued) = (None, totals(&self.enqueue_times.histogram()));
        for number in 0_usize.. {
            pass(Part::SystemSampler);
            tokio::select! {
                () = self.no_more_events.cancelled() => return,
                _ = tick.tick() => {}
            }
            if number.is_multiple_of(STORE_EVERY) {
                disk_bytes = self.store.storage().await.ok().map(|storage| storage.disk_bytes);
            }
            let newest = totals(&self.enqueue_times.histogram());
            let now = self.clock.now();
            self.samples.add(SystemSample {
                at: now,
                rates: self.observed.lock().meter.recent(now).rates,
                enqueue_seconds: mean_since(enqueued, newest),
                running: self.leases.len(),
                subscribers: self.subscriber_counts.total(),
                memory_bytes: resident_bytes(),
                disk_bytes,
            });
            enqueued = newest;
        }
    }
}

/// The number of durations, and their sum in seconds.
fn totals(histogram: &HistogramTotals) -> (u64, f64) {
    (histogram.buckets.iter().map(|(_, count)| count).sum(), histogram.sum_seconds)
}

fn mean_since(before: (u64, f64), now: (u64, f64)) -> Option<f64> {
    let count = now.0.checked_sub(before.0).filter(|count| *count > 0)?;
    Some(((now.1 - before.1) / count as f64).max(0.0))
}

/// The resident memory of this process, from the file in which Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_samples_are_kept() {
        let samples = SystemSamples::default();
        for n in 0..MAX_SAMPLES as i64 + 7 {
            samples.add(SystemSample {
                at: Time::from_millis(n),
                rates: Rates::default(),
                enqueue_seconds: None,
                running: 0,
                subscribers: 0,
                memory_bytes: None,
                disk_bytes: None,
            });
        }
        let all = samples.all();
        assert_eq!((all.len(), all[0].at), (MAX_SAMPLES, Time::from_millis(7)));
    }

    #[test]
    fn the_mean_is_that_of_the_submissions_since_the_sample_before() {
        assert_eq!(mean_since((10, 1.0), (10, 1.0)), None);
        assert_eq!(mean_since((10, 1.0), (14, 3.0)), Some(0.5));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_how_much_memory_the_process_has() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
