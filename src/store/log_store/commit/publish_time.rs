//! What it costs the committer to hand a group on to those who follow, in time of its processor: whom that
//! wakes may take the processor at once, and then the clock on the wall would tell of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::job::LogScale;

/// Four classes for each doubling.
type Scale = LogScale<2>;

/// Counts by length of time.
#[derive(Debug)]
pub struct Told([AtomicU64; CLASSES]);

const CLASSES: usize = 160;

impl Default for Told {
    fn default() -> Self {
        Told(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// Counts its own life when it is dropped.
pub struct Timed<'a> {
    told: &'a Told,
    since: Duration,
}

impl Told {
    /// Begins to measure.
    pub fn begin(&self) -> Timed<'_> {
        Timed { told: self, since: spent() }
    }

    /// Nanoseconds that so many of a hundred stay below, rounded up by a fifth at most; 0 when nothing was
    /// measured.
    pub fn at(&self, percent: u64) -> u64 {
        let counts = self.0.each_ref().map(|count| count.load(Ordering::Relaxed));
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

    fn add(&self, nanos: u64) {
        if let Some(count) = self.0.get(Scale::bucket(nanos).min(CLASSES - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let nanos = spent().saturating_sub(self.since).as_nanos();
        self.told.add(u64::try_from(nanos).unwrap_or(u64::MAX));
    }
}

/// What this thread has had of a processor; nothing, where the machine does not tell.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_found_again_with_its_share() {
        let told = Told::default();
        assert_eq!(told.at(99), 0);
        (0..98).for_each(|_| told.add(1_000));
        (0..2).for_each(|_| told.add(1_000_000));
        for (percent, nanos) in [(50, 1_000), (98, 1_000), (99, 1_000_000)] {
            let found = told.at(percent);
            assert!((nanos..nanos + nanos / 4 + 1).contains(&found), "{percent}: {found}");
        }
        for nanos in [0, 3, 4, 5, 7, 8, 1_023, 1_024, u64::MAX] {
            told.add(nanos); // no length is outside
        }
    }
}
