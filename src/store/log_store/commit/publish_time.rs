//! How long it takes to publish a group to its followers, as CPU time of the thread: a follower that is woken may take
//! the processor at once, and elapsed time would count that, too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::job::LogScale;
use crate::store::PublishTimes;

/// Four classes for each doubling.
type Scale = LogScale<2>;

/// A histogram of durations.
#[derive(Debug)]
pub struct PublishTime {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

const BUCKETS: usize = 160;

impl Default for PublishTime {
    fn default() -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        PublishTime { counts, sum_ns: AtomicU64::new(0) }
    }
}

/// Measures the time until it is dropped.
pub struct Timed<'a> {
    times: &'a PublishTime,
    since: Duration,
}

impl PublishTime {
    /// Starts a measurement.
    pub fn begin(&self) -> Timed<'_> {
        Timed { times: self, since: spent() }
    }

    /// The percentile in nanoseconds, rounded up by a fifth at most; 0 when nothing was measured.
    pub fn at(&self, percent: u64) -> u64 {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let all: u64 = counts.iter().sum();
        let mut seen = 0;
        for (class, count) in counts.into_iter().enumerate() {
            seen += count;
            if all > 0 && seen * 100 >= all * percent {
                return Scale::lower_bound(class + 1);
            }
        }
        0
    }

    /// All durations, in the few buckets of a metric. A duration that equals a bound is counted above it.
    pub fn totals(&self) -> PublishTimes {
        let mut totals = PublishTimes::default();
        for (class, count) in self.counts.iter().enumerate() {
            let bucket = PublishTimes::bucket(Scale::lower_bound(class + 1).saturating_sub(1));
            totals.counts[bucket] += count.load(Ordering::Relaxed);
        }
        totals.sum_ns = self.sum_ns.load(Ordering::Relaxed);
        totals
    }

    fn add(&self, nanos: u64) {
        if let Some(count) = self.counts.get(Scale::bucket(nanos).min(BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum_ns.fetch_add(nanos, Ordering::Relaxed);
        }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let nanos = spent().saturating_sub(self.since).as_nanos();
        self.times.add(u64::try_from(nanos).unwrap_or(u64::MAX));
    }
}

/// The CPU time of this thread; zero where the system does not report it.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_found_again_with_its_share() {
        let times = PublishTime::default();
        assert_eq!(times.at(99), 0);
        (0..98).for_each(|_| times.add(1_000));
        (0..2).for_each(|_| times.add(1_000_000));
        for (percent, nanos) in [(50, 1_000), (98, 1_000), (99, 1_000_000)] {
            let found = times.at(percent);
            assert!((nanos..nanos + nanos / 4 + 1).contains(&found), "{percent}: {found}");
        }
        let totals = times.totals();
        assert_eq!((totals.counts[0], totals.counts[5], totals.sum_ns), (98, 2, 2_098_000));
        assert_eq!(totals.buckets().last(), Some(&(f64::INFINITY, 0)));
        for nanos in [0, 3, 4, 5, 7, 8, 1_023, 1_024, u64::MAX] {
            times.add(nanos); // every duration has a class
        }
        assert_eq!(times.totals().counts.iter().sum::<u64>(), 109);
    }
}
