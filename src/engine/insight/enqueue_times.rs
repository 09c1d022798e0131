//! How long it takes until submitted jobs are durable: the time for which a client waits for its answer. Counting takes no
//! lock, because every submission counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency_totals::HistogramTotals;

/// The upper bounds of the buckets in microseconds: from a disk that syncs at once to one that hardly answers.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Counts and sum of the times.
#[derive(Debug, Default)]
pub struct EnqueueTimes {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl EnqueueTimes {
    /// Counts one submission.
    pub fn add(&self, length: Duration) {
        let us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The histogram of all submissions.
    pub fn histogram(&self) -> HistogramTotals {
        let bounds = BOUNDS.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let sum_seconds = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        HistogramTotals { buckets: bounds.zip(counts).collect(), sum_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let times = EnqueueTimes::default();
        for us in [0, 100, 101, 10_000_000, 10_000_001] {
            times.add(Duration::from_micros(us));
        }
        let HistogramTotals { buckets, sum_seconds } = times.histogram();
        let filled: Vec<_> = buckets.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(filled, [(0.0001, 2), (0.00025, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(sum_seconds, 20.000202);
    }
}
