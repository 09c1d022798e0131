//! How long jobs waited in several queues over time, as the cells of a heat map. The histograms of the stored intervals are
//! merged, because percentiles cannot be.

use super::coverage::Period;
use super::histogram::{Histogram, Latency};
use super::history_range::{HistoryRange, first_number};
use super::rollup;
use crate::engine::Engine;
use crate::job::{QueueName, Time};
use crate::store::{HistorySeries, HistoryStep, StoreError};

/// How far back a heat map reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitRange {
    /// An hour, in columns of two minutes.
    Hour,
    /// Six hours, in columns of ten minutes.
    #[default]
    SixHours,
    /// 24 hours, in columns of an hour.
    Day,
    /// Seven days, in columns of six hours.
    Week,
}

/// The waiting times of some queues.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitMap {
    /// The starts of the columns, oldest first. The last one is under way.
    pub columns: Vec<Time>,
    /// The seconds of a column.
    pub width: i64,
    /// A row for each queue with a cell for each column; `None` where no job started.
    pub rows: Vec<Vec<Option<Latency>>>,
    /// The periods for which there is data, oldest first.
    pub periods: Vec<Period>,
}

impl WaitRange {
    /// All ranges, the shortest first.
    pub const ALL: [WaitRange; 4] =
        [WaitRange::Hour, WaitRange::SixHours, WaitRange::Day, WaitRange::Week];

    /// The stored intervals that columns consist of, the seconds of a column, and the number of columns, which the style
    /// sheet knows, too.
    fn columns(self) -> (HistoryStep, i64, usize) {
        match self {
            WaitRange::Hour => (HistoryStep::Minute, 120, 30),
            WaitRange::SixHours => (HistoryStep::TenMinutes, 600, 36),
            WaitRange::Day => (HistoryStep::Hour, 3_600, 24),
            WaitRange::Week => (HistoryStep::Hour, 6 * 3_600, 28),
        }
    }

    /// The range of charts that is as long.
    pub fn of_charts(self) -> HistoryRange {
        match self {
            WaitRange::Hour => HistoryRange::Hour,
            WaitRange::SixHours => HistoryRange::SixHours,
            WaitRange::Day => HistoryRange::Day,
            WaitRange::Week => HistoryRange::Week,
        }
    }
}

impl Engine {
    /// How long jobs waited that started in each of these queues.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn wait_map(
        &self,
        queues: &[QueueName],
        range: WaitRange,
    ) -> Result<WaitMap, StoreError> {
        let (step, width, count) = range.columns();
        let now = self.parts.clock.now().millis().div_euclid(1_000);
        let first = now.div_euclid(width) - count as i64 + 1;
        let columns = (0..count as i64).map(|column| (first + column) * width);
        let from = first_number(step, first * width * 1_000);
        let mut rows = Vec::with_capacity(queues.len());
        for queue in queues {
            let series = HistorySeries::Queue(queue.clone());
            let mut waits = vec![Histogram::default(); count];
            for (key, value) in self.history_rows(step, &series, from).await? {
                let at = i64::try_from(key.number).unwrap_or(0) * rollup::seconds(step);
                let column = usize::try_from(at.div_euclid(width) - first).unwrap_or(usize::MAX);
                let wait = rollup::wait_histogram(&value);
                if let (Some(cell), Some(wait)) = (waits.get_mut(column), wait) {
                    cell.merge(&wait);
                }
            }
            rows.push(waits.iter().map(Histogram::latency).collect());
        }
        let periods = self.history(None, range.of_charts()).await?.periods;
        let columns = columns.map(|second| Time::from_millis(second * 1_000)).collect();
        Ok(WaitMap { columns, width, rows, periods })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_consist_of_whole_intervals_and_cover_the_range() {
        for range in WaitRange::ALL {
            let (step, width, count) = range.columns();
            assert_eq!(width % rollup::seconds(step), 0, "{range:?}");
            assert_eq!(width * count as i64, range.of_charts().seconds(), "{range:?}");
        }
    }
}
