//! How long attempts ran over minutes or weeks, as the bars of a histogram.

use super::histogram::{Histogram, Latency};

/// The upper bounds of the bars in milliseconds; the last bar has none.
const BOUNDS_MS: [u32; 22] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000,
    120_000, 300_000, 600_000, 1_800_000, 3_600_000, 21_600_000,
];

/// The run times of a sample of the attempts that ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunTimes {
    /// The percentiles; `None` when no end was timed.
    pub latency: Option<Latency>,
    /// The bars from the shortest to the longest run time; none when no end was timed.
    pub bars: Vec<RunTimeBar>,
}

/// The attempts whose run time is in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTimeBar {
    /// The shortest run time in milliseconds.
    pub from: u32,
    /// The run time in milliseconds below which they are; `None` for the last bar.
    pub below: Option<u32>,
    /// How many attempts of the sample it has.
    pub count: u64,
}

impl RunTimes {
    /// The bars of a histogram.
    pub fn of(histogram: &Histogram) -> RunTimes {
        let mut counts = [0_u64; BOUNDS_MS.len() + 1];
        for (ms, count) in histogram.counts() {
            counts[BOUNDS_MS.partition_point(|bound| *bound <= ms)] += u64::from(count);
        }
        let is_used = |index: &usize| counts[*index] > 0;
        let (first, last) = ((0..counts.len()).find(is_used), (0..counts.len()).rfind(is_used));
        let bar = |index: usize| RunTimeBar {
            from: index.checked_sub(1).map_or(0, |before| BOUNDS_MS[before]),
            below: BOUNDS_MS.get(index).copied(),
            count: counts[index],
        };
        let bars = first.zip(last).map(|(first, last)| (first..=last).map(bar).collect());
        RunTimes { latency: histogram.latency(), bars: bars.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Time;

    fn run_times(lengths: &[i64]) -> RunTimes {
        let mut histogram = Histogram::default();
        for ms in lengths {
            histogram.add(Time::from_millis(0), Time::from_millis(*ms));
        }
        RunTimes::of(&histogram)
    }

    #[test]
    fn bars_go_from_the_shortest_to_the_longest_run_time_with_the_empty_ones_between() {
        assert_eq!(run_times(&[]), RunTimes::default());
        let bars = run_times(&[3, 4, 5, 40]).bars;
        let shown: Vec<_> = bars.iter().map(|bar| (bar.from, bar.below, bar.count)).collect();
        let expected = [(2, Some(5), 2), (5, Some(10), 1), (10, Some(20), 0), (20, Some(50), 1)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_shortest_and_the_longest_run_times_have_a_bar() {
        let bars = run_times(&[0, i64::MAX / 2]).bars;
        assert_eq!((bars[0].from, bars[0].below, bars[0].count), (0, Some(1), 1));
        let last = bars.last().unwrap();
        assert_eq!((last.from, last.below, last.count), (21_600_000, None, 1));
    }
}
