//! Sparklines and small bars as SVG paths. A sparkline carries its numbers, so that `static/chart.js` can continue it.

use crate::engine::{HistoryPoint, Period};
use crate::job::Time;

use super::columns::{Columns, numbers};

/// The sparkline of a queue: its completed jobs as a filled line, with the numbers that the script needs.
pub struct Spark {
    /// The SVG path, 100 wide and 24 high.
    pub path: String,
    /// The completed jobs of each column, separated by commas.
    pub completed: String,
    /// The failed attempts of each column, separated by commas.
    pub failed: String,
    /// The width of a column in seconds.
    pub width: i64,
    /// The end of the newest column, in seconds since 1970.
    pub until: i64,
    /// `1` for each column with data and `0` for each without, oldest first.
    pub known: String,
    /// The SVG path of the areas without data.
    pub no_data: String,
}

/// Builds the sparkline of the last five minutes, in columns of five seconds.
pub fn spark(points: &[HistoryPoint], periods: &[Period], now: Time) -> Spark {
    let columns = Columns::new(now, 5, 60, periods);
    let completed = columns.counts(points, |point| point.counts.completed);
    let failed = columns.counts(points, |point| point.counts.failed);
    let as_text = |sums: &[f64]| numbers(sums.iter().map(|sum| Some(*sum)));
    Spark {
        path: area(&completed, &columns),
        completed: as_text(&completed),
        failed: as_text(&failed),
        width: columns.width,
        until: columns.until(),
        known: columns.known_text(),
        no_data: columns.no_data(100.0, 24.0),
    }
}

/// Draws counts, oldest first, as bars in a box 100 wide and 24 high.
pub fn bars(counts: &[u32]) -> String {
    use std::fmt::Write;
    let most = f64::from(counts.iter().copied().max().unwrap_or(0).max(1));
    let step = 100.0 / counts.len().max(1) as f64;
    let mut out = String::new();
    for (column, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (f64::from(*count) / most * 22.0).max(2.0);
        let (x, y, width) = (column as f64 * step, 24.0 - height, (step - 0.4).max(0.6));
        // Writing to a string cannot fail.
        let _ = write!(out, "M{x:.1} {y:.1}h{width:.1}V24h-{width:.1}z");
    }
    out
}

/// Draws counts as a filled line in a box 100 wide and 24 high, with gaps where there is no data.
fn area(counts: &[f64], columns: &Columns) -> String {
    use std::fmt::Write;
    let most = counts.iter().fold(1.0_f64, |most, count| most.max(*count));
    let step = 100.0 / (counts.len().max(2) - 1) as f64;
    let x = |column: usize| (column as f64 * step * 10.0).round() / 10.0;
    let mut out = String::new();
    for (first, last) in columns.ranges(true) {
        // Writing to a string cannot fail.
        let _ = write!(out, "M{} 24", x(first));
        for (column, count) in counts.iter().enumerate().take(last + 1).skip(first) {
            let _ = write!(out, "L{:.1} {:.1}", column as f64 * step, 23.0 - count / most * 21.0);
        }
        let _ = write!(out, "L{} 24z", x(last));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::IntervalCounts;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn point(second: i64, completed: u32) -> HistoryPoint {
        let counts = IntervalCounts { completed, ..IntervalCounts::default() };
        HistoryPoint { at: at(second), counts, wait: None, run: None }
    }

    #[test]
    fn sparklines_have_a_column_for_every_stretch() {
        let now = at(1_000);
        let points = [point(999, 3), point(996, 1), point(100, 9)];
        let periods = [Period { from: at(0), until: now }];
        let Spark { path: spark, completed, width, until, .. } = spark(&points, &periods, now);
        assert!(completed.ends_with(",0,4"), "{completed}");
        assert_eq!((width, until), (5, 1_000));
        assert!(spark.starts_with("M0 24L0.0 23.0L1.7 23.0"), "{spark}");
        assert!(spark.ends_with("L98.3 23.0L100.0 2.0L100 24z"), "{spark}");
        assert_eq!(bars(&[0, 2, 1]), "M33.3 2.0h32.9V24h-32.9zM66.7 13.0h32.9V24h-32.9z");
        assert_eq!(bars(&[0, 0]), "");
    }

    #[test]
    fn the_time_before_the_first_start_is_empty_and_not_zero() {
        let spark =
            spark(&[], &[Period { from: at(999_900), until: at(1_000_000) }], at(1_000_000));
        assert!(spark.path.starts_with("M67.8 24L67.8 23.0L69.5 23.0"), "{}", spark.path);
        assert_eq!(spark.known.matches('1').count(), 20);
    }
}
