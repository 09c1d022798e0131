//! Enforces the rate limit of a queue with a sliding window of its recent starts.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::job::RateLimit;

/// The recent starts of a queue with a rate limit.
#[derive(Debug)]
pub struct RateWindow {
    /// The limit; at least one start, or the queue would never run and no reason could be shown.
    pub limit: RateLimit,
    /// When attempts started and how many, oldest first.
    recent: VecDeque<(Instant, u32)>,
    /// The sum of all counts in `recent`.
    counted: u32,
}

/// Starts within this fraction of the window are counted together, so a start counts for up to this fraction too
/// long.
const INTERVALS_PER_WINDOW: u32 = 1_024;

impl RateWindow {
    /// A window without starts.
    pub fn new(limit: RateLimit) -> RateWindow {
        let mut window = RateWindow { limit, recent: VecDeque::new(), counted: 0 };
        window.set(limit);
        window
    }

    /// Changes the limit. Earlier starts count for the new one.
    pub fn set(&mut self, limit: RateLimit) {
        self.limit = RateLimit { starts: limit.starts.max(1), ..limit };
    }

    /// How many attempts may start now.
    ///
    /// # Errors
    /// When the next attempt may start, if none may now.
    pub fn room(&mut self, now: Instant) -> Result<usize, Instant> {
        let counts = self.limit.within + self.interval();
        while let Some(&(from, count)) = self.recent.front()
            && from + counts <= now
        {
            self.recent.pop_front();
            self.counted -= count;
        }
        match (self.limit.starts.saturating_sub(self.counted), self.recent.front()) {
            (0, Some(&(from, _))) => Err(from + counts),
            (room, _) => Ok(room as usize),
        }
    }

    /// Records starts.
    pub fn spend(&mut self, now: Instant, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(u32::MAX - self.counted);
        if count == 0 {
            return;
        }
        self.counted += count;
        let interval = self.interval();
        match self.recent.back_mut() {
            Some((from, more)) if now <= *from + interval => *more += count,
            _ => self.recent.push_back((now, count)),
        }
    }

    fn interval(&self) -> Duration {
        self.limit.within / INTERVALS_PER_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Starts as much as may, whenever it may, and says when each began.
    fn run(limit: RateLimit, mut wanted: usize) -> Vec<Duration> {
        let begin = Instant::now();
        let (mut now, mut window, mut starts) = (begin, RateWindow::new(limit), Vec::new());
        while wanted > 0 {
            match window.room(now) {
                Ok(room) => {
                    let count = room.min(wanted).min(3);
                    assert!(count > 0, "room for nothing, and no time to wait for");
                    window.spend(now, count);
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
            // The limit is used fully, except for the grains.
            let least = within * (400 / starts - 1);
            let took = *began.last().unwrap();
            assert!(took <= least + least / 100 + within, "{limit}: {took:?} for {least:?}");
        }
    }

    #[test]
    fn what_began_counts_for_a_limit_that_is_set_later() {
        let begin = Instant::now();
        let mut window = RateWindow::new(RateLimit { starts: 5, within: 100 * MS });
        window.spend(begin, 4);
        window.set(RateLimit { starts: 10, within: 1_000 * MS });
        assert_eq!(window.room(begin + 200 * MS), Ok(6));
        window.set(RateLimit { starts: 3, within: 1_000 * MS });
        let until = window.room(begin + 200 * MS).unwrap_err();
        assert!(until >= begin + 1_000 * MS && until <= begin + 1_010 * MS);
        assert_eq!(window.room(until), Ok(3));
    }

    #[test]
    fn a_limit_of_nothing_is_one() {
        let now = Instant::now();
        let mut window = RateWindow::new(RateLimit { starts: 0, within: MS });
        assert_eq!(window.room(now), Ok(1));
        window.spend(now, 1);
        assert!(window.room(now).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut window = RateWindow::new(RateLimit { starts: u32::MAX, within: 1_000 * MS });
        let begin = Instant::now();
        for n in 0..100_000 {
            window.spend(begin + Duration::from_micros(20 * n), 1);
            let _ = window.room(begin + Duration::from_micros(20 * n));
        }
        assert!(
            window.recent.len() <= INTERVALS_PER_WINDOW as usize + 2,
            "{}",
            window.recent.len()
        );
    }
}
