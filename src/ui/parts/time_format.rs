//! The formats in which pages show times and durations. The server writes every time in UTC and on a 24-hour clock.
//! `static/time.js` implements the same formats in the reader's time zone, and updates those that change.

use std::time::Duration;

use crate::job::Time;

/// A time in each format that a template needs, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeText {
    /// The time in RFC 3339, for `datetime` attributes.
    pub iso: String,
    /// The full time with its zone, for tooltips: `2026-11-23 08:00:00.250 UTC`.
    pub full: String,
    /// The time of day to the second, after the date unless that is the date of today.
    pub near: String,
    /// The time relative to now: `12 s ago`, `in 5 min`.
    pub relative: String,
    /// The time left until then, to the second: `in 4 min 12 s`, or `now` once it has passed.
    pub counted: String,
}

impl TimeText {
    /// Formats `at` relative to `now`.
    pub fn new(at: Time, now: Time) -> Self {
        let iso = at.to_string();
        let full = format!("{} UTC", iso.replace('T', " ").trim_end_matches('Z'));
        let is_today = iso.get(..10) == now.to_string().get(..10);
        let near = if is_today { full.get(11..19) } else { full.get(..19) };
        let near = near.unwrap_or(&iso).to_owned();
        TimeText { full, near, relative: relative(at, now), counted: counted(at, now), iso }
    }

    /// The date and the time of day without milliseconds and time zone.
    pub fn to_the_second(&self) -> &str {
        self.full.get(..19).unwrap_or(&self.full)
    }

    /// The time of day alone, for consecutive lines of one log.
    pub fn clock(&self) -> &str {
        self.iso.get(11..23).unwrap_or(&self.iso)
    }
}

/// A time in RFC 3339 without milliseconds, for addresses and the fields of forms.
pub fn iso_to_the_second(at: Time) -> String {
    let iso = at.to_string();
    format!("{}Z", iso.get(..19).unwrap_or(&iso))
}

/// Formats a time relative to now: `12 s ago`, `in 5 min`, `just now`.
fn relative(at: Time, now: Time) -> String {
    let future = at > now;
    let distance = if future { at.since(now) } else { now.since(at) };
    let seconds = distance.as_secs();
    let (number, unit) = match seconds {
        0 if future => return "now".into(),
        0 => return "just now".into(),
        1..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    if future { format!("in {number} {unit}") } else { format!("{number} {unit} ago") }
}

fn counted(at: Time, now: Time) -> String {
    match at.since(now).as_secs() {
        0 => "now".into(),
        seconds => format!("in {}", length(Duration::from_secs(seconds))),
    }
}

/// Formats a duration with at most two units: `340 ms`, `2.4 s`, `3 min 20 s`, `2 h 5 min`.
pub fn length(duration: Duration) -> String {
    let (ms, seconds) = (duration.as_millis(), duration.as_secs());
    let pair = |a: u64, unit_a: &str, b: u64, unit_b: &str| match b {
        0 => format!("{a} {unit_a}"),
        b => format!("{a} {unit_a} {b} {unit_b}"),
    };
    match seconds {
        0 => format!("{ms} ms"),
        1..60 if ms.is_multiple_of(1_000) => format!("{seconds} s"),
        1..60 => format!("{:.1} s", (ms / 100) as f64 / 10.0),
        60..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_from_now() {
        let now = Time::from_millis(1_000_000_000);
        let shown = |ms: i64| relative(Time::from_millis(1_000_000_000 + ms), now);
        assert_eq!(shown(-400), "just now");
        assert_eq!(shown(-59_999), "59 s ago");
        assert_eq!(shown(125_000), "in 2 min");
        assert_eq!(shown(-7_200_000), "2 h ago");
        assert_eq!(shown(3 * 86_400_000), "in 3 d");
    }

    #[test]
    fn moments_to_come_are_counted_down() {
        let now = Time::from_millis(1_000_000_000);
        let shown = |ms: i64| counted(Time::from_millis(1_000_000_000 + ms), now);
        for (ms, text) in
            [(-5_000, "now"), (999, "now"), (1_000, "in 1 s"), (252_400, "in 4 min 12 s")]
        {
            assert_eq!(shown(ms), text);
        }
    }

    #[test]
    fn the_full_time_says_its_zone() {
        let at: Time = "2026-11-23T08:00:00.250Z".parse().unwrap();
        let when = TimeText::new(at, at);
        assert_eq!(when.full, "2026-11-23 08:00:00.250 UTC");
        assert_eq!(when.clock(), "08:00:00.250");
        assert_eq!(when.to_the_second(), "2026-11-23 08:00:00");
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let now: Time = "2026-11-23T00:10:00Z".parse().unwrap();
        let shown = |at: &str| TimeText::new(at.parse().unwrap(), now).near;
        assert_eq!(shown("2026-11-23T23:59:59.999Z"), "23:59:59");
        assert_eq!(shown("2026-11-22T23:59:59Z"), "2026-11-22 23:59:59");
    }

    #[test]
    fn lengths_have_as_many_digits_as_people_use() {
        let shown = |ms| length(Duration::from_millis(ms));
        assert_eq!(shown(12), "12 ms");
        assert_eq!(shown(2_449), "2.4 s");
        assert_eq!(shown(3_000), "3 s");
        assert_eq!(shown(200_000), "3 min 20 s");
        assert_eq!(shown(7_500_000), "2 h 5 min");
        assert_eq!(shown(86_400_000), "1 d");
    }
}
