//! The horizontal axis of a chart: round times, with the text that the server writes in UTC. `static/chart.js` writes
//! them in the time zone of the reader.

use crate::engine::HistoryRange;
use crate::job::Time;

use super::columns::Columns;

/// A time on the axis.
pub struct Tick {
    /// The time.
    pub at: Time,
    /// Its position in percent of the width.
    pub percent: f64,
    /// Its text: a time of day, or a day.
    pub text: String,
    /// Whether a narrow chart leaves its text out.
    pub is_minor: bool,
}

/// The seconds between two times on the axis.
pub fn spacing(range: HistoryRange) -> i64 {
    match range {
        HistoryRange::FiveMinutes => 60,
        HistoryRange::Hour => 600,
        HistoryRange::SixHours => 3_600,
        HistoryRange::Day => 4 * 3_600,
        HistoryRange::Week => 24 * 3_600,
        HistoryRange::Month => 5 * 24 * 3_600,
    }
}

/// The times on the axis of some columns.
pub fn ticks(columns: &Columns, range: HistoryRange) -> Vec<Tick> {
    let spacing = spacing(range);
    let first = columns.from().div_euclid(spacing) + 1;
    let numbers = first..=columns.until().div_euclid(spacing);
    let tick = |number: i64| {
        let percent = columns.x(Time::from_millis(number * spacing * 1_000), 100.0);
        // A text at the edge would be cut off.
        (3.0..=97.0).contains(&percent).then(|| Tick {
            at: Time::from_millis(number * spacing * 1_000),
            percent: (percent * 100.0).round() / 100.0,
            text: text(number * spacing, spacing),
            is_minor: number % 2 != 0,
        })
    };
    numbers.filter_map(tick).collect()
}

fn text(seconds: i64, spacing: i64) -> String {
    let iso = Time::from_millis(seconds * 1_000).to_string();
    let part = if spacing < 24 * 3_600 { iso.get(11..16) } else { iso.get(5..10) };
    part.unwrap_or(&iso).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(now: &str, range: HistoryRange) -> Vec<String> {
        let now: Time = now.parse().unwrap();
        let columns = Columns::of(now, range, &[]);
        ticks(&columns, range).into_iter().map(|tick| tick.text).collect()
    }

    #[test]
    fn the_times_are_round() {
        let now = "2026-11-23T08:17:31Z";
        let minutes = ["08:13", "08:14", "08:15", "08:16", "08:17"];
        assert_eq!(shown(now, HistoryRange::FiveMinutes), minutes);
        let tens = ["07:20", "07:30", "07:40", "07:50", "08:00", "08:10"];
        assert_eq!(shown(now, HistoryRange::Hour), tens);
        let hours = ["12:00", "16:00", "20:00", "00:00", "04:00"];
        assert_eq!(shown(now, HistoryRange::Day), hours, "08:00 is too near to the edge");
        assert_eq!(shown(now, HistoryRange::Week).len(), 7);
        assert_eq!(shown(now, HistoryRange::Week)[0], "11-17");
        assert_eq!(shown(now, HistoryRange::Month).len(), 5);
    }

    #[test]
    fn every_second_text_can_be_left_out() {
        let now: Time = "2026-11-23T08:17:31Z".parse().unwrap();
        let range = HistoryRange::FiveMinutes;
        let ticks = ticks(&Columns::of(now, range, &[]), range);
        assert!(ticks.windows(2).all(|pair| pair[0].is_minor != pair[1].is_minor));
    }
}
