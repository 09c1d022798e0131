//! Durations since the start of the process, counted in buckets with fixed bounds, as Prometheus histograms are: a
//! scraper can add up those of many servers and compute any quantile over any time.

use std::time::Duration;

/// The upper bounds of the buckets in milliseconds. Longer durations are in a last bucket without a bound.
const BOUNDS: [u64; 17] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 600_000,
    3_600_000,
];

/// A histogram as scrapers read it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramTotals {
    /// The upper bound of each bucket in seconds, infinite for the last one, and the count of this bucket alone.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all durations in seconds.
    pub sum_seconds: f64,
}

/// Counts and sum of durations.
#[derive(Debug, Clone, Default)]
pub struct LatencyTotals {
    counts: [u64; BOUNDS.len() + 1],
    sum_ms: u64,
}

impl LatencyTotals {
    /// Counts a duration that stands for `weight` durations.
    pub fn add(&mut self, length: Duration, weight: u64) {
        let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.counts[BOUNDS.partition_point(|bound| *bound < ms)] += weight;
        self.sum_ms = self.sum_ms.saturating_add(ms.saturating_mul(weight));
    }

    /// The histogram of all durations.
    pub fn histogram(&self) -> HistogramTotals {
        let bounds = BOUNDS.iter().map(|ms| *ms as f64 / 1e3).chain([f64::INFINITY]);
        let buckets = bounds.zip(self.counts).collect();
        HistogramTotals { buckets, sum_seconds: self.sum_ms as f64 / 1e3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let mut totals = LatencyTotals::default();
        for (ms, weight) in [(0, 1), (5, 2), (6, 1), (3_600_000, 1), (3_600_001, 4)] {
            totals.add(Duration::from_millis(ms), weight);
        }
        let HistogramTotals { buckets, sum_seconds } = totals.histogram();
        let filled: Vec<_> = buckets.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(filled, [(0.001, 1), (0.005, 2), (0.01, 1), (3_600.0, 1), (f64::INFINITY, 4)]);
        assert_eq!(sum_seconds, 18_000.02);
        totals.add(Duration::MAX, 1);
        let last = totals.histogram().buckets.pop();
        assert_eq!(last, Some((f64::INFINITY, 5)), "no length is outside");
    }
}
