//! The sparklines of the System page: the newest value of a figure, the least and the greatest, and how it went on.

use std::fmt::Write;

use crate::engine::{SAMPLES_KEPT, SystemSample};
use crate::job::Time;

/// The number of columns. A column shows the greatest value in it.
const COLUMNS: usize = 120;
/// The width of a sparkline in its own units; the page scales it.
const WIDTH: f64 = 300.0;
/// The height, in which the greatest value is drawn 2 below the upper edge.
const HEIGHT: f64 = 40.0;

/// A figure over time.
pub struct SampleSpark {
    /// What it is.
    pub name: &'static str,
    /// The newest value; a dash when there is none.
    pub now: String,
    /// The least and the greatest value in words.
    pub span: String,
    /// The SVG path of the line.
    pub line: String,
    /// The SVG path of the area below it.
    pub area: String,
    /// The SVG path of the time without samples.
    pub no_data: String,
}

impl SampleSpark {
    /// Draws a figure of these samples; `None` when none of them has it.
    pub fn of(
        name: &'static str,
        samples: &[SystemSample],
        now: Time,
        value: impl Fn(&SystemSample) -> Option<f64>,
        text: impl Fn(f64) -> String,
    ) -> Option<SampleSpark> {
        let mut columns = [None::<f64>; COLUMNS];
        let from = now.millis() - SAMPLES_KEPT.as_millis() as i64;
        let length = SAMPLES_KEPT.as_millis() as i64 / COLUMNS as i64;
        for sample in samples {
            let column = usize::try_from((sample.at.millis() - from).div_euclid(length));
            let Some(column) = column.ok().and_then(|column| columns.get_mut(column)) else {
                continue;
            };
            if let Some(value) = value(sample) {
                *column = Some(column.unwrap_or(0.0).max(value));
            }
        }
        let known = || samples.iter().filter_map(&value);
        let (least, most) = (known().reduce(f64::min)?, known().reduce(f64::max)?);
        let newest = samples.last().and_then(&value);
        let first = samples.first().map_or(COLUMNS, |sample| {
            let column = (sample.at.millis() - from).div_euclid(length);
            usize::try_from(column).unwrap_or(0).min(COLUMNS)
        });
        let (line, area) = paths(&columns, most);
        let (least, most) = (text(least), text(most));
        Some(SampleSpark {
            name,
            now: newest.map_or_else(|| "–".to_owned(), &text),
            span: if least == most {
                format!("steady at {most}")
            } else {
                format!("{least} to {most}")
            },
            line,
            area,
            no_data: if first > 0 {
                format!("M0 0H{:.1}V{HEIGHT}H0z", x(first))
            } else {
                String::new()
            },
        })
    }
}

fn x(column: usize) -> f64 {
    column as f64 * WIDTH / (COLUMNS - 1) as f64
}

/// A line through the values from zero to the greatest, with gaps where there is none, and the area below it.
fn paths(columns: &[Option<f64>], most: f64) -> (String, String) {
    let y = |value: f64| HEIGHT - 1.0 - value / most.max(f64::MIN_POSITIVE) * (HEIGHT - 3.0);
    let (mut line, mut area) = (String::new(), String::new());
    let mut last = None;
    for (column, value) in columns.iter().enumerate() {
        let Some(value) = value else {
            if let Some(last) = last.take() {
                let _ = write!(area, "V{HEIGHT}H{:.1}z", x(last));
            }
            continue;
        };
        // Writing to a string cannot fail. `h0` makes a single point visible through its round line cap.
        let (x, y) = (x(column), y(*value));
        if last.is_none() {
            let _ = write!(line, "M{x:.1} {y:.1}h0");
            let _ = write!(area, "M{x:.1} {HEIGHT}V{y:.1}");
            last = Some(column);
        } else {
            let _ = write!(line, "L{x:.1} {y:.1}");
            let _ = write!(area, "L{x:.1} {y:.1}");
        }
    }
    if let Some(last) = last {
        let _ = write!(area, "V{HEIGHT}H{:.1}z", x(last));
    }
    (line, area)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Rates;

    fn sample(seconds_ago: i64, running: usize) -> SystemSample {
        SystemSample {
            at: Time::from_millis(10_000_000 - seconds_ago * 1_000),
            rates: Rates::default(),
            enqueue_seconds: None,
            running,
            subscribers: 0,
            memory_bytes: None,
            disk_bytes: None,
        }
    }

    fn spark(samples: &[SystemSample]) -> Option<SampleSpark> {
        let now = Time::from_millis(10_000_000);
        let running = |sample: &SystemSample| Some(sample.running as f64);
        SampleSpark::of("Running attempts", samples, now, running, |value| format!("{value}"))
    }

    #[test]
    fn a_figure_is_drawn_over_its_time_with_its_newest_least_and_greatest_value() {
        // The second and the third are in one column, which shows the greater one.
        let samples =
            [sample(900, 4), sample(885, 0), sample(880, 1), sample(870, 2), sample(1, 1)];
        let SampleSpark { now, span, line, area, no_data, .. } = spark(&samples).unwrap();
        assert_eq!((now.as_str(), span.as_str()), ("1", "0 to 4"));
        assert_eq!(line, "M151.3 2.0h0L153.8 29.8L156.3 20.5M300.0 29.8h0");
        assert!(area.starts_with("M151.3 40V2.0L153.8 29.8L156.3 20.5V40H151.3z"), "{area}");
        assert_eq!(no_data, "M0 0H151.3V40H0z");
    }

    #[test]
    fn without_samples_there_is_nothing_to_draw_and_the_same_value_is_steady() {
        assert!(spark(&[]).is_none());
        assert_eq!(spark(&[sample(20, 3), sample(5, 3)]).unwrap().span, "steady at 3");
        let none = SampleSpark::of(
            "Memory",
            &[sample(5, 1)],
            Time::from_millis(10_000_000),
            |sample| sample.memory_bytes.map(|bytes| bytes as f64),
            |value| format!("{value}"),
        );
        assert!(none.is_none());
    }
}
