//! Charts as SVG paths, which the server draws so that they need no JavaScript. Each carries its numbers, so that
//! `static/chart.js` can continue the drawing.

use std::fmt::Write;

use crate::engine::{History, HistoryPoint, HistoryRange, Latency};

use super::columns::{Columns, numbers};
use super::filters::rate;
use super::time_axis::{Tick, spacing, ticks};
use super::time_format::{TimeText, length};
use super::value_scale::{ChartScale, HEIGHT, ValueScale};

/// The width of a chart in its own units; the page scales it.
pub const WIDTH: f64 = 300.0;

/// One chart.
pub struct Chart {
    /// The id of the chart, which the script uses.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// How values are drawn: `linear` or `log`.
    pub scale: &'static str,
    /// The horizontal lines, the highest first.
    pub levels: Vec<Level>,
    /// The times on the horizontal axis.
    pub ticks: Vec<Tick>,
    /// The seconds between two of them.
    pub spacing: i64,
    /// The lowest value that the upper edge may have.
    pub least_top: f64,
    /// How the script adds up seconds in a column: `sum`, shown per second, or `most`.
    pub column: &'static str,
    /// The width of a column in seconds.
    pub width: i64,
    /// The end of the newest column, in seconds since 1970.
    pub until: i64,
    /// `1` for each column with data and `0` for each without, oldest first.
    pub known: String,
    /// The SVG path of the areas without data.
    pub no_data: String,
    /// The lines, the most important first.
    pub lines: Vec<ChartLine>,
    /// What happened in the range, newest first.
    pub marks: Vec<ChartMark>,
    /// The description for screen readers.
    pub words: String,
}

/// A horizontal line at a round value.
pub struct Level {
    /// Where it is, from the top.
    pub y: f64,
    /// The value.
    pub text: String,
}

/// One line of a chart.
pub struct ChartLine {
    /// The name, which also selects the colour.
    pub name: &'static str,
    /// The SVG path.
    pub path: String,
    /// The SVG path of the area below; empty when it is not filled.
    pub area: String,
    /// The numbers of its columns, separated by commas; empty where nothing was measured.
    pub numbers: String,
    /// The newest value, as text.
    pub now: String,
}

/// Something that charts mark at its time.
#[derive(Clone)]
pub struct ChartMark {
    /// When it happened.
    pub at: TimeText,
    /// What happened, for example `Queue mail paused`.
    pub words: String,
    /// The kind of mark, which selects its colour: `start`, `pause` or `limit`.
    pub kind: &'static str,
    /// The position on the horizontal axis.
    pub x: f64,
}

/// A range in words.
pub fn range_words(range: HistoryRange) -> &'static str {
    match range {
        HistoryRange::FiveMinutes => "5 minutes",
        HistoryRange::Hour => "60 minutes",
        HistoryRange::SixHours => "6 hours",
        HistoryRange::Day => "24 hours",
        HistoryRange::Week => "7 days",
        HistoryRange::Month => "30 days",
    }
}

/// The chart of completed jobs and failed attempts per second.
pub fn throughput(history: &History, scale: ChartScale, marks: &[ChartMark]) -> Chart {
    let columns = columns_of(history);
    let line = |name: &'static str, is_filled: bool, count: fn(&HistoryPoint) -> u32| {
        let sums = columns.counts(&history.points, count);
        let numbers = numbers(sums.iter().map(|sum| Some(*sum)));
        Plotted { name, numbers, values: columns.per_second(&sums), is_filled }
    };
    let lines = [
        line("completed", true, |point| point.counts.completed),
        line("failed", false, |point| point.counts.failed),
    ];
    // One job in a column of an hour is not a line at zero.
    let least_top = if columns.width <= 3 { 1.0 } else { 1.0 / columns.width as f64 };
    let style =
        ChartStyle { id: "throughput", title: "Throughput", least_top, column: "sum", show: pace };
    draw(style, &lines, &columns, history.range, scale, marks)
}

/// The chart of the time that jobs waited until they started.
pub fn waits(history: &History, scale: ChartScale, marks: &[ChartMark]) -> Chart {
    latency("waits", "Wait time", |point| point.wait, history, scale, marks)
}

/// The chart of the time that attempts ran.
pub fn runs(history: &History, scale: ChartScale, marks: &[ChartMark]) -> Chart {
    latency("runs", "Run time", |point| point.run, history, scale, marks)
}

fn latency(
    id: &'static str,
    title: &'static str,
    of: fn(&HistoryPoint) -> Option<Latency>,
    history: &History,
    scale: ChartScale,
    marks: &[ChartMark],
) -> Chart {
    let columns = columns_of(history);
    let line = |name: &'static str, percentile: fn(&Latency) -> u32| {
        let values = columns.longest(&history.points, of, percentile);
        Plotted { name, numbers: numbers(values.iter().copied()), values, is_filled: true }
    };
    let lines = [
        line("p50", |latency| latency.p50),
        line("p95", |latency| latency.p95),
        line("p99", |latency| latency.p99),
    ];
    let style = ChartStyle { id, title, least_top: 10.0, column: "most", show: milliseconds };
    draw(style, &lines, &columns, history.range, scale, marks)
}

fn columns_of(history: &History) -> Columns {
    Columns::of(history.now, history.range, &history.periods)
}

/// A rate per second, or per minute or hour when there is less than one in ten seconds or minutes.
pub fn pace(per_second: f64) -> String {
    match per_second {
        0.0 => "0/s".into(),
        _ if per_second >= 0.095 => format!("{}/s", rate(per_second)),
        _ if per_second * 60.0 >= 0.095 => format!("{}/min", rate(per_second * 60.0)),
        _ => format!("{}/h", rate(per_second * 3_600.0)),
    }
}

fn milliseconds(value: f64) -> String {
    length(std::time::Duration::from_millis(value.max(0.0) as u64))
}

/// The properties of a chart type.
struct ChartStyle {
    id: &'static str,
    title: &'static str,
    least_top: f64,
    column: &'static str,
    show: fn(f64) -> String,
}

/// The values of a line before it is drawn.
struct Plotted {
    name: &'static str,
    numbers: String,
    values: Vec<Option<f64>>,
    /// Whether the area below the line has a colour.
    is_filled: bool,
}

fn draw(
    style: ChartStyle,
    lines: &[Plotted],
    columns: &Columns,
    range: HistoryRange,
    kind: ChartScale,
    marks: &[ChartMark],
) -> Chart {
    let ChartStyle { id, title, least_top, column, show } = style;
    let all = lines.iter().flat_map(|line| line.values.iter().flatten().copied());
    let most = all.clone().fold(0.0_f64, f64::max);
    let scale = ValueScale::of(kind, all, least_top);
    let lines: Vec<ChartLine> = lines
        .iter()
        .map(|Plotted { name, numbers, values, is_filled }| {
            let newest = values.iter().rev().find_map(|value| *value);
            let (numbers, now) = (numbers.clone(), newest.map_or("–".into(), show));
            let area = if *is_filled { area(values, &scale) } else { String::new() };
            ChartLine { name, path: path(values, &scale), area, numbers, now }
        })
        .collect();
    let said: Vec<String> =
        lines.iter().map(|line| format!("{} {}", line.name, line.now)).collect();
    let words = format!(
        "{title}: {}. The peak in the last {} was {}.{}",
        said.join(", "),
        range_words(range),
        show(most),
        columns.no_data_words()
    );
    let level = |value: f64| Level { y: scale.y(value).round(), text: show(value) };
    Chart {
        id,
        title,
        scale: kind.name(),
        levels: scale.lines().into_iter().map(level).collect(),
        ticks: ticks(columns, range),
        spacing: spacing(range),
        least_top,
        column,
        width: columns.width,
        until: columns.until(),
        known: columns.known_text(),
        no_data: columns.no_data(WIDTH, HEIGHT),
        lines,
        marks: marks.to_vec(),
        words,
    }
}

/// Draws a line through the values, with gaps where there is none.
fn path(values: &[Option<f64>], scale: &ValueScale) -> String {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let mut out = String::with_capacity(values.len() * 10);
    let mut pen_is_down = false;
    for (column, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let (x, y) = (column as f64 * step, scale.y(*value));
        let letter = if pen_is_down { 'L' } else { 'M' };
        // Writing to a string cannot fail. `h0` makes a single point visible through its round line cap.
        let _ = write!(out, "{letter}{x:.1} {y:.1}");
        if !pen_is_down {
            out.push_str("h0");
        }
        pen_is_down = true;
    }
    out
}

/// Draws the area below the values, with gaps where there is none. A value between two gaps is a narrow bar.
fn area(values: &[Option<f64>], scale: &ValueScale) -> String {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let mut out = String::with_capacity(values.len() * 12);
    let mut column = 0;
    while column < values.len() {
        let run: Vec<f64> = values[column..].iter().map_while(|value| *value).collect();
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            column += 1;
            continue;
        };
        let (from, until) = (column as f64 * step, (column + run.len() - 1) as f64 * step);
        let (from, until) = if run.len() > 1 { (from, until) } else { (from - 1.0, until + 1.0) };
        // Writing to a string cannot fail.
        let _ = write!(out, "M{from:.1} {HEIGHT}L{from:.1} {:.1}", scale.y(*first));
        for (index, value) in run.iter().enumerate().skip(1) {
            let _ = write!(out, "L{:.1} {:.1}", (column + index) as f64 * step, scale.y(*value));
        }
        let _ = write!(out, "L{until:.1} {:.1}L{until:.1} {HEIGHT}z", scale.y(*last));
        column += run.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{IntervalCounts, Period};
    use crate::job::Time;

    /// A history whose data reaches back further than any chart.
    fn history(points: &[HistoryPoint], now: Time) -> History {
        let (points, starts, marks) = (points.to_vec(), Vec::new(), Vec::new());
        let periods = vec![Period { from: Time::from_millis(0), until: now }];
        History { now, range: HistoryRange::FiveMinutes, points, starts, marks, periods }
    }

    fn point(second: i64, completed: u32, run: Option<u32>) -> HistoryPoint {
        let run = run.map(|ms| Latency { p50: ms, p95: ms, p99: 2 * ms });
        let counts = IntervalCounts { completed, ..IntervalCounts::default() };
        HistoryPoint { at: Time::from_millis(second * 1_000), counts, wait: None, run }
    }

    #[test]
    fn rates_are_per_second_and_the_column_under_way_counts_what_is_over_of_it() {
        let now = Time::from_millis(3_001_500);
        let points = [point(2_998, 6, None), point(3_000, 4, None)];
        let chart = throughput(&history(&points, now), ChartScale::Linear, &[]);
        assert_eq!((chart.lines[0].now.as_str(), chart.lines[1].now.as_str()), ("4/s", "0/s"));
        assert_eq!(
            chart.levels.iter().map(|level| level.text.as_str()).collect::<Vec<_>>(),
            ["5/s", "2/s"]
        );
        assert!(chart.lines[0].numbers.ends_with(",0,6,4"), "{}", chart.lines[0].numbers);
        assert_eq!((chart.column, chart.width, chart.until), ("sum", 3, 3_001));
        assert!(
            chart.lines[0].path.ends_with("L297.0 113.0L300.0 47.0"),
            "{}",
            chart.lines[0].path
        );
        assert_eq!(
            chart.words,
            "Throughput: completed 4/s, failed 0/s. The peak in the last 5 minutes was 4/s."
        );
    }

    #[test]
    fn a_latency_is_a_line_only_where_something_was_measured() {
        let now = Time::from_millis(3_000_000);
        let points =
            [point(2_997, 1, Some(40)), point(2_998, 1, Some(90)), point(2_980, 1, Some(7))];
        let history = history(&points, now);
        let chart = runs(&history, ChartScale::Linear, &[]);
        assert_eq!(chart.lines[2].now, "180 ms");
        assert!(chart.lines[0].numbers.ends_with(",,,90"), "{}", chart.lines[0].numbers);
        assert_eq!(chart.levels[0].text, "200 ms");
        assert_eq!(chart.lines[0].path.matches('M').count(), 2);
        assert_eq!(waits(&history, ChartScale::Linear, &[]).lines[0].now, "–");
    }

    #[test]
    fn the_area_below_a_line_ends_where_the_line_ends() {
        let scale = ValueScale::of(ChartScale::Linear, [10.0].into_iter(), 1.0);
        let values = [None, Some(10.0), Some(5.0), None, Some(0.0)];
        let area = area(&values, &scale);
        assert_eq!(
            area,
            "M75.0 180L75.0 14.0L150.0 96.5L150.0 96.5L150.0 180zM299.0 180L299.0 179.0L301.0 179.0L301.0 180z"
        );
    }

    #[test]
    fn a_small_rate_is_shown_per_minute_or_hour() {
        for (per_second, shown) in [
            (0.0, "0/s"),
            (3.04, "3/s"),
            (0.1, "0.1/s"),
            (0.05, "3/min"),
            (1.0 / 14_400.0, "0.2/h"),
        ] {
            assert_eq!(pace(per_second), shown);
        }
    }

    /// The colours of a name of the style sheet in the light and the dark theme, in Oklab.
    fn colours(class: &str) -> [[f64; 3]; 2] {
        let css = include_str!("../../../static/app.css");
        let after = |start: &str| css.split_once(start).unwrap_or_else(|| panic!("no {start}")).1;
        let (_, rule) = after(class).split_once("{ --c: var(").unwrap();
        let (variable, _) = rule.split_once(')').unwrap();
        let (pair, _) = after(&format!("{variable}: light-dark(")).split_once(')').unwrap();
        let (light, dark) = pair.split_once(", ").unwrap();
        [light, dark].map(|colour| {
            let channel = |at: usize| {
                let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
                (f64::from(value) / 255.0).powf(2.2)
            };
            let (r, g, b) = (channel(1), channel(3), channel(5));
            let l = (0.412_221 * r + 0.536_333 * g + 0.051_446 * b).cbrt();
            let m = (0.211_903 * r + 0.680_7 * g + 0.107_397 * b).cbrt();
            let s = (0.088_302 * r + 0.281_719 * g + 0.629_979 * b).cbrt();
            [
                0.210_454 * l + 0.793_618 * m - 0.004_072 * s,
                1.977_998 * l - 2.428_592 * m + 0.450_594 * s,
                0.025_904 * l + 0.782_772 * m - 0.808_676 * s,
            ]
        })
    }

    /// Below 0.1 people take two thin lines for one colour; amber and orange were 0.075 apart.
    #[test]
    fn the_lines_of_a_chart_and_their_keys_have_colours_that_can_be_told_apart() {
        let now = Time::from_millis(1_000_000_000);
        let charts =
            [throughput, waits, runs].map(|draw| draw(&history(&[], now), ChartScale::Linear, &[]));
        for chart in charts {
            let names = chart.lines.iter().map(|line| line.name).collect::<Vec<_>>();
            for (at, one) in names.iter().enumerate() {
                let [line, key] = ["line", "key"].map(|sort| colours(&format!(".{sort}-{one}")));
                assert_eq!(line, key, "the key of {one} shows its line's colour");
                for other in &names[at + 1..] {
                    let others = colours(&format!(".key-{other}"));
                    for (a, b) in line.iter().zip(&others) {
                        let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
                        let distance = squares.sum::<f64>().sqrt();
                        assert!(distance > 0.1, "{one} and {other} are {distance:.3} apart");
                    }
                }
            }
        }
    }

    #[test]
    fn the_time_before_the_first_start_is_empty_and_not_zero() {
        let now = Time::from_millis(1_000_000_000);
        let from = Time::from_millis(now.millis() - 100_000);
        let periods = vec![Period { from, until: now }];
        let history = History { periods, ..history(&[], now) };
        let chart = throughput(&history, ChartScale::Linear, &[]);
        assert_eq!(chart.known, format!("{}{}", "0".repeat(66), "1".repeat(34)));
        let path = &chart.lines[0].path;
        assert!(path.starts_with("M200.0 179.0h0L203.0 179.0"), "{path}");
        assert_eq!(path.matches('M').count(), 1);
        assert_eq!(chart.no_data, "M0.0 0H200.0V180H0.0z");
        assert!(chart.words.ends_with(" was 0/s. No data before 13:45:00 UTC."), "{}", chart.words);
    }
}
