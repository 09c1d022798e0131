//! Recurring times: a cron pattern in a time zone, or a plain interval. The patterns are those of croner (the fields
//! of POSIX `crontab`, with optional seconds in front); the zones are those of the IANA database.

use std::fmt;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::job::shorten::shorten;
use crate::job::{Time, parse_duration};
pub use due_times::DueStretch;
use explain::{ACCEPTED, explain, misplaced_name};
use search::{Search, empty_field};

mod due_times;
mod explain;
#[cfg(test)]
#[path = "cron/tests/oracle.rs"]
mod oracle;
mod search;
mod words;

/// The shortest and the longest interval.
const INTERVALS: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(366 * 24 * 60 * 60));
/// The maximum length of a pattern, in bytes.
const MAX_PATTERN: usize = 200;
/// The maximum length of the name of a time zone, in bytes; the longest ones have about half of this.
const MAX_ZONE: usize = 64;
const EVERY: &str = "every ";

/// A validated cron expression with its time zone, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    pattern: Box<str>,
    zone: Box<str>,
}

/// Why a cron expression is invalid, and which of its two parts is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CronError {
    /// The pattern is invalid.
    Pattern(String),
    /// The time zone is unknown.
    Zone(String),
}

impl CronError {
    /// The name of the part in the API.
    pub fn field(&self) -> &'static str {
        match self {
            CronError::Pattern(_) => "cron",
            CronError::Zone(_) => "zone",
        }
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CronError::Pattern(why) | CronError::Zone(why) => f.write_str(why),
        }
    }
}

impl Cron {
    /// Validates a pattern and a zone; an empty zone is UTC. `now` is needed to refuse patterns that never match again.
    ///
    /// # Errors
    /// What is wrong with the pattern, and with the zone. The errors say what is accepted.
    pub fn parse(pattern: &str, zone: &str, now: Time) -> Result<Cron, Vec<CronError>> {
        let (pattern, zone) = (pattern.trim(), zone.trim());
        let zone = if zone.is_empty() { "UTC" } else { zone };
        let cron = Cron { pattern: pattern.into(), zone: zone.into() };
        let mut wrong: Vec<CronError> =
            cron.check().err().map(CronError::Pattern).into_iter().collect();
        if time_zone(zone).is_none() {
            wrong.push(CronError::Zone(unknown_zone(zone)));
        } else if wrong.is_empty() && cron.next_after(now).is_none() {
            let why = format!("{pattern:?} matches no time in the next 40 years");
            wrong.push(CronError::Pattern(why));
        }
        if wrong.is_empty() { Ok(cron) } else { Err(wrong) }
    }

    /// Returns the pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Returns the time zone of the pattern.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The first matching time after `after`. `None` when there is none within 40 years, or when this machine does not
    /// know the zone. A fixed time of day that is skipped when clocks go forward is due at the end of the gap, and one
    /// that occurs twice is due once. A pattern with `*` in the field for seconds, minutes or hours follows real time.
    pub fn next_after(&self, after: Time) -> Option<Time> {
        self.meaning().ok()?.next_after(&self.zone, after)
    }

    /// The next `count` matching times after `after`.
    pub fn upcoming(&self, after: Time, count: usize) -> Vec<Time> {
        let Ok(meaning) = self.meaning() else { return Vec::new() };
        let next = |after: &Time| meaning.next_after(&self.zone, *after);
        std::iter::successors(next(&after), next).take(count).collect()
    }

    /// Whether this machine knows the time zone now. Its database of time zones can change while the server runs.
    pub fn is_zone_known(&self) -> bool {
        time_zone(&self.zone).is_some()
    }

    /// Whether the pattern can be parsed. A stored one may come from another version.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn check_pattern(&self) -> Result<(), String> {
        self.meaning().map(drop)
    }

    /// Whether the time zone is known to some machine: a stored schedule may come from one with other zones, so that its
    /// zone only has to look like one.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn check_zone(&self) -> Result<(), String> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
        let looks_like_one = self.zone.len() <= MAX_ZONE
            && self.zone.starts_with(|first: char| first.is_ascii_uppercase())
            && self.zone.split('/').all(|part| !part.is_empty() && part.bytes().all(is_part));
        if looks_like_one || (!self.zone.is_empty() && self.is_zone_known()) {
            return Ok(());
        }
        Err(unknown_zone(&self.zone))
    }

    /// Describes the pattern in words: "At 02:30, Mon–Fri". A pattern that never matches is returned as it is.
    pub fn in_words(&self) -> String {
        let words = match self.meaning() {
            Ok(Meaning::Every(interval)) => Some(words::every(interval)),
            Ok(Meaning::Pattern(pattern)) => words::describe(&pattern),
            Err(_) => None,
        };
        words.unwrap_or_else(|| self.pattern.to_string())
    }

    fn meaning(&self) -> Result<Meaning, String> {
        if self.pattern.len() > MAX_PATTERN {
            return Err(format!("a pattern has at most {MAX_PATTERN} characters; use {ACCEPTED}"));
        }
        if let Some(interval) = self.pattern.strip_prefix(EVERY) {
            let refused =
                |why: String| format!("{:?} is not a valid interval: {why}", &*self.pattern);
            let length = parse_duration(interval).map_err(refused)?;
            let (least, most) = INTERVALS;
            return if (least..=most).contains(&length) && length.subsec_nanos() == 0 {
                Ok(Meaning::Every(length))
            } else {
                let accepted = "use whole seconds, from 1s to 366d";
                Err(format!("{:?} is not a valid interval; {accepted}", &*self.pattern))
            };
        }
        Ok(Meaning::Pattern(Box::new(read(&self.pattern)?)))
    }

    /// Additional rules for new patterns. Stored patterns are exempt, because older versions accepted them.
    fn check(&self) -> Result<(), String> {
        let Meaning::Pattern(pattern) = self.meaning()? else { return Ok(()) };
        for field in self.pattern.split_whitespace() {
            let list = field.strip_prefix('+').unwrap_or(field);
            let ends_empty = list.is_empty() || list.starts_with(',') || list.ends_with(',');
            if ends_empty || list.contains(",,") {
                return Err(format!("the list {field:?} has an empty element; use {ACCEPTED}"));
            }
        }
        if let Some(why) = misplaced_name(&self.pattern) {
            return Err(why);
        }
        match empty_field(&pattern) {
            Some(field) => Err(format!("the pattern matches no {field}; use {ACCEPTED}")),
            None => Ok(()),
        }
    }
}

fn unknown_zone(zone: &str) -> String {
    let zone = shorten(zone, MAX_PATTERN);
    format!(
        "unknown time zone {zone:?}; use UTC, an offset such as +02:00, or a name such as Europe/Zurich"
    )
}

/// Parses a pattern that is not an interval.
fn read(pattern: &str) -> Result<croner::Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let parses = |pattern: &str| parser.parse(pattern).is_ok();
    parser.parse(pattern).map_err(|_| explain(pattern, parses))
}

enum Meaning {
    Every(Duration),
    Pattern(Box<croner::Cron>),
}

impl Meaning {
    fn next_after(&self, zone: &str, after: Time) -> Option<Time> {
        let next = match self {
            Meaning::Every(interval) => {
                let (step, at) = (i64::try_from(interval.as_millis()).ok()?, after.millis());
                at.checked_sub(at.rem_euclid(step))?.checked_add(step)?
            }
            Meaning::Pattern(pattern) => {
                let zone = time_zone(zone)?;
                let after = jiff::Timestamp::from_millisecond(after.millis()).ok()?;
                Search::default().next(pattern, &zone, after)?.as_millisecond()
            }
        };
        Some(Time::from_millis(next)).filter(|next| *next <= Time::MAX)
    }
}

/// Looks up a time zone by name or offset in this machine's database; an empty text is UTC.
pub fn time_zone(text: &str) -> Option<TimeZone> {
    if text.is_empty() || text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("z") {
        return Some(TimeZone::UTC);
    }
    match offset(text) {
        Some(offset) => Some(TimeZone::fixed(offset)),
        None => TimeZone::get(text).ok(),
    }
}

/// Parses an offset such as `+02:00`, `-0330` or `+2`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "0"),
    };
    let number = |text: &str| {
        let short = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|_| short)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let in_range = hours <= 15 && minutes < 60;
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok().filter(|_| in_range)
}

#[cfg(test)]
impl Cron {
    /// An expression accepted on another machine, in a time zone that this one does not know.
    pub(super) fn unknown_zone() -> Cron {
        Cron { pattern: "@daily".into(), zone: "Mars/Olympus".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn cron(pattern: &str, zone: &str) -> Cron {
        Cron::parse(pattern, zone, at("2027-01-01T00:00:00Z")).unwrap()
    }

    fn next(pattern: &str, zone: &str, after: &str) -> String {
        cron(pattern, zone).next_after(at(after)).unwrap().to_string()
    }

    #[test]
    fn a_pattern_is_read_in_its_zone() {
        let friday = "2027-01-01T12:00:00Z";
        assert_eq!(next("30 2 * * mon-fri", "", friday), "2027-01-04T02:30:00.000Z");
        assert_eq!(next("30 2 * * 1-5", "Asia/Tokyo", friday), "2027-01-03T17:30:00.000Z");
        assert_eq!(next("*/20 * * * * *", "UTC", friday), "2027-01-01T12:00:20.000Z");
        assert_eq!(next("@daily", "-03:30", friday), "2027-01-02T03:30:00.000Z");
        assert_eq!(next("0 0 29 2 *", "UTC", friday), "2028-02-29T00:00:00.000Z");
        assert_eq!(next("0 12 * * *", "UTC", friday), "2027-01-02T12:00:00.000Z", "not now again");
    }

    #[test]
    fn clock_changes_neither_lose_nor_double_a_run() {
        // Berlin, 2027: 28 March 02:00 → 03:00, 31 October 03:00 → 02:00.
        let daily = cron("30 2 * * *", "Europe/Berlin");
        let days = |from: &str| -> Vec<String> {
            daily.upcoming(at(from), 3).iter().map(Time::to_string).collect()
        };
        assert_eq!(
            days("2027-03-27T00:00:00Z"),
            ["2027-03-27T01:30:00.000Z", "2027-03-28T01:00:00.000Z", "2027-03-29T00:30:00.000Z"]
        );
        assert_eq!(
            days("2027-10-30T00:00:00Z"),
            ["2027-10-30T00:30:00.000Z", "2027-10-31T00:30:00.000Z", "2027-11-01T01:30:00.000Z"]
        );
        let hourly = cron("0 * * * *", "Europe/Berlin").upcoming(at("2027-10-30T23:30:00Z"), 4);
        assert!(hourly.windows(2).all(|two| two[1].since(two[0]) == Duration::from_secs(3_600)));
    }

    /// A store fires schedules until none is due, so a next time that is not later would loop forever.
    #[test]
    fn a_next_time_is_later_and_passes_none_over() {
        let patterns = ["*/15 * * * *", "0 0 * * *", "30 1-3 * * *", "45 2 * * *", "*/7 0 2 * * *"];
        let zones =
            ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Gaza"];
        for (pattern, zone) in patterns.iter().flat_map(|one| zones.map(|zone| (*one, zone))) {
            let cron = cron(pattern, zone);
            let from = jiff::Timestamp::from_millisecond(at("2027-01-01T00:00:00Z").millis());
            for change in time_zone(zone).unwrap().following(from.unwrap()).take(3) {
                let change = change.timestamp().as_millisecond();
                for offset in (-7_200_000..=7_200_000).step_by(899_750) {
                    let after = Time::from_millis(change + offset);
                    let next = cron.next_after(after).unwrap();
                    assert!(next > after, "{pattern} in {zone}: {next} after {after}");
                    let between = Time::from_millis((after.millis() + next.millis()) / 2);
                    let again = cron.next_after(between).unwrap();
                    assert!(between == next || again == next, "{pattern} in {zone}: {between}");
                }
            }
        }
    }

    #[test]
    fn a_zone_that_this_machine_does_not_know_is_never_due_and_no_fault() {
        let cron = Cron::unknown_zone();
        assert_eq!(cron.next_after(Time::default()), None);
        assert!(cron.upcoming(Time::default(), 3).is_empty());
        assert!(!cron.in_words().is_empty());
    }

    #[test]
    fn the_end_of_the_calendar_is_an_end_and_no_fault() {
        for (pattern, zone) in [
            ("every 1s", ""),
            ("every 366d", ""),
            ("* * * * * *", "UTC"),
            ("0 0 1 1 *", "Europe/Berlin"),
            ("@monthly", "+15:00"),
            ("59 23 31 12 *", "-15:00"),
        ] {
            let Ok(cron) = Cron::parse(pattern, zone, at("2027-01-01T00:00:00Z")) else { continue };
            let ends = [Time::MAX.millis(), i64::MAX, i64::MIN, Time::MIN.millis()];
            for end in ends {
                for offset in [-90_000_000, -86_400_000, -1_000, -1, 0, 1, 1_000, 86_400_000] {
                    let after = Time::from_millis(i64::saturating_add(end, offset));
                    for next in cron.upcoming(after, 3) {
                        assert!(
                            next > after && next <= Time::MAX,
                            "{pattern}: {next} after {after}"
                        );
                    }
                }
            }
            assert!(Cron::parse(pattern, zone, Time::MAX).is_err(), "{pattern} never comes");
        }
    }

    #[test]
    fn an_interval_keeps_to_its_grid() {
        assert_eq!(next("every 15m", "", "2027-01-01T12:01:00Z"), "2027-01-01T12:15:00.000Z");
        assert_eq!(next("every 15m", "", "2027-01-01T12:15:00Z"), "2027-01-01T12:30:00.000Z");
        assert_eq!(next("every 1h 30m", "", "1969-12-31T23:00:00Z"), "1970-01-01T00:00:00.000Z");
        assert_eq!(cron("every 90s", "").in_words(), "Every 1 minute 30 seconds");
    }

    #[test]
    fn every_form_that_the_documentation_lists_is_accepted() {
        const DOCUMENT: &str = include_str!("../../../docs/schedules.md");
        let friday = "2027-01-01T12:00:00Z";
        for (pattern, day) in [
            ("0 0 L * *", "2027-01-31"),
            ("0 0 LW * *", "2027-01-29"),
            ("0 0 15W 5 *", "2027-05-14"),
            ("0 0 * * mon#2", "2027-01-11"),
            ("0 0 * * 5L", "2027-01-29"),
            ("0 0 ? * mon", "2027-01-04"),
            ("0 0 13 * ?", "2027-01-13"),
            ("0 0 13 * fri", "2027-01-08"),
            ("0 0 1 * +mon", "2027-02-01"),
            ("@annually", "2028-01-01"),
            ("@yearly", "2028-01-01"),
            ("@monthly", "2027-02-01"),
            ("@weekly", "2027-01-03"),
            ("@daily", "2027-01-02"),
        ] {
            assert!(next(pattern, "", friday).starts_with(day), "{pattern}");
            assert!(DOCUMENT.contains(&format!("`{pattern}`")), "{pattern} is not documented");
        }
        assert_eq!(next("@hourly", "", friday), "2027-01-01T13:00:00.000Z");
    }

    #[test]
    fn a_stored_list_with_an_empty_element_runs_as_if_it_were_not_there() {
        let json = r#"{"pattern":"1,,2 * * * *","zone":"UTC"}"#;
        let stored: Cron = serde_json::from_str(json).unwrap();
        let times = stored.upcoming(at("2027-01-01T12:00:00Z"), 3);
        let same = cron("1,2 * * * *", "").upcoming(at("2027-01-01T12:00:00Z"), 3);
        assert_eq!((times.len(), times), (3, same));
        assert!(
            stored.check_pattern().is_ok()
                && Cron::parse("1,,2 * * * *", "", Time::default()).is_err()
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_is_accepted() {
        let now = at("2027-01-01T00:00:00Z");
        for bad in [
            "",
            "soon",
            "* * * *",
            "60 * * * *",
            "0 0 30 2 *",
            "* * * * * * 2030",
            "every 0s",
            "every 1.5s",
            "every fortnight",
            "every 2y",
            "@reboot",
            ", * * * * *",
            "* , * * * *",
            "1,,2 * * * *",
            ",1 * * * *",
            "0 1, * * *",
            "0 0 , * *",
            "0 0 * ,, *",
            "0 0 * * ,mon",
            "0 0 * * +",
            "0 0 * * +,1",
            "*/ * * * *",
            "/5 * * * *",
            "5- * * * *",
            "-5 * * * *",
            "30-10 * * * *",
            "0 0 * * L",
            "0 0 31 4 *",
        ] {
            let wrong = Cron::parse(bad, "", now).unwrap_err();
            let [CronError::Pattern(why)] = &wrong[..] else { panic!("{bad:?}: {wrong:?}") };
            let says = ["use ", "valid", "required", "such as", "matches no time"];
            assert!(says.iter().any(|words| why.contains(words)), "{why}");
            // The library's words have no place in an error.
            assert!(!why.contains("CronPattern") && !why.contains("Component"), "{why}");
        }
        let wrong = Cron::parse("@daily", "Mars/Olympus", now).unwrap_err();
        let [CronError::Zone(why)] = &wrong[..] else { panic!("{wrong:?}") };
        assert!(why.contains("Europe/Zurich"), "{why}");
        let both = Cron::parse("at night", "Mars/Olympus", now).unwrap_err();
        assert!(matches!(&both[..], [CronError::Pattern(_), CronError::Zone(_)]), "{both:?}");
        let long = format!("{} * * * *", vec!["1"; 500].join(","));
        assert!(Cron::parse(&long, "", now).is_err());
    }

    #[test]
    fn every_wrong_field_is_named_with_what_it_accepts() {
        let error = Cron::parse("61 25 * * funday", "", at("2027-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(
            error[0].to_string(),
            "\"61\" is not a valid minute (0 to 59), \"25\" is not a valid hour (0 to 23), \
             \"funday\" is not a valid weekday (0 to 7, or sun to sat); lists such as 1,15, ranges \
             such as 1-5 and steps such as */10 are valid, too"
        );
    }

    #[test]
    fn a_pattern_is_shown_in_words() {
        assert!(cron("30 2 * * mon-fri", "").in_words().contains("02:30"));
    }
}
