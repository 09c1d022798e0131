//! The columns of a chart: which times they cover, the sums and maxima of points in them, and which of them have data.
//! `static/chart.js` does the same for the seconds that it adds.

use std::fmt::Write;

use crate::engine::{HistoryPoint, HistoryRange, Latency, Period};
use crate::job::Time;

/// The assignment of times to columns.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The width of a column in seconds.
    pub width: i64,
    /// The number of columns.
    pub count: usize,
    /// The index of the newest column, counted from 1970.
    last: i64,
    /// The seconds of the newest column that have passed.
    part: i64,
    /// Whether each column has data: it overlaps a period for which the history has data.
    known: Vec<bool>,
}

impl Columns {
    /// The columns of a range that ends now.
    pub fn of(now: Time, range: HistoryRange, periods: &[Period]) -> Columns {
        let width = match range {
            HistoryRange::FiveMinutes => 3,
            HistoryRange::Hour => 60,
            HistoryRange::SixHours => 180,
            HistoryRange::Day => 600,
            HistoryRange::Week => 3_600,
            HistoryRange::Month => 4 * 3_600,
        };
        let count = usize::try_from(range.seconds() / width).unwrap_or(1);
        Columns::new(now, width, count, periods)
    }

    /// Columns of `width` seconds that end now.
    pub fn new(now: Time, width: i64, count: usize, periods: &[Period]) -> Columns {
        let second = now.millis().div_euclid(1_000);
        let last = (second - 1).div_euclid(width);
        let mut columns =
            Columns { width, count, last, part: second - last * width, known: vec![false; count] };
        let first = columns.first();
        for period in periods {
            let from = period.from.millis().div_euclid(1_000 * width) - first;
            let until = (period.until.millis() - 1).div_euclid(1_000 * width) - first;
            for column in from.max(0)..=until.min(count as i64 - 1) {
                columns.known[column as usize] = true;
            }
        }
        columns
    }

    /// The index of the oldest column, counted from 1970.
    fn first(&self) -> i64 {
        self.last - self.count as i64 + 1
    }

    /// The start of the oldest column, in seconds since 1970.
    pub fn from(&self) -> i64 {
        self.first() * self.width
    }

    /// The end of the newest column, in seconds since 1970.
    pub fn until(&self) -> i64 {
        self.last * self.width + self.part
    }

    /// Where a time is in a drawing of this width. The begin of a column is where its value is drawn.
    pub fn x(&self, at: Time, width: f64) -> f64 {
        let columns = (at.millis() as f64 / 1_000.0 - self.from() as f64) / self.width as f64;
        let newest = (self.count.max(2) - 1) as f64;
        columns.min(newest) / newest * width
    }

    /// `1` for each column with data and `0` for each without, oldest first.
    pub fn known_text(&self) -> String {
        self.known.iter().map(|known| if *known { '1' } else { '0' }).collect()
    }

    /// Drops the values of columns without data.
    fn only_known<T>(&self, values: Vec<Option<T>>) -> Vec<Option<T>> {
        let known = values.into_iter().zip(&self.known);
        known.map(|(value, known)| value.filter(|_| *known)).collect()
    }

    fn column(&self, at: Time) -> Option<usize> {
        let number = at.millis().div_euclid(1_000).div_euclid(self.width);
        usize::try_from(number - self.first()).ok().filter(|column| *column < self.count)
    }

    /// Adds up a count by column.
    pub fn counts(&self, points: &[HistoryPoint], count: fn(&HistoryPoint) -> u32) -> Vec<f64> {
        let mut sums = vec![0.0; self.count];
        for point in points {
            if let Some(column) = self.column(point.at) {
                sums[column] += f64::from(count(point));
            }
        }
        sums
    }

    /// The counts of the columns with data.
    pub fn known_counts(&self, sums: &[f64]) -> Vec<Option<f64>> {
        self.only_known(sums.iter().copied().map(Some).collect())
    }

    /// Divides the counts by the seconds of their columns.
    pub fn per_second(&self, sums: &[f64]) -> Vec<Option<f64>> {
        let mut rates = self.known_counts(sums);
        for (column, rate) in rates.iter_mut().enumerate() {
            let is_last = column + 1 == self.count;
            let seconds = if is_last { self.part.clamp(1, self.width) } else { self.width };
            *rate = rate.map(|sum| sum / seconds as f64);
        }
        rates
    }

    /// The maximum of each column.
    pub fn longest(
        &self,
        points: &[HistoryPoint],
        of: fn(&HistoryPoint) -> Option<Latency>,
        percentile: fn(&Latency) -> u32,
    ) -> Vec<Option<f64>> {
        let mut most: Vec<Option<f64>> = vec![None; self.count];
        for point in points {
            if let (Some(column), Some(latency)) = (self.column(point.at), of(point)) {
                let value = f64::from(percentile(&latency));
                most[column] = Some(most[column].map_or(value, |most| most.max(value)));
            }
        }
        self.only_known(most)
    }

    /// The ranges of neighbouring columns for which `known` is the same, as their first and last indexes.
    pub fn ranges(&self, known: bool) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for column in (0..self.count).filter(|column| self.known[*column] == known) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == column => *last = column,
                Some(_) | None => ranges.push((column, column)),
            }
        }
        ranges
    }

    /// The areas without data as an SVG path in a box of this size.
    pub fn no_data(&self, width: f64, height: f64) -> String {
        let step = width / (self.count.max(2) - 1) as f64;
        let mut out = String::new();
        for (first, last) in self.ranges(false) {
            let from = first.saturating_sub(1) as f64 * step;
            let until = (last + 1).min(self.count - 1) as f64 * step;
            // Writing to a string cannot fail.
            let _ = write!(out, "M{from:.1} 0H{until:.1}V{height}H{from:.1}z");
        }
        out
    }

    /// The times without data in words, such as ` No data before 08:00:00 UTC.`; empty when there are none.
    pub fn no_data_words(&self) -> String {
        let at = |column: usize| {
            let start = (self.from() + column as i64 * self.width).min(self.until());
            let text = Time::from_millis(start * 1_000).to_string();
            // A time of day says too little in a chart of days.
            let from = if self.width * self.count as i64 > 24 * 3_600 { 0 } else { 11 };
            let time = text.get(from..19).unwrap_or(&text).replace('T', " ");
            format!("{time} UTC")
        };
        let mut out = String::new();
        for (first, last) in self.ranges(false) {
            // Writing to a string cannot fail.
            let _ = match (first == 0, last + 1 == self.count) {
                (true, true) => write!(out, " No data yet."),
                (true, false) => write!(out, " No data before {}.", at(last + 1)),
                (false, true) => write!(out, " No data since {}.", at(first)),
                (false, false) => {
                    write!(out, " No data from {} to {}.", at(first), at(last + 1))
                }
            };
        }
        out
    }
}

/// The numbers of columns as text, separated by commas; empty where there is none.
pub fn numbers(values: impl Iterator<Item = Option<f64>>) -> String {
    let texts = values.map(|value| value.map_or(String::new(), |value| value.to_string()));
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn columns(periods: &[(i64, i64)]) -> Columns {
        let period = |(from, until): &(i64, i64)| Period { from: at(*from), until: at(*until) };
        let periods: Vec<Period> = periods.iter().map(period).collect();
        Columns::new(at(3_000), 3, 10, &periods)
    }

    #[test]
    fn a_column_has_data_when_it_overlaps_a_period() {
        for (periods, known) in [
            (&[(0, 3_000)][..], "1111111111"),
            (&[(2_980, 3_000)], "0001111111"),
            (&[(0, 2_973), (2_981, 2_982), (2_994, 3_000)], "1001000011"),
            (&[(2_999, 3_000)], "0000000001"),
            (&[], "0000000000"),
        ] {
            assert_eq!(columns(periods).known_text(), known, "{periods:?}");
        }
    }

    #[test]
    fn times_without_data_are_areas_and_words_and_have_no_values() {
        let some = columns(&[(0, 2_973), (2_994, 3_000)]);
        assert_eq!(some.no_data(90.0, 24.0), "M0.0 0H80.0V24H0.0z");
        assert_eq!(some.no_data_words(), " No data from 00:49:33 UTC to 00:49:54 UTC.");
        let sums = vec![3.0; 10];
        let known = [Some(1.0), None, None, None, None, None, None, None, Some(1.0), Some(1.0)];
        assert_eq!(some.per_second(&sums), known);
        assert_eq!(columns(&[(2_980, 3_000)]).no_data_words(), " No data before 00:49:39 UTC.");
        assert_eq!(columns(&[(0, 2_973)]).no_data_words(), " No data since 00:49:33 UTC.");
        assert_eq!(columns(&[]).no_data_words(), " No data yet.");
        assert_eq!(columns(&[(0, 3_000)]).no_data_words(), "");
        assert_eq!(columns(&[(0, 3_000)]).no_data(90.0, 24.0), "");
    }
}
