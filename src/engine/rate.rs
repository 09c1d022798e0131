//! How often a queue may start attempts: so many in any stretch of time of a length.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;

/// At most `starts` attempts begin in any stretch of time that is `within` long; `100/1m` in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Attempts, 1 or more.
    pub starts: u32,
    /// Longer than nothing.
    pub within: Duration,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within =
            jiff::SignedDuration::try_from(self.within).unwrap_or(jiff::SignedDuration::MAX);
        write!(f, "{}/{within:#}", self.starts)
    }
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a queue with a limit has started lately.
#[derive(Debug)]
pub(super) struct Pace {
    /// At least one attempt may begin, or nobody would ever be told why none does.
    pub(super) limit: RateLimit,
    /// How many began, and until when they count; the oldest first.
    recent: VecDeque<(Instant, u32)>,
    /// All of them.
    counted: u32,
}

/// Starts so close together are counted as one: the last of them counts this share of the length too long.
const GRAINS: u32 = 1_024;

impl Pace {
    /// Nothing was started.
    pub(super) fn new(limit: RateLimit) -> Pace {
        let limit = RateLimit { starts: limit.starts.max(1), ..limit };
        Pace { limit, recent: VecDeque::new(), counted: 0 }
    }

    /// How many attempts may begin now.
    ///
    /// # Errors
    /// When the next one may, when none may now.
    pub(super) fn room(&mut self, now: Instant) -> Result<usize, Instant> {
        while let Some(&(until, count)) = self.recent.front()
            && until <= now
        {
            self.recent.pop_front();
            self.counted -= count;
        }
        match (self.limit.starts.saturating_sub(self.counted), self.recent.front()) {
            (0, Some(&(until, _))) => Err(until),
            (room, _) => Ok(room as usize),
        }
    }

    /// So many have begun.
    pub(super) fn spend(&mut self, now: Instant, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(u32::MAX - self.counted);
        if count == 0 {
            return;
        }
        self.counted += count;
        let within = self.limit.within;
        match self.recent.back_mut() {
            Some((until, more)) if now + within <= *until => *more += count,
            _ => self.recent.push_back((now + within + within / GRAINS, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Starts as much as may, whenever it may, and says when each began.
    fn run(limit: RateLimit, mut wanted: usize) -> Vec<Duration> {
        let begin = Instant::now();
        let (mut now, mut pace, mut starts) = (begin, Pace::new(limit), Vec::new());
        while wanted > 0 {
            match pace.room(now) {
                Ok(room) => {
                    let count = room.min(wanted).min(3);
                    assert!(count > 0, "room for nothing, and no time to wait for");
                    pace.spend(now, count);
                    starts.extend(std::iter::repeat_n(now - begin, count));
                    wanted -= count;
                    now += MS * (wanted as u32 % 7);
                }
                Err(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        starts
    }

    #[test]
    fn in_no_stretch_of_the_length_more_begin_than_may() {
        for (starts, within) in [(1, 10 * MS), (5, 100 * MS), (100, 1_000 * MS), (7, 60 * MS)] {
            let limit = RateLimit { starts, within };
            let began = run(limit, 400);
            for pair in began.windows(starts as usize + 1) {
                assert!(*pair.last().unwrap() - pair[0] >= within, "{limit}: {pair:?}");
            }
            // And it is used: no more is lost than the grains.
            let least = within * (400 / starts - 1);
            let took = *began.last().unwrap();
            assert!(took <= least + least / 100 + within, "{limit}: {took:?} for {least:?}");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_one() {
        let now = Instant::now();
        let mut pace = Pace::new(RateLimit { starts: 0, within: MS });
        assert_eq!(pace.room(now), Ok(1));
        pace.spend(now, 1);
        assert!(pace.room(now).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut pace = Pace::new(RateLimit { starts: u32::MAX, within: 1_000 * MS });
        let begin = Instant::now();
        for n in 0..100_000 {
            pace.spend(begin + Duration::from_micros(20 * n), 1);
            let _ = pace.room(begin + Duration::from_micros(20 * n));
        }
        assert!(pace.recent.len() <= GRAINS as usize + 2, "{}", pace.recent.len());
    }

    #[test]
    fn a_limit_reads_as_it_is_written() {
        let limit = |starts, seconds| RateLimit { starts, within: Duration::from_secs(seconds) };
        assert_eq!(limit(100, 60).to_string(), "100/1m");
        assert_eq!(limit(1, 90).to_string(), "1/1m 30s");
    }
}
