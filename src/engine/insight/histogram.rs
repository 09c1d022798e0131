//! A compact histogram of durations. A bucket is at most 1/64 as wide as the durations in it, and durations below 64
//! ms are exact.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::LogScale;
use crate::job::Time;

/// The scale has 64 buckets for each doubling.
type BucketScale = LogScale<6>;

/// A histogram; empty buckets take no memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Buckets and their counts, ordered by bucket.
    buckets: Vec<(u16, u32)>,
}

/// Percentiles of durations, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The median.
    pub p50: u32,
    /// The 95th percentile.
    pub p95: u32,
    /// The 99th percentile.
    pub p99: u32,
}

impl Histogram {
    /// Counts the duration between two moments.
    pub fn add(&mut self, from: Time, to: Time) {
        self.count(bucket(to.since(from)), 1);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, count) in &other.buckets {
            self.count(*bucket, *count);
        }
    }

    /// The percentiles; `None` when the histogram is empty.
    pub fn latency(&self) -> Option<Latency> {
        let total: u64 = self.buckets.iter().map(|(_, count)| u64::from(*count)).sum();
        let last = total.checked_sub(1)?;
        let at = |percent: u64| {
            let rank = last * percent / 100;
            let mut seen = 0;
            let found = self.buckets.iter().find(|(_, count)| {
                seen += u64::from(*count);
                seen > rank
            });
            found.map_or(0, |(bucket, _)| least(*bucket))
        };
        Some(Latency { p50: at(50), p95: at(95), p99: at(99) })
    }

    /// The shortest duration of each bucket in milliseconds, and its count, in order.
    pub fn counts(&self) -> impl Iterator<Item = (u32, u32)> {
        self.buckets.iter().map(|(bucket, count)| (least(*bucket), *count))
    }

    /// The same with buckets four times as wide, at most 1/16 of the durations in them, so that it takes less space.
    pub fn coarse(&self) -> Histogram {
        let mut coarse = Histogram::default();
        for (bucket, count) in &self.buckets {
            coarse.count(bucket & !3, *count);
        }
        coarse
    }

    fn count(&mut self, bucket: u16, n: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(n),
            Err(at) => self.buckets.insert(at, (bucket, n)),
        }
    }
}

fn bucket(length: Duration) -> u16 {
    let ms = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    BucketScale::bucket(ms.into()) as u16
}

/// The shortest duration in a bucket.
fn least(bucket: u16) -> u32 {
    BucketScale::lower_bound(bucket.into()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(lengths: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for ms in lengths {
            histogram.count(bucket(Duration::from_millis(ms)), 1);
        }
        histogram
    }

    #[test]
    fn a_bucket_is_never_wider_than_a_64th_of_what_it_holds() {
        let mut last = 0;
        for ms in (0..100_000).chain([1 << 20, u32::MAX / 3, u32::MAX]) {
            let bucket = bucket(Duration::from_millis(ms.into()));
            assert!(bucket >= last, "{ms}");
            last = bucket;
            let shown = least(bucket);
            assert!(shown <= ms && ms - shown <= ms / 64, "{ms} is shown as {shown}");
        }
        assert_eq!(least(bucket(Duration::from_secs(1_000_000_000))), 0xfe00_0000);
    }

    #[test]
    fn a_coarse_histogram_has_few_buckets_and_is_off_by_a_16th_at_most() {
        let fine = histogram((0..20_000).map(|n| n * 10));
        let (exact, coarse) = (fine.latency().unwrap(), fine.coarse().latency().unwrap());
        for (exact, coarse) in [(exact.p50, coarse.p50), (exact.p95, coarse.p95)] {
            assert!(coarse <= exact && exact - coarse <= exact / 16, "{exact} is {coarse}");
        }
        assert!(fine.coarse().buckets.len() * 3 < fine.buckets.len());
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_lengths() {
        assert_eq!(histogram([]).latency(), None);
        assert_eq!(histogram([7]).latency(), Some(Latency { p50: 7, p95: 7, p99: 7 }));
        let all = histogram(0..=60);
        assert_eq!(all.latency(), Some(Latency { p50: 30, p95: 57, p99: 59 }));
        let mut merged = histogram(0..=30);
        merged.merge(&histogram(31..=60));
        assert_eq!(merged.latency(), all.latency());
    }
}
