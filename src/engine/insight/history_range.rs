//! The history that a chart shows: which interval it covers, what happened in it, and for which parts of it there is data.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::coverage::Period;
use super::histogram::Histogram;
use super::history::HistoryPoint;
use super::rollup::{self, HistoryMark};
use super::run_times::RunTimes;
use crate::engine::Engine;
use crate::job::{Invalid, Kind, QueueName, Time};
use crate::store::{HistoryRow, HistorySeries, HistoryStep, StoreError};

/// How far back a history reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistoryRange {
    /// Five minutes, by seconds.
    #[default]
    FiveMinutes,
    /// An hour, by minutes.
    Hour,
    /// Six hours, by minutes.
    SixHours,
    /// 24 hours, by ten minutes.
    Day,
    /// Seven days, by hours.
    Week,
    /// 30 days, by hours.
    Month,
}

/// The history of the server, of one queue or of one kind. Intervals in which nothing happened are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The time of the request, by the server's clock.
    pub now: Time,
    /// How far back it reaches.
    pub range: HistoryRange,
    /// What happened, oldest first. The interval that is under way is included, but for that of seconds.
    pub points: Vec<HistoryPoint>,
    /// When this process and others started, oldest first.
    pub starts: Vec<Time>,
    /// The changes of queues, oldest first.
    pub marks: Vec<HistoryMark>,
    /// The periods for which there is data, oldest first. An interval in them that is left out was quiet.
    pub periods: Vec<Period>,
}

impl HistoryRange {
    /// All ranges, the shortest first.
    pub const ALL: [HistoryRange; 6] = [
        HistoryRange::FiveMinutes,
        HistoryRange::Hour,
        HistoryRange::SixHours,
        HistoryRange::Day,
        HistoryRange::Week,
        HistoryRange::Month,
    ];

    /// How many seconds it covers.
    pub fn seconds(self) -> i64 {
        match self {
            HistoryRange::FiveMinutes => 300,
            HistoryRange::Hour => 3_600,
            HistoryRange::SixHours => 6 * 3_600,
            HistoryRange::Day => 24 * 3_600,
            HistoryRange::Week => 7 * 24 * 3_600,
            HistoryRange::Month => 30 * 24 * 3_600,
        }
    }

    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            HistoryRange::FiveMinutes => "5m",
            HistoryRange::Hour => "1h",
            HistoryRange::SixHours => "6h",
            HistoryRange::Day => "24h",
            HistoryRange::Week => "7d",
            HistoryRange::Month => "30d",
        }
    }

    /// The length of its intervals in seconds.
    pub fn interval_s(self) -> i64 {
        self.step().map_or(1, rollup::seconds)
    }

    /// The intervals that it consists of; `None` for seconds, which are not stored.
    fn step(self) -> Option<HistoryStep> {
        match self {
            HistoryRange::FiveMinutes => None,
            HistoryRange::Hour | HistoryRange::SixHours => Some(HistoryStep::Minute),
            HistoryRange::Day => Some(HistoryStep::TenMinutes),
            HistoryRange::Week | HistoryRange::Month => Some(HistoryStep::Hour),
        }
    }
}

impl FromStr for HistoryRange {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let range = HistoryRange::ALL.into_iter().find(|range| range.as_str() == name);
        range.ok_or_else(|| Invalid::new("range", name, "use 5m, 1h, 6h, 24h, 7d or 30d"))
    }
}

impl Engine {
    /// The history of the server or of one queue.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn history(
        &self,
        queue: Option<&QueueName>,
        range: HistoryRange,
    ) -> Result<History, StoreError> {
        self.history_of(&queue.into(), range).await
    }

    /// The history of a kind, with the changes of all queues.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn kind_history(
        &self,
        kind: &Kind,
        range: HistoryRange,
    ) -> Result<History, StoreError> {
        self.history_of(&HistorySeries::Kind(kind.clone()), range).await
    }

    /// How long the attempts of a kind ran that ended in a range; the range begins with a whole interval.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn run_times(
        &self,
        kind: &Kind,
        range: HistoryRange,
    ) -> Result<RunTimes, StoreError> {
        let step = range.step().unwrap_or(HistoryStep::Minute);
        let from = self.parts.clock.now().millis() - range.seconds() * 1_000;
        let first = first_number(step, from);
        let rows = self.history_rows(step, &HistorySeries::Kind(kind.clone()), first).await?;
        let mut all = Histogram::default();
        for run in rows.iter().filter_map(|(_, value)| rollup::run_histogram(value)) {
            all.merge(&run);
        }
        Ok(RunTimes::of(&all))
    }

    async fn history_of(
        &self,
        series: &HistorySeries,
        range: HistoryRange,
    ) -> Result<History, StoreError> {
        let now = self.parts.clock.now();
        let from = Time::from_millis(now.millis() - range.seconds() * 1_000);
        let starts = self.parts.store.starts();
        // A kind has no changes of its own; its jobs may be in any queue.
        let of_marks = match series {
            HistorySeries::Server | HistorySeries::Queue(_) => series,
            HistorySeries::Kind(_) => &HistorySeries::Server,
        };
        let first_mark = rollup::mark_number(from);
        let marks = self.history_rows(HistoryStep::Mark, of_marks, first_mark).await?;
        let marks = marks.iter().filter_map(|(_, value)| rollup::mark(value)).collect();
        let Some(step) = range.step() else {
            let observed = self.parts.observed.lock();
            let points = observed.meter.points(series, now);
            let periods = observed.coverage.periods(now);
            return Ok(History { now, range, points, starts, marks, periods });
        };
        let length = rollup::seconds(step);
        let first = first_number(step, from.millis());
        let rows = self.history_rows(step, series, first).await?;
        let point = |(key, value): &HistoryRow| rollup::point(step, key.number, value);
        let points: Vec<HistoryPoint> = rows.iter().filter_map(point).collect();
        // The server was up when anything happened on it, not only in this queue or to this kind.
        let counted = match series {
            HistorySeries::Server => times(&rows, length),
            HistorySeries::Queue(_) | HistorySeries::Kind(_) => {
                let all = self.history_rows(step, &HistorySeries::Server, first).await?;
                times(&all, length)
            }
        };
        let live = self.parts.observed.lock().coverage.periods(now);
        let periods = with_earlier(&counted, length, &starts, live);
        Ok(History { now, range, points, starts, marks, periods })
    }

    /// The rows of the store and those that it does not have yet.
    pub(super) async fn history_rows(
        &self,
        step: HistoryStep,
        series: &HistorySeries,
        from: u64,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        let stored = self.parts.store.history().rows(step, series.clone(), from).await?;
        let mut rows: BTreeMap<_, _> = stored.into_iter().collect();
        rows.extend(self.parts.observed.lock().rollup.rows(step, series, from));
        Ok(rows.into_iter().collect())
    }
}

/// The number of the interval of a time in milliseconds.
pub(super) fn first_number(step: HistoryStep, ms: i64) -> u64 {
    u64::try_from(ms.div_euclid(rollup::seconds(step) * 1_000)).unwrap_or(0)
}

/// The starts of the intervals.
fn times(rows: &[HistoryRow], length: i64) -> Vec<Time> {
    let number = |(key, _): &HistoryRow| i64::try_from(key.number).unwrap_or(0);
    rows.iter().map(|row| Time::from_millis(number(row) * length * 1_000)).collect()
}

/// Adds the periods before the first one of `live`, in which the intervals at `counted` were counted. A process is taken
/// to have been up from its start, or its first interval when its start is not known any more, to its last interval; the
/// one that `live` begins with, to there.
fn with_earlier(counted: &[Time], length: i64, starts: &[Time], live: Vec<Period>) -> Vec<Period> {
    let Some(begin) = live.first().map(|period| period.from) else { return live };
    let process = |at: Time| starts.partition_point(|start| *start <= at);
    let end = |at: Time| Time::from_millis(at.millis() + length * 1_000).min(begin);
    let mut earlier: Vec<(usize, Period)> = Vec::new();
    // What was counted in the interval in which a process started may be all its own.
    let is_earlier = |at: &Time| {
        let ends_before = at.millis() + length * 1_000 <= begin.millis();
        ends_before || *at < begin && process(*at) == process(begin)
    };
    for at in counted.iter().copied().filter(is_earlier) {
        let number = process(at);
        match earlier.last_mut() {
            Some((last, period)) if *last == number => period.until = end(at),
            Some(_) | None => earlier.push((number, Period { from: at, until: end(at) })),
        }
    }
    if let Some((last, period)) = earlier.last_mut()
        && *last == process(begin)
    {
        period.until = begin;
    }
    earlier.into_iter().map(|(_, period)| period).chain(live).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Time {
        Time::from_millis(minutes * 60_000)
    }

    /// The periods in minutes, when minutes were counted and the live period is 900 to 1,000.
    fn periods(counted: &[i64], starts: &[i64], begin: i64) -> Vec<(i64, i64)> {
        let counted: Vec<Time> = counted.iter().copied().map(at).collect();
        let starts: Vec<Time> = starts.iter().copied().map(at).collect();
        let live = vec![Period { from: at(begin), until: at(1_000) }];
        let minutes =
            |period: Period| (period.from.millis() / 60_000, period.until.millis() / 60_000);
        with_earlier(&counted, 60, &starts, live).into_iter().map(minutes).collect()
    }

    #[test]
    fn a_process_was_up_between_its_intervals_and_not_after_the_last() {
        assert_eq!(periods(&[], &[900], 900), [(900, 1_000)]);
        assert_eq!(periods(&[950], &[900], 900), [(900, 1_000)]);
        let both = periods(&[100, 150, 600, 700, 950], &[100, 600, 900], 900);
        assert_eq!(both, [(100, 151), (600, 701), (900, 1_000)]);
        // The starts before are not known any more.
        assert_eq!(periods(&[10, 20, 700], &[600, 900], 900)[0], (10, 21));
    }

    #[test]
    fn the_process_whose_events_have_left_the_log_was_up_all_the_time() {
        assert_eq!(periods(&[100, 150], &[100], 900), [(100, 900), (900, 1_000)]);
    }

    #[test]
    fn the_interval_of_the_start_belongs_to_the_process_that_started_in_it() {
        let live = || vec![Period { from: at(900), until: at(1_000) }];
        let of = |starts: &[Time]| with_earlier(&[at(890)], 1_200, starts, live());
        assert_eq!(of(&[at(900)]), live());
        assert_eq!(of(&[at(100)])[0], Period { from: at(890), until: at(900) });
    }

    #[test]
    fn every_range_is_covered_by_its_step() {
        for range in HistoryRange::ALL {
            let step = range.step().map_or(1, rollup::seconds);
            assert_eq!(range.seconds() % step, 0, "{range:?}");
        }
    }
}
