//! The start of a job as the form gives it: now, after a delay, or at a local time in a time zone. Time zones are
//! resolved here; everything below works with absolute times.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset};

use crate::job::{Time, time_zone};

/// How the form specifies the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartChoice {
    /// Start as soon as a slot is free.
    Now,
    /// Start after a delay.
    In,
    /// Start at a given time.
    At,
}

impl StartChoice {
    /// Parses the value of the form field; an empty or unknown text chooses nothing.
    pub fn parse(text: &str) -> Option<StartChoice> {
        match text {
            "now" => Some(StartChoice::Now),
            "in" => Some(StartChoice::In),
            "at" => Some(StartChoice::At),
            _ => None,
        }
    }
}

impl fmt::Display for StartChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartChoice::Now => "now",
            StartChoice::In => "in",
            StartChoice::At => "at",
        })
    }
}

/// A local time of the form, resolved to an absolute time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTime {
    /// The time in RFC 3339 with the offset of the zone at that time.
    pub rfc3339: String,
    /// The absolute time.
    pub at: Time,
    /// Whether the local time occurs twice because clocks go back; `at` is the earlier one.
    pub first_of_two: bool,
}

/// The error, and the field that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// The date and time are invalid.
    At(String),
    /// The time zone is invalid.
    Zone(String),
}

/// Resolves a local time in a time zone. A text with an offset of its own needs no zone.
///
/// # Errors
/// When a text is invalid, or the local time does not exist because clocks go forward.
pub fn resolve(at: &str, zone: &str) -> Result<ResolvedTime, StartError> {
    let (at, zone) = (at.trim(), zone.trim());
    if let Ok(moment) = at.parse::<Time>() {
        return Ok(ResolvedTime { rfc3339: at.to_owned(), at: moment, first_of_two: false });
    }
    let civil: DateTime = at.parse().map_err(|_| {
        StartError::At(format!("{at:?} is not a date and time such as 2026-11-23T08:00"))
    })?;
    let found = time_zone(zone).ok_or_else(|| {
        let names = if has_zone_names() { ", or a name such as Europe/Zurich" } else { "" };
        StartError::Zone(format!(
            "unknown time zone {zone:?}; use UTC, an offset such as +02:00{names}"
        ))
    })?;
    let times = found.to_ambiguous_timestamp(civil);
    let first_of_two = match times.offset() {
        AmbiguousOffset::Unambiguous { .. } => false,
        AmbiguousOffset::Fold { .. } => true,
        AmbiguousOffset::Gap { .. } => {
            let why =
                format!("{at} does not exist in {zone}, because clocks go forward at that time");
            return Err(StartError::At(why));
        }
    };
    let moment = times.compatible().map_err(|error| StartError::At(error.to_string()))?;
    let at = Time::from_millis(moment.as_millisecond());
    if !(Time::MIN..=Time::MAX).contains(&at) {
        return Err(StartError::At(format!("{civil} is not between the years 0000 and 9999")));
    }
    let offset = found.to_offset(moment);
    let rfc3339 = if offset == Offset::UTC {
        moment.to_string()
    } else {
        moment.display_with_offset(offset).to_string()
    };
    Ok(ResolvedTime { rfc3339, at, first_of_two })
}

/// Formats a time in UTC for an input of type `datetime-local`.
pub fn in_utc(moment: Time) -> String {
    let text = moment.to_string();
    let text = text.trim_end_matches('Z').trim_end_matches(".000");
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

/// Whether this machine has a time zone database; without one, only UTC and offsets are accepted.
pub fn has_zone_names() -> bool {
    jiff::tz::db().available().next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: &str, zone: &str) -> String {
        resolve(at, zone).unwrap().rfc3339
    }

    #[test]
    fn a_time_of_day_is_one_in_its_zone() {
        assert_eq!(read("2026-11-23T08:00", "UTC"), "2026-11-23T08:00:00Z");
        assert_eq!(read("2026-11-23T08:00", ""), "2026-11-23T08:00:00Z");
        assert_eq!(read("2026-11-23T08:00:30", "+02:00"), "2026-11-23T08:00:30+02:00");
        assert_eq!(read("2026-11-23T08:00", "-0330"), "2026-11-23T08:00:00-03:30");
        assert_eq!(read("2026-11-23T08:00", "Europe/Zurich"), "2026-11-23T08:00:00+01:00");
        assert_eq!(read("2026-07-23T08:00", "Europe/Zurich"), "2026-07-23T08:00:00+02:00");
        assert_eq!(read("2026-11-23T08:00:00+05:00", "Europe/Zurich"), "2026-11-23T08:00:00+05:00");
        let tokyo = resolve("2026-11-23T08:00", "Asia/Tokyo").unwrap();
        assert_eq!(tokyo.at, "2026-11-22T23:00:00Z".parse().unwrap());
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_refused_and_one_that_comes_twice_is_the_first() {
        let skipped = resolve("2026-03-29T02:30", "Europe/Zurich");
        assert!(matches!(skipped, Err(StartError::At(why)) if why.contains("go forward")));
        let twice = resolve("2026-10-25T02:30", "Europe/Zurich").unwrap();
        assert_eq!(
            (twice.rfc3339.as_str(), twice.first_of_two),
            ("2026-10-25T02:30:00+02:00", true)
        );
    }

    #[test]
    fn what_is_not_understood_is_told_where_it_stands() {
        let outside = ["-000001-01-01T00:00", "-009999-06-01T00:00", "10000-01-01T00:00"];
        for at in ["", "tomorrow", "08:00", "2026-13-01T00:00"].into_iter().chain(outside) {
            assert!(matches!(resolve(at, "UTC"), Err(StartError::At(_))), "{at}");
        }
        for zone in ["Middle/Earth", "+25:00", "+1:2:3:4", "+x", "+", "../etc/passwd"] {
            assert!(
                matches!(resolve("2026-11-23T08:00", zone), Err(StartError::Zone(_))),
                "{zone}"
            );
        }
    }

    #[test]
    fn a_moment_goes_into_the_input_and_comes_back() {
        for (moment, input) in [
            ("2026-11-23T08:00:00Z", "2026-11-23T08:00"),
            ("2026-11-23T09:00:05+01:00", "2026-11-23T08:00:05"),
            ("2026-11-23T08:00:00.250Z", "2026-11-23T08:00:00.250"),
        ] {
            let at: Time = moment.parse().unwrap();
            assert_eq!(in_utc(at), input);
            assert_eq!(resolve(input, "UTC").unwrap().at, at);
        }
    }
}
