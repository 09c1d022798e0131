//! Cron expressions.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::NOW;
use crate::job::{Cron, Time};

/// The most bytes of an error. It may show a pattern of 200 bytes twice, and each byte as six.
const MAX_ERROR: usize = 3_000;
/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// The first line is the pattern, the second one the zone, and the third one the time from which the next times are looked
/// for. Next times are later, match the pattern, and are the same from wherever they are looked for.
pub fn cron(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.splitn(3, '\n');
    let (pattern, zone) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let from = lines.next().and_then(|line| line.trim().parse::<Time>().ok()).unwrap_or(NOW);
    let cron = match Cron::parse(pattern, zone, NOW) {
        Ok(cron) => cron,
        Err(wrong) => {
            assert!(!wrong.is_empty());
            for error in wrong {
                assert!(["cron", "zone"].contains(&error.field()) && !error.to_string().is_empty());
                assert!(error.to_string().len() <= MAX_ERROR, "{error}");
            }
            return;
        }
    };
    assert!(cron.next_after(NOW).is_some_and(|next| next > NOW), "{cron:?} is never due");
    assert!(cron.check_pattern().is_ok() && cron.check_zone().is_ok(), "{cron:?}");
    assert!(!cron.in_words().is_empty());
    assert_eq!(Cron::parse(cron.pattern(), cron.zone(), NOW).as_ref(), Ok(&cron));
    next_times(&cron, from);
}

fn next_times(cron: &Cron, from: Time) {
    let times = cron.upcoming(from, 3);
    let mut after = from;
    for next in &times {
        assert!(*next > after && *next <= Time::MAX, "{cron:?}: {next} after {after}");
        assert_eq!(cron.next_after(after), Some(*next), "{cron:?} after {after}");
        // Not from `after` itself, because a pattern means whole seconds.
        let between = Time::from_millis(after.millis() + (next.millis() - after.millis()) / 2);
        if between < *next {
            assert_eq!(cron.next_after(between), Some(*next), "{cron:?} after {between}");
        }
        if cron.zone() == "UTC" {
            matches_in_utc(cron, *next);
        }
        after = *next;
    }
    due_times(cron, from, &times);
}

/// The year from which on croner matches nothing.
const CRONER_END: i16 = 5_000;

/// In UTC no clock changes, so that each time matches the pattern, as croner itself sees it.
fn matches_in_utc(cron: &Cron, at: Time) {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let Ok(pattern) = parser.parse(cron.pattern()) else { return };
    let at = Timestamp::from_millisecond(at.millis()).unwrap().to_zoned(TimeZone::UTC);
    let is_matching = at.year() >= CRONER_END || pattern.is_time_matching(&at).unwrap_or(false);
    assert!(is_matching, "{cron:?} at {at}");
}

/// A chart of the times within a day has as many as are found one after the other.
fn due_times(cron: &Cron, from: Time, first: &[Time]) {
    let Some(last) = first.last() else { return };
    let end = Time::from_millis(last.millis().saturating_add(1));
    if end.millis().saturating_sub(from.millis()) > DAY {
        return;
    }
    let stretches = cron.due_between(from, end);
    let count: u64 = stretches.iter().map(|stretch| stretch.count).sum();
    assert_eq!(count, first.len() as u64, "{cron:?} from {from} to {end}: {stretches:?} {first:?}");
    assert_eq!(stretches.first().map(|stretch| stretch.first), first.first().copied());
    assert_eq!(stretches.last().map(|stretch| stretch.last), Some(*last));
}
