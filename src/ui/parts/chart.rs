//! Charts and sparklines as SVG paths, which the server draws so that they need no JavaScript. Each carries its
//! numbers, so that `static/chart.js` can continue the drawing.

use crate::engine::{History, HistoryPoint, Latency, Period};
use crate::job::Time;

use super::columns::Columns;
use super::filters::rate;
use super::time_format::{TimeText, length};

/// The width of a chart in its own units; the page scales it.
pub const WIDTH: f64 = 300.0;
/// The height of a chart in the same units.
pub const HEIGHT: f64 = 84.0;

/// The time span of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Five minutes, in columns of three seconds.
    Minutes,
    /// Six hours, in columns of three minutes.
    Hours,
}

/// One chart.
pub struct Chart {
    /// The id of the chart, which the script uses.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// The value at the upper edge, as text.
    pub top: String,
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
    /// The starts of the server within the time span.
    pub marks: Vec<StartMark>,
    /// The description for screen readers.
    pub words: String,
}

/// One line of a chart.
pub struct ChartLine {
    /// The name, which also selects the colour.
    pub name: &'static str,
    /// The SVG path.
    pub path: String,
    /// The numbers of its columns, separated by commas; empty where nothing was measured.
    pub numbers: String,
    /// The newest value, as text.
    pub now: String,
}

/// A mark at the time of a start of the server.
pub struct StartMark {
    /// The position on the horizontal axis.
    pub x: f64,
    /// When the server started.
    pub at: TimeText,
}

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

impl Span {
    /// The time span in words.
    pub fn words(self) -> &'static str {
        match self {
            Span::Minutes => "5 minutes",
            Span::Hours => "6 hours",
        }
    }

    fn columns(self, history: &History) -> Columns {
        let (width, count) = match self {
            Span::Minutes => (3, 100),
            Span::Hours => (180, 120),
        };
        Columns::new(history.now, width, count, &history.periods)
    }

    fn points(self, history: &History) -> &[HistoryPoint] {
        match self {
            Span::Minutes => &history.seconds,
            Span::Hours => &history.minutes,
        }
    }
}

/// The chart of completed jobs and failed attempts per second.
pub fn throughput(history: &History, span: Span) -> Chart {
    let columns = span.columns(history);
    let line = |name: &'static str, count: fn(&HistoryPoint) -> u32| {
        let sums = columns.counts(span.points(history), count);
        let numbers = numbers(sums.iter().map(|sum| Some(*sum)));
        Plotted { name, numbers, values: columns.per_second(&sums) }
    };
    let lines = [
        line("completed", |point| point.counts.completed),
        line("failed", |point| point.counts.failed),
    ];
    let show = |value: f64| format!("{}/s", rate(value));
    let style =
        ChartStyle { id: "throughput", title: "Throughput", least_top: 1.0, column: "sum", show };
    draw(style, &lines, &columns, history, span)
}

/// The chart of the time that jobs waited until they started.
pub fn waits(history: &History, span: Span) -> Chart {
    latency("waits", "Wait time", |point| point.wait, history, span)
}

/// The chart of the time that attempts ran.
pub fn runs(history: &History, span: Span) -> Chart {
    latency("runs", "Run time", |point| point.run, history, span)
}

fn latency(
    id: &'static str,
    title: &'static str,
    of: fn(&HistoryPoint) -> Option<Latency>,
    history: &History,
    span: Span,
) -> Chart {
    let columns = span.columns(history);
    let line = |name: &'static str, percentile: fn(&Latency) -> u32| {
        let values = columns.longest(span.points(history), of, percentile);
        Plotted { name, numbers: numbers(values.iter().copied()), values }
    };
    let lines = [
        line("p50", |latency| latency.p50),
        line("p95", |latency| latency.p95),
        line("p99", |latency| latency.p99),
    ];
    let style = ChartStyle { id, title, least_top: 10.0, column: "most", show: milliseconds };
    draw(style, &lines, &columns, history, span)
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
}

fn numbers(values: impl Iterator<Item = Option<f64>>) -> String {
    let texts = values.map(|value| value.map_or(String::new(), |value| value.to_string()));
    texts.collect::<Vec<_>>().join(",")
}

fn draw(
    style: ChartStyle,
    lines: &[Plotted],
    columns: &Columns,
    history: &History,
    span: Span,
) -> Chart {
    let ChartStyle { id, title, least_top, column, show } = style;
    let all = lines.iter().flat_map(|line| line.values.iter().flatten());
    let most = all.fold(0.0_f64, |most, value| most.max(*value));
    let top = nice(most.max(least_top));
    let lines: Vec<ChartLine> = lines
        .iter()
        .map(|Plotted { name, numbers, values }| {
            let newest = values.iter().rev().find_map(|value| *value);
            let (numbers, now) = (numbers.clone(), newest.map_or("–".into(), show));
            ChartLine { name, path: path(values, top), numbers, now }
        })
        .collect();
    let said: Vec<String> =
        lines.iter().map(|line| format!("{} {}", line.name, line.now)).collect();
    let words = format!(
        "{title}: {}. The peak in the last {} was {}.{}",
        said.join(", "),
        span.words(),
        show(most),
        columns.no_data_words()
    );
    let (width, until) = (columns.width, columns.until());
    let (known, no_data) = (columns.known_text(), columns.no_data(WIDTH, HEIGHT));
    let marks = marks(columns, &history.starts, history.now);
    let top = show(top);
    Chart { id, title, top, least_top, column, width, until, known, no_data, lines, marks, words }
}

fn marks(columns: &Columns, starts: &[Time], now: Time) -> Vec<StartMark> {
    let length = columns.count as f64 * columns.width as f64;
    let x = |at: Time| (at.millis() as f64 / 1_000.0 - columns.from() as f64) / length * WIDTH;
    let within = starts.iter().filter(|at| (0.0..=WIDTH).contains(&x(**at)));
    within
        .map(|at| StartMark { x: (x(*at) * 10.0).round() / 10.0, at: TimeText::new(*at, now) })
        .collect()
}

/// Draws a line through the values, with gaps where there is none.
fn path(values: &[Option<f64>], top: f64) -> String {
    use std::fmt::Write;
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let mut out = String::with_capacity(values.len() * 10);
    let mut pen_is_down = false;
    for (column, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let (x, y) = (column as f64 * step, HEIGHT - 1.0 - value / top * (HEIGHT - 3.0));
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

/// Rounds up to the next of 1, 2, 5, 10, 20, 50 and so on.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= value);
    digit.unwrap_or(10.0) * power
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

    /// A history whose data reaches back further than any chart.
    fn history(points: &[HistoryPoint], starts: &[Time], now: Time) -> History {
        let (seconds, minutes) = (points.to_vec(), points.to_vec());
        let periods = vec![Period { from: Time::from_millis(0), until: now }];
        History { now, seconds, minutes, starts: starts.to_vec(), periods }
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
        let chart = throughput(&history(&points, &[], now), Span::Minutes);
        assert_eq!((chart.lines[0].now.as_str(), chart.lines[1].now.as_str()), ("4/s", "0/s"));
        assert_eq!(chart.top, "5/s");
        assert!(chart.lines[0].numbers.ends_with(",0,6,4"), "{}", chart.lines[0].numbers);
        assert_eq!((chart.column, chart.width, chart.until), ("sum", 3, 3_001));
        assert!(chart.lines[0].path.ends_with("L297.0 50.6L300.0 18.2"), "{}", chart.lines[0].path);
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
        let history = history(&points, &[], now);
        let chart = runs(&history, Span::Minutes);
        assert_eq!(chart.lines[2].now, "180 ms");
        assert!(chart.lines[0].numbers.ends_with(",,,90"), "{}", chart.lines[0].numbers);
        assert_eq!(chart.top, "200 ms");
        assert_eq!(chart.lines[0].path.matches('M').count(), 2);
        assert_eq!(waits(&history, Span::Minutes).lines[0].now, "–");
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
            [throughput, waits, runs].map(|draw| draw(&history(&[], &[], now), Span::Minutes));
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
    fn starts_are_marked_where_they_happened() {
        let now = Time::from_millis(1_000_000_000);
        let at = |seconds: i64| Time::from_millis(now.millis() - seconds * 1_000);
        let history = history(&[], &[at(4_000), at(150)], now);
        let chart = throughput(&history, Span::Minutes);
        assert_eq!(chart.marks.len(), 1);
        assert!((chart.marks[0].x - 150.0).abs() < 3.0, "{}", chart.marks[0].x);
        assert_eq!(throughput(&history, Span::Hours).marks.len(), 2);
    }

    #[test]
    fn the_time_before_the_first_start_is_empty_and_not_zero() {
        let now = Time::from_millis(1_000_000_000);
        let from = Time::from_millis(now.millis() - 100_000);
        let periods = vec![Period { from, until: now }];
        let chart = throughput(&History { periods, ..history(&[], &[], now) }, Span::Minutes);
        assert_eq!(chart.known, format!("{}{}", "0".repeat(66), "1".repeat(34)));
        let path = &chart.lines[0].path;
        assert!(path.starts_with("M200.0 83.0h0L203.0 83.0"), "{path}");
        assert_eq!(path.matches('M').count(), 1);
        assert_eq!(chart.no_data, "M0.0 0H200.0V84H0.0z");
        assert!(chart.words.ends_with(" was 0/s. No data before 13:45:00 UTC."), "{}", chart.words);
        let spark = spark(&[], &[Period { from, until: now }], now);
        assert!(spark.path.starts_with("M67.8 24L67.8 23.0L69.5 23.0"), "{}", spark.path);
        assert_eq!(spark.known.matches('1').count(), 20);
    }

    #[test]
    fn the_upper_edge_is_a_round_number() {
        for (value, expected) in
            [(0.7, 1.0), (1.0, 1.0), (1.1, 2.0), (23.0, 50.0), (7_001.0, 10_000.0)]
        {
            assert_eq!(nice(value), expected);
        }
    }

    #[test]
    fn sparklines_have_a_column_for_every_stretch() {
        let now = Time::from_millis(1_000_000);
        let points = [point(999, 3, None), point(996, 1, None), point(100, 9, None)];
        let periods = [Period { from: Time::from_millis(0), until: now }];
        let Spark { path: spark, completed, width, until, .. } = spark(&points, &periods, now);
        assert!(completed.ends_with(",0,4"), "{completed}");
        assert_eq!((width, until), (5, 1_000));
        assert!(spark.starts_with("M0 24L0.0 23.0L1.7 23.0"), "{spark}");
        assert!(spark.ends_with("L98.3 23.0L100.0 2.0L100 24z"), "{spark}");
        assert_eq!(bars(&[0, 2, 1]), "M33.3 2.0h32.9V24h-32.9zM66.7 13.0h32.9V24h-32.9z");
        assert_eq!(bars(&[0, 0]), "");
    }
}
