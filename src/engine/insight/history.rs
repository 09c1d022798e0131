//! The last five minutes by seconds, in bounded memory. This module does not know events: the meter counts them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Latency};
use crate::job::Time;

/// The counts of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IntervalCounts {
    /// Events of any type.
    pub events: u32,
    /// Jobs enqueued.
    pub enqueued: u32,
    /// Attempts started.
    pub started: u32,
    /// Jobs completed.
    pub completed: u32,
    /// Attempts that failed, whether the job is retried or not.
    pub failed: u32,
}

/// An interval in which something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPoint {
    /// The start of the interval.
    pub at: Time,
    /// The counts.
    pub counts: IntervalCounts,
    /// How long jobs were available before they started; `None` when no start was timed.
    pub wait: Option<Latency>,
    /// How long attempts ran; `None` when no end was timed.
    pub run: Option<Latency>,
}

/// What happened in a queue in the last five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// Jobs completed.
    pub completed: u64,
    /// Attempts that failed, whether the job is retried or not.
    pub failed: u64,
}

/// An interval that is still being counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Its number: how many intervals of this length have passed since 1970.
    pub number: i64,
    pub counts: IntervalCounts,
    pub wait: Histogram,
    pub run: Histogram,
}

/// How many seconds are kept: five minutes.
pub const SECONDS: usize = 300;
/// How many full seconds the current rates and latencies cover.
pub const WINDOW: i64 = 5;

/// The history of one queue or of the server. Intervals in which nothing happened take no memory.
#[derive(Debug, Default)]
pub struct Series {
    seconds: VecDeque<HistoryPoint>,
    second: Tally,
    /// The last seconds with their histograms, for the current rates and latencies.
    recent: VecDeque<Tally>,
}

impl IntervalCounts {
    /// Adds other counts.
    pub fn add(&mut self, more: IntervalCounts) {
        self.events = self.events.saturating_add(more.events);
        self.enqueued = self.enqueued.saturating_add(more.enqueued);
        self.started = self.started.saturating_add(more.started);
        self.completed = self.completed.saturating_add(more.completed);
        self.failed = self.failed.saturating_add(more.failed);
    }
}

impl Tally {
    pub fn point(&self, length: i64) -> HistoryPoint {
        HistoryPoint {
            at: Time::from_millis(self.number * length * 1_000),
            counts: self.counts,
            wait: self.wait.latency(),
            run: self.run.latency(),
        }
    }

    fn is_quiet(&self) -> bool {
        self.counts == IntervalCounts::default()
    }

    fn add(&mut self, more: &Tally) {
        self.counts.add(more.counts);
        self.wait.merge(&more.wait);
        self.run.merge(&more.run);
    }
}

impl Series {
    /// The second to count into; the newest one if the clock was set back. If it was set back by more than the seconds
    /// that are kept, the history begins again, because otherwise it would end until the clock gets there again.
    pub fn at(&mut self, second: i64) -> &mut Tally {
        if second < self.second.number - SECONDS as i64 {
            *self = Series::default();
        }
        if second > self.second.number {
            self.close_second(second);
        }
        &mut self.second
    }

    /// The jobs completed and the attempts failed since a time, including the second that is being counted.
    pub fn activity_since(&self, from: Time) -> Activity {
        let recent = self.seconds.iter().rev().take_while(|point| point.at >= from);
        let counts = recent.map(|point| &point.counts).chain([&self.second.counts]);
        let mut sum = Activity::default();
        for IntervalCounts { completed, failed, .. } in counts {
            sum.completed += u64::from(*completed);
            sum.failed += u64::from(*failed);
        }
        sum
    }

    /// The last second in which something was counted.
    pub fn last(&self) -> i64 {
        self.second.number
    }

    /// The sum of the last full seconds before `now`. Reading changes nothing: events from before the start are counted into
    /// their own seconds although the history was read meanwhile.
    pub fn window(&self, now: i64) -> Tally {
        let mut sum = Tally::default();
        let within = |tally: &&Tally| (now - WINDOW..now).contains(&tally.number);
        self.recent.iter().chain([&self.second]).filter(within).for_each(|tally| sum.add(tally));
        sum
    }

    /// The last full second before `now`.
    pub fn last_second(&self, now: i64) -> HistoryPoint {
        let quiet = Tally { number: now - 1, ..Tally::default() };
        let newest = [self.newest_full(now), self.seconds.back().copied()].into_iter().flatten();
        let mut last = newest.filter(|point| point.at.millis() == (now - 1) * 1_000);
        last.next().unwrap_or_else(|| quiet.point(1))
    }

    /// The full seconds before `now` in which something happened, oldest first.
    pub fn points(&self, now: i64) -> Vec<HistoryPoint> {
        let oldest = Time::from_millis((now - SECONDS as i64) * 1_000);
        let full = self.seconds.iter().copied().chain(self.newest_full(now));
        full.filter(|point| point.at >= oldest).collect()
    }

    /// The second that is counted into, if it is over and something happened in it.
    fn newest_full(&self, now: i64) -> Option<HistoryPoint> {
        (self.second.number < now && !self.second.is_quiet()).then(|| self.second.point(1))
    }

    fn close_second(&mut self, next: i64) {
        let fresh = Tally { number: next, ..Tally::default() };
        let closed = std::mem::replace(&mut self.second, fresh);
        if !closed.is_quiet() {
            push(&mut self.seconds, closed.point(1), SECONDS);
            push(&mut self.recent, closed, WINDOW as usize + 1);
        }
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Time {
        Time::from_millis(ms)
    }

    fn count(series: &mut Series, second: i64, completed: u32, run: i64) {
        let tally = series.at(second);
        tally.counts.completed += completed;
        tally.run.add(ms(0), ms(run));
    }

    #[test]
    fn the_current_second_is_not_shown_before_it_is_over() {
        let mut series = Series::default();
        count(&mut series, 100, 3, 1);
        assert_eq!(series.points(100), []);
        assert_eq!(series.last_second(101).counts.completed, 3);
        assert_eq!(
            series.last_second(102),
            HistoryPoint { at: ms(101_000), ..series.last_second(150) }.into_quiet()
        );
        assert_eq!(series.window(104).counts.completed, 3);
        assert_eq!(series.window(106).counts.completed, 0);
    }

    #[test]
    fn events_from_before_a_read_are_counted_into_their_own_seconds() {
        let mut series = Series::default();
        assert_eq!((series.points(105), series.window(105).counts.completed), (Vec::new(), 0));
        count(&mut series, 100, 1, 1);
        count(&mut series, 101, 2, 1);
        let completed: Vec<u32> =
            series.points(105).iter().map(|point| point.counts.completed).collect();
        assert_eq!((completed, series.window(105).counts.completed), (vec![1, 2], 3));
    }

    impl HistoryPoint {
        fn into_quiet(self) -> HistoryPoint {
            HistoryPoint { counts: IntervalCounts::default(), wait: None, run: None, ..self }
        }
    }

    #[test]
    fn a_clock_that_goes_back_counts_into_the_newest_second() {
        let mut series = Series::default();
        count(&mut series, 100, 1, 1);
        count(&mut series, 40, 1, 1);
        assert_eq!(series.points(101)[0].counts.completed, 2);
    }

    #[test]
    fn a_clock_that_was_far_ahead_begins_the_history_again() {
        let mut series = Series::default();
        count(&mut series, 2_000_000, 3, 1);
        count(&mut series, 1_000_000, 1, 1);
        count(&mut series, 1_000_001, 1, 1);
        assert_eq!(series.points(1_000_002).len(), 2);
    }

    #[test]
    fn however_long_it_counts_it_keeps_the_same_amount() {
        let mut series = Series::default();
        for second in 0..60_000 {
            count(&mut series, second, 1, second % 50);
        }
        assert_eq!((series.points(60_000).len(), series.recent.len()), (SECONDS, 6));
        assert_eq!(series.points(60_100).len(), 200, "what is too old is not shown");
    }
}
