//! The moment in an address, `?at=`: the cursor of an event, a time, a time of day, or `now`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::job::shorten::{MAX_NAME, shorten};
use crate::job::{Cursor, Time};

/// What is accepted, in words.
pub const ACCEPTED: &str = "a time of day in UTC such as 03:12 or 03:12:07, a time such as 2026-12-01T03:12:07Z, \
                            the cursor of an event such as 5f3a9c01:42, or “now”";

const DAY_MS: i64 = 86_400_000;

/// The moment that an address asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MomentText {
    /// The newest event.
    Now,
    /// The event with this cursor.
    Cursor(Cursor),
    /// A time.
    Time(Time),
}

impl MomentText {
    /// Reads the text in an address. A time of day is the last one before `now`, in UTC; a time without an offset is in
    /// UTC, too, as the field of a form sends it.
    ///
    /// # Errors
    /// It is none of what is [`ACCEPTED`].
    pub fn parse(text: &str, now: Time) -> Result<MomentText, String> {
        let text = text.trim();
        if text == "now" {
            return Ok(MomentText::Now);
        }
        // Before the cursor: its epoch has eight digits, so that 12:07 is a time only.
        if let Some(of_day) = time_of_day(text) {
            let midnight = now.millis().div_euclid(DAY_MS) * DAY_MS;
            let today = midnight + of_day;
            let at = if today <= now.millis() { today } else { today - DAY_MS };
            return Ok(MomentText::Time(Time::from_millis(at)));
        }
        let has_epoch = text.split_once(':').is_some_and(|(epoch, _)| epoch.len() == 8);
        if let Some(cursor) = text.parse().ok().filter(|_| has_epoch) {
            return Ok(MomentText::Cursor(cursor));
        }
        let local = |text: &str| {
            let at = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
            Some(Time::from_millis(at.timestamp().as_millisecond()))
        };
        text.parse()
            .ok()
            .or_else(|| local(text))
            .map(MomentText::Time)
            .ok_or_else(|| format!("{:?} is not a moment: use {ACCEPTED}", shorten(text, MAX_NAME)))
    }
}

/// A time as addresses have it: RFC 3339 in UTC, without milliseconds when they are zero.
pub fn time_in_address(at: Time) -> String {
    at.to_string().replace(".000Z", "Z")
}

/// A time as the field of a form has it: to the second, without an offset.
pub fn time_in_field(at: Time) -> String {
    at.to_string().get(..19).unwrap_or_default().to_owned()
}

/// The milliseconds from midnight to a time of day such as `3:12`, `03:12` or `03:12:07`.
fn time_of_day(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>, below: i64| {
        let is_number = lengths.contains(&text.len()) && digits(text);
        text.parse().ok().filter(|number| is_number && *number < below)
    };
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (hour, minute, "00"),
        [hour, minute, second] => (hour, minute, *second),
        _ => return None,
    };
    let hours: i64 = number(hour, 1..=2, 24)?;
    let minutes: i64 = number(minute, 2..=2, 60)?;
    let seconds: i64 = number(second, 2..=2, 60)?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Epoch;

    fn read(text: &str) -> Result<MomentText, String> {
        MomentText::parse(text, "2026-12-01T03:30:00Z".parse().unwrap())
    }

    fn time(text: &str) -> String {
        match read(text) {
            Ok(MomentText::Time(at)) => time_in_address(at),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_time_of_day_is_the_last_one_before_now() {
        assert_eq!(time("03:12:07"), "2026-12-01T03:12:07Z");
        assert_eq!(time("03:12"), "2026-12-01T03:12:00Z");
        assert_eq!(time("3:12"), "2026-12-01T03:12:00Z");
        assert_eq!(time("03:30"), "2026-12-01T03:30:00Z");
        assert_eq!(time("03:30:01"), "2026-11-30T03:30:01Z");
        assert_eq!(time("23:59"), "2026-11-30T23:59:00Z");
    }

    #[test]
    fn a_time_may_have_an_offset_and_is_in_utc_without_one() {
        assert_eq!(time("2026-12-01T03:12:07Z"), "2026-12-01T03:12:07Z");
        assert_eq!(time("2026-12-01T03:12:07.250Z"), "2026-12-01T03:12:07.250Z");
        assert_eq!(time("2026-12-01T04:12:07+01:00"), "2026-12-01T03:12:07Z");
        assert_eq!(time("2026-12-01T03:12"), "2026-12-01T03:12:00Z");
        assert_eq!(time(" 2026-12-01 03:12:07 "), "2026-12-01T03:12:07Z");
    }

    #[test]
    fn a_cursor_has_an_epoch_of_eight_digits() {
        let cursor = Cursor { epoch: Epoch(0x5f3a_9c01), seq: 42 };
        assert_eq!(read("5f3a9c01:42"), Ok(MomentText::Cursor(cursor)));
        assert_eq!(read("now"), Ok(MomentText::Now));
        assert_eq!(read(&cursor.to_string()), read("5f3a9c01:42"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "x",
            "24:00",
            "03:60",
            "3:1",
            "03:12:60",
            "+3:12",
            "1:2:3:4",
            "5f3a9c01:x",
            "5f:420",
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains("is not a moment"), "{refused}");
        }
        assert!(read(&"x".repeat(100_000)).unwrap_err().len() < 1_000);
    }
}
