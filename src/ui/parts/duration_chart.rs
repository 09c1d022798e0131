//! The histogram of run times as SVG paths, which the server draws so that it needs no JavaScript.

use std::time::Duration;

use crate::engine::{RunTimeBar, RunTimes};

use super::chart::{Level, WIDTH};
use super::filters::{count, percent};
use super::time_format::length;
use super::value_scale::{ChartScale, HEIGHT, ValueScale};

/// With more bars than this, the axis has only round bounds.
const MAX_ALL_BOUNDS: usize = 8;
/// Bounds in milliseconds that the axis shows in any case.
const ROUND_MS: [u32; 9] = [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 21_600_000];

/// The histogram of a page.
pub struct DurationChart {
    /// The bars from the shortest to the longest run time.
    pub bars: Vec<DurationBar>,
    /// The horizontal lines, the highest first.
    pub levels: Vec<Level>,
    /// The bounds on the horizontal axis.
    pub bounds: Vec<Bound>,
    /// The percentiles.
    pub percentiles: Vec<PercentileLine>,
    /// The description for screen readers.
    pub words: String,
    /// How many attempts of the sample are in it.
    pub attempts: u64,
}

/// A bar, which is a row of the table, too.
pub struct DurationBar {
    /// The SVG path.
    pub path: String,
    /// The range in words: `5 to 10 ms`.
    pub range: String,
    /// The number of attempts.
    pub count: u64,
    /// Their share.
    pub share: String,
}

/// A bound between two bars.
pub struct Bound {
    /// The position in percent of the width.
    pub percent: f64,
    /// The duration.
    pub text: String,
    /// Whether a narrow chart leaves its text out.
    pub is_minor: bool,
}

/// The line at a percentile.
pub struct PercentileLine {
    /// The name, which also selects the colour: `p50`.
    pub name: &'static str,
    /// The position on the horizontal axis.
    pub x: f64,
    /// The duration.
    pub text: String,
}

impl DurationChart {
    /// Draws the histogram; `None` when no attempt ended.
    pub fn of(runs: &RunTimes) -> Option<DurationChart> {
        let latency = runs.latency?;
        let attempts: u64 = runs.bars.iter().map(|bar| bar.count).sum();
        let share = |bar: &RunTimeBar| bar.count as f64 * 100.0 / attempts.max(1) as f64;
        let scale = ValueScale::of(ChartScale::Linear, runs.bars.iter().map(share), 10.0);
        let step = WIDTH / runs.bars.len().max(1) as f64;
        let bars = runs.bars.iter().enumerate().map(|(index, bar)| DurationBar {
            path: path(index as f64 * step, step, scale.y(share(bar)), bar.count > 0),
            range: range_words(bar),
            count: bar.count,
            share: percent(bar.count, attempts),
        });
        let percentiles = [("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99)];
        let percentiles = percentiles.map(|(name, ms)| PercentileLine {
            name,
            x: (position(&runs.bars, ms) * step * 10.0).round() / 10.0,
            text: duration(ms),
        });
        let most = runs.bars.iter().max_by_key(|bar| bar.count)?;
        let words = format!(
            "Run times: p50 {}, p95 {}, p99 {}. Most attempts, {}, ran for {}.",
            duration(latency.p50),
            duration(latency.p95),
            duration(latency.p99),
            percent(most.count, attempts),
            range_words(most),
        );
        let level = |value: f64| Level { y: scale.y(value).round(), text: format!("{value}%") };
        Some(DurationChart {
            bars: bars.collect(),
            levels: scale.lines().into_iter().map(level).collect(),
            bounds: bounds(&runs.bars),
            percentiles: percentiles.into(),
            words,
            attempts,
        })
    }

    /// The attempts in words: `1 attempt`.
    pub fn attempts_words(&self) -> String {
        match self.attempts {
            1 => "1 attempt".to_owned(),
            attempts => format!("{} attempts", count(attempts)),
        }
    }
}

/// Where a duration is among the bars, in bars.
fn position(bars: &[RunTimeBar], ms: u32) -> f64 {
    let is_below = |bar: &RunTimeBar| bar.below.is_some_and(|below| below <= ms);
    let index = bars.partition_point(is_below).min(bars.len().saturating_sub(1));
    let Some(RunTimeBar { from, below, .. }) = bars.get(index) else { return 0.0 };
    let within = match below {
        Some(below) => f64::from(ms.saturating_sub(*from)) / f64::from((below - from).max(1)),
        None => 0.5,
    };
    index as f64 + within.clamp(0.0, 1.0)
}

fn path(x: f64, step: f64, y: f64, has_attempts: bool) -> String {
    // Few attempts beside many can be seen, too.
    let y = if has_attempts { y.min(HEIGHT - 3.0) } else { return String::new() };
    let (left, right) = (x + step * 0.04, x + step * 0.96);
    format!("M{left:.1} {HEIGHT}V{y:.1}H{right:.1}V{HEIGHT}z")
}

fn bounds(bars: &[RunTimeBar]) -> Vec<Bound> {
    let all = bars.len() <= MAX_ALL_BOUNDS;
    let bound = |(index, bar): (usize, &RunTimeBar)| {
        let is_round = ROUND_MS.contains(&bar.from);
        (index > 0 && (all || is_round)).then(|| Bound {
            percent: (index as f64 * 10_000.0 / bars.len() as f64).round() / 100.0,
            text: duration(bar.from),
            is_minor: !is_round,
        })
    };
    bars.iter().enumerate().filter_map(bound).collect()
}

fn range_words(bar: &RunTimeBar) -> String {
    match bar.below {
        Some(below) if bar.from == 0 => format!("less than {}", duration(below)),
        Some(below) => format!("{} to {}", duration(bar.from), duration(below)),
        None => format!("{} or longer", duration(bar.from)),
    }
}

fn duration(ms: u32) -> String {
    length(Duration::from_millis(ms.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Latency;

    fn runs(counts: &[(u32, Option<u32>, u64)], latency: [u32; 3]) -> RunTimes {
        let bar = |(from, below, count): &(u32, Option<u32>, u64)| RunTimeBar {
            from: *from,
            below: *below,
            count: *count,
        };
        let [p50, p95, p99] = latency;
        RunTimes {
            latency: Some(Latency { p50, p95, p99 }),
            bars: counts.iter().map(bar).collect(),
        }
    }

    #[test]
    fn bars_are_shares_with_the_percentiles_where_they_are() {
        let runs = runs(&[(5, Some(10), 6), (10, Some(20), 0), (20, Some(50), 2)], [7, 20, 35]);
        let chart = DurationChart::of(&runs).unwrap();
        let rows: Vec<_> =
            chart.bars.iter().map(|bar| format!("{} {}", bar.range, bar.share)).collect();
        assert_eq!(rows, ["5 ms to 10 ms 75%", "10 ms to 20 ms 0%", "20 ms to 50 ms 25%"]);
        assert_eq!(chart.bars[1].path, "", "nothing is drawn where nothing ran");
        assert!(chart.bars[0].path.starts_with("M4.0 180V"), "{}", chart.bars[0].path);
        let lines: Vec<_> = chart.percentiles.iter().map(|line| (line.name, line.x)).collect();
        assert_eq!(lines, [("p50", 40.0), ("p95", 200.0), ("p99", 250.0)]);
        let bounds: Vec<_> =
            chart.bounds.iter().map(|bound| (bound.text.as_str(), bound.is_minor)).collect();
        assert_eq!(bounds, [("10 ms", false), ("20 ms", true)]);
        assert_eq!(chart.levels[0].text, "100%");
        assert_eq!(chart.attempts_words(), "8 attempts");
        assert_eq!(
            chart.words,
            "Run times: p50 7 ms, p95 20 ms, p99 35 ms. Most attempts, 75%, ran for 5 ms to 10 ms."
        );
    }

    #[test]
    fn the_first_and_the_last_bar_have_one_bound_and_nothing_is_no_chart() {
        let ends = runs(&[(0, Some(1), 1), (21_600_000, None, 1)], [0, 0, 30_000_000]);
        let chart = DurationChart::of(&ends).unwrap();
        let ranges: Vec<_> = chart.bars.iter().map(|bar| bar.range.as_str()).collect();
        assert_eq!(ranges, ["less than 1 ms", "6 h or longer"]);
        assert_eq!(chart.percentiles[2].x, 225.0);
        assert!(DurationChart::of(&RunTimes::default()).is_none());
    }
}
