//! Points in time in milliseconds since 1970 UTC, and the grammar of durations. Nothing here reads a clock: the
//! caller passes in the time.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, displayed in RFC 3339 with milliseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Time(i64);

impl Time {
    /// The latest time that RFC 3339 can express (the end of the year 9999).
    pub const MAX: Time = Time(253_402_207_200_000);

    /// The earliest time that RFC 3339 can express (the beginning of the year 0).
    pub const MIN: Time = Time(-62_167_219_200_000);

    /// Converts a reading of the system's clock, even one before 1970, clamped to [`Time::MIN`] and [`Time::MAX`].
    pub fn of(clock: SystemTime) -> Self {
        let ms = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let at = match clock.duration_since(UNIX_EPOCH) {
            Ok(after) => ms(after),
            // Before 1970, a fraction of a millisecond rounds down.
            Err(before) => -ms(before.duration().saturating_add(Duration::from_nanos(999_999))),
        };
        Time(at).clamp(Time::MIN, Time::MAX)
    }

    /// The time `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Time(ms)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whether the time has a calendar date. Older versions accepted times outside the years 0 to 9999.
    pub fn has_date(self) -> bool {
        jiff::Timestamp::from_millisecond(self.0).is_ok()
    }

    /// This time plus a delay, at most [`Time::MAX`].
    pub fn after(self, delay: Duration) -> Self {
        let ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        Time(self.0.saturating_add(ms)).min(Time::MAX)
    }

    /// This time minus a duration, at least [`Time::MIN`].
    pub fn before(self, by: Duration) -> Self {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Time(self.0.saturating_sub(ms)).max(Time::MIN)
    }

    /// The duration since `earlier`; zero when `earlier` is not before this time.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl FromStr for Time {
    type Err = String;

    /// Parses RFC 3339, such as `2026-11-23T08:00:00Z` or `…+01:00`, from [`Time::MIN`] to [`Time::MAX`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.trim().parse::<jiff::Timestamp>().map(|at| Time(at.as_millisecond()));
        at.ok().filter(|at| (Time::MIN..=Time::MAX).contains(at)).ok_or_else(|| {
            format!(
                "{text:?} is not an RFC 3339 time such as 2026-11-23T08:00:00Z, from the year 0000 to {}",
                Time::MAX
            )
        })
    }
}

/// Parses a duration with units, such as `500ms`, `25s`, `1m 30s` or `30 days`.
///
/// # Errors
/// The error says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a duration such as 500ms, 25s, 1m 30s or 30 days");
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::Span = text.parse().map_err(|_| refused())?;
    let length = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("{} (months and years have no fixed length)", refused()))?;
    Duration::try_from(length).map_err(|_| format!("{text:?} is a negative duration"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Cron, RateLimit, moment};

    #[test]
    fn a_time_survives_text() {
        let at: Time = "2026-11-23T09:00:00.250+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-23T08:00:00.250Z");
        assert_eq!(at.to_string().parse::<Time>().unwrap(), at);
    }

    #[test]
    fn a_delay_never_overflows() {
        assert_eq!(Time::from_millis(5).after(Duration::MAX), Time::MAX);
        assert!(Time::MAX.to_string().starts_with("9999-12-3"));
        let latest = Time::from_millis(i64::MAX);
        assert_eq!(latest.after(Duration::from_secs(1)), Time::MAX);
        assert_eq!(Time::from_millis(i64::MIN).since(latest), Duration::ZERO);
        assert!(latest.since(Time::from_millis(i64::MIN)) > Duration::from_secs(1));
        assert_eq!(latest.to_string(), format!("{} ms", i64::MAX), "told, not a panic");
    }

    #[test]
    fn a_clock_before_1970_and_one_beyond_the_calendar_are_times() {
        let year = Duration::from_secs(365 * 86_400);
        let just_before = UNIX_EPOCH - Duration::from_nanos(1);
        assert_eq!(Time::of(just_before), Time::from_millis(-1));
        assert_eq!(Time::of(UNIX_EPOCH - Duration::from_millis(5)), Time::from_millis(-5));
        assert!(Time::of(UNIX_EPOCH - year * 10).to_string().starts_with("1960-"));
        assert_eq!(Time::of(UNIX_EPOCH - year * 3_000), Time::MIN);
        assert_eq!(Time::of(UNIX_EPOCH + year * 9_000), Time::MAX);
        assert_eq!(Time::of(UNIX_EPOCH + Duration::from_millis(1_500)), Time::from_millis(1_500));
        assert_eq!(Time::MIN.to_string(), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_time_outside_the_calendar_is_refused_and_its_edges_are_not() {
        for good in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-30T22:00:00Z"] {
            let at: Time = good.parse().unwrap();
            assert_eq!(at.to_string().parse::<Time>().unwrap(), at);
        }
        for bad in [
            "-000001-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "0000-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "+010000-01-01T00:00:00Z",
            "99999-01-01T00:00:00Z",
        ] {
            let why = bad.parse::<Time>().unwrap_err();
            assert!(why.contains("0000 to 9999-12-30T22:00:00.000Z"), "{why}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        assert!("tomorrow".parse::<Time>().unwrap_err().contains("RFC 3339"));
    }

    /// Every parser of this layer that accepts a duration. The configuration, forms, commands and queries call these.
    #[test]
    fn one_grammar_is_read_wherever_a_duration_stands() {
        let now = Time::from_millis(1_800_000_000_000);
        for (text, seconds) in [
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("1h 30m", Some(5_400)),
            ("1h30m", Some(5_400)),
            ("1 hour", Some(3_600)),
            ("1d", Some(86_400)),
            ("30 days", Some(30 * 86_400)),
            ("2 weeks", Some(14 * 86_400)),
            ("1.5h", Some(5_400)),
            ("PT2H", Some(7_200)),
            ("1 month", None),
            ("2y", None),
            ("-5s", None),
            ("5s ago", None),
            ("fortnight", None),
            ("25", None),
        ] {
            let length = seconds.map(Duration::from_secs);
            assert_eq!(parse_duration(text).ok(), length, "{text:?}");
            let rate = format!("7/{text}").parse::<RateLimit>();
            assert_eq!(rate.ok().map(|rate| rate.within), length, "a rate of 7/{text}");
            let cron = Cron::parse(&format!("every {text}"), "", now);
            let next = cron.map(|cron| {
                let first = cron.next_after(now).unwrap();
                cron.next_after(first).unwrap().since(first)
            });
            assert_eq!(next.ok(), length, "every {text}");
            let since = moment("since", text, now).map(|since| now.since(since));
            assert_eq!(since.ok(), length, "since {text}");
        }
        let refused = Cron::parse("every fortnight", "", now).unwrap_err()[0].to_string();
        assert!(refused.contains("1m 30s or 30 days"), "{refused}");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("25s"), Ok(25_000));
        assert_eq!(ms("1m 30s"), Ok(90_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("30 days"), Ok(30 * 86_400_000));
        assert_eq!(ms("2 weeks"), Ok(14 * 86_400_000));
        assert_eq!(ms("0"), Ok(0));
        for bad in ["", "25", "-5s", "5s ago", "soon", "1 month", "1e3s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?} should be refused");
        }
        assert!(parse_duration("25").unwrap_err().contains("25s"));
    }
}
