//! Enforces the rate limit of a queue with a sliding window of its recent starts, by the steady clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::job::{RateLimit, Time};

/// The recent starts of a queue with a rate limit.
#[derive(Debug, Clone)]
pub struct RateWindow {
    /// The limit; at least one start, or the queue would never run and no reason could be shown.
    limit: RateLimit,
    /// When attempts started and how many, oldest first.
    recent: VecDeque<(Time, u32)>,
}

/// Starts within this fraction of the window, or within a millisecond, are counted together, so a start counts for up
/// to this much too long.
const INTERVALS_PER_WINDOW: u32 = 1_024;
/// The resolution of the clock.
const MILLISECOND: Duration = Duration::from_millis(1);

impl RateWindow {
    /// A window without starts.
    pub fn new(limit: RateLimit) -> RateWindow {
        let mut window = RateWindow { limit, recent: VecDeque::new() };
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
    pub fn room(&self, now: Time) -> Result<usize, Time> {
        let counting = || self.recent.iter().filter(|(from, _)| self.counts_until(*from) > now);
        let counted = counting().fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        match (self.limit.starts.saturating_sub(counted), counting().next()) {
            (0, Some((from, _))) => Err(self.counts_until(*from)),
            (room, _) => Ok(room as usize),
        }
    }

    /// Records one start.
    pub fn spend(&mut self, now: Time) {
        while let Some(&(from, _)) = self.recent.front()
            && self.counts_until(from) <= now
        {
            self.recent.pop_front();
        }
        let interval = self.interval();
        match self.recent.back_mut() {
            Some((from, count)) if now <= from.after(interval) => *count = count.saturating_add(1),
            _ => self.recent.push_back((now, 1)),
        }
    }

    /// Records a start of an earlier process, which happened at `at` by the time of day. When the clock was ahead by
    /// more than the window then, it is not known when the attempt started, and it is not counted.
    pub fn restore(&mut self, at: Time, now: Time, steady: Time) {
        let started = steady.before(now.since(at));
        if at.since(now) <= self.limit.within && self.counts_until(started) > steady {
            self.spend(started);
        }
    }

    fn counts_until(&self, from: Time) -> Time {
        from.after(self.limit.within.saturating_add(self.interval()))
    }

    fn interval(&self) -> Duration {
        (self.limit.within / INTERVALS_PER_WINDOW).max(MILLISECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BEGIN: Time = Time::from_millis(1_800_000_000_000);

    /// Starts as much as may, whenever it may, and says when each began.
    fn run(limit: RateLimit, mut wanted: usize) -> Vec<Duration> {
        let (mut now, mut window, mut starts) = (BEGIN, RateWindow::new(limit), Vec::new());
        while wanted > 0 {
            match window.room(now) {
                Ok(room) => {
                    let count = room.min(wanted).min(3);
                    assert!(count > 0, "room for nothing, and no time to wait for");
                    (0..count).for_each(|_| window.spend(now));
                    starts.extend(std::iter::repeat_n(now.since(BEGIN), count));
                    wanted -= count;
                    now = now.after(MS * (wanted as u32 % 7));
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
        for (starts, within) in [(1, 100 * MS), (5, 100 * MS), (100, 1_000 * MS), (7, 600 * MS)] {
            let limit = RateLimit { starts, within };
            let began = run(limit, 400);
            for pair in began.windows(starts as usize + 1) {
                assert!(*pair.last().unwrap() - pair[0] >= within, "{limit}: {pair:?}");
            }
            // The limit is used fully, except for the grains.
            let least = within * (400 / starts - 1);
            let took = *began.last().unwrap();
            assert!(took <= least + least / 50 + within, "{limit}: {took:?} for {least:?}");
        }
    }

    #[test]
    fn what_began_counts_for_a_limit_that_is_set_later() {
        let mut window = RateWindow::new(RateLimit { starts: 5, within: 100 * MS });
        (0..4).for_each(|_| window.spend(BEGIN));
        window.set(RateLimit { starts: 10, within: 1_000 * MS });
        assert_eq!(window.room(BEGIN.after(200 * MS)), Ok(6));
        window.set(RateLimit { starts: 3, within: 1_000 * MS });
        let until = window.room(BEGIN.after(200 * MS)).unwrap_err();
        assert!(until >= BEGIN.after(1_000 * MS) && until <= BEGIN.after(1_010 * MS));
        assert_eq!(window.room(until), Ok(3));
    }

    #[test]
    fn a_limit_of_nothing_is_one() {
        let mut window = RateWindow::new(RateLimit { starts: 0, within: MS });
        assert_eq!(window.room(BEGIN), Ok(1));
        window.spend(BEGIN);
        assert!(window.room(BEGIN).is_err());
    }

    #[test]
    fn starts_of_an_earlier_process_count_as_long_as_they_would_have() {
        let limit = RateLimit { starts: 2, within: Duration::from_secs(60) };
        let (now, steady) = (BEGIN.after(Duration::from_secs(500)), BEGIN);
        let ago = |seconds| now.before(Duration::from_secs(seconds));
        let mut window = RateWindow::new(limit);
        for at in [ago(100), ago(40), ago(10)] {
            window.restore(at, now, steady);
        }
        let until = window.room(steady).unwrap_err();
        assert!(until >= steady.after(Duration::from_secs(20)), "{until}");
        assert_eq!(window.room(until), Ok(1));

        let mut ahead = RateWindow::new(limit);
        ahead.restore(now.after(Duration::from_secs(61)), now, steady);
        assert_eq!(ahead.room(steady), Ok(2), "the clock was too far ahead to know");
        ahead.restore(now.after(Duration::from_secs(60)), now, steady);
        assert_eq!(ahead.room(steady), Ok(1));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut window = RateWindow::new(RateLimit { starts: u32::MAX, within: 10_000 * MS });
        for n in 0..100_000 {
            window.spend(BEGIN.after(Duration::from_micros(200 * n)));
        }
        assert!(
            window.recent.len() <= INTERVALS_PER_WINDOW as usize + 2,
            "{}",
            window.recent.len()
        );
    }
}
