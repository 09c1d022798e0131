//! Patterns against brute force: whether each minute of a year is due, decided without the code under test. It shares
//! nothing with it but the offset of the zone at each minute. The rule is that of docs/schedules.md.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Cron;
use crate::job::Time;

/// Minutes of a day.
const DAY: i64 = 1_440;

/// A pattern of five fields, parsed again in the simplest way.
struct Plain {
    fields: [Vec<bool>; 5],
    is_star: [bool; 5],
    /// Whether minute and hour match, for each minute of a day.
    times: Vec<bool>,
}

impl Plain {
    fn parse(pattern: &str) -> Plain {
        let texts: Vec<&str> = pattern.split(' ').collect();
        let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        assert_eq!(texts.len(), bounds.len(), "{pattern}");
        let field = |n: usize| {
            let (least, most) = bounds[n];
            let mut values = vec![false; most + 1];
            for part in texts[n].split([',']) {
                let (range, step) = match part.split_once('/') {
                    Some((range, step)) => (range, step.parse::<usize>().unwrap()),
                    None => (part, 1),
                };
                let (first, last) = match range.split_once('-') {
                    _ if range == "*" => (least, most),
                    Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
                    None => (range.parse().unwrap(), range.parse().unwrap()),
                };
                (first..=last).step_by(step).for_each(|value| values[value] = true);
            }
            values
        };
        let fields: [Vec<bool>; 5] = std::array::from_fn(field);
        let time = |minute: usize| fields[0][minute % 60] && fields[1][minute / 60];
        Plain {
            times: (0..DAY as usize).map(time).collect(),
            fields,
            is_star: std::array::from_fn(|n| texts[n] == "*" || (n < 2 && texts[n].contains('*'))),
        }
    }

    fn follows_real_time(&self) -> bool {
        self.is_star[0] || self.is_star[1]
    }

    /// Whether it matches a local time, in minutes since 1970.
    fn matches(&self, local: i64, calendar: &Calendar) -> bool {
        if !self.times[(local % DAY) as usize] {
            return false;
        }
        let (month, date, weekday) = calendar.day(local.div_euclid(DAY));
        let [_, _, dates, months, weekdays] = &self.fields;
        let (by_date, by_weekday) = (dates[date], weekdays[weekday]);
        months[month]
            && match (self.is_star[2], self.is_star[4]) {
                (false, false) => by_date || by_weekday,
                (true, _) | (_, true) => by_date && by_weekday,
            }
    }
}

/// Month, day of the month and weekday of each day, counted from 1970, when 1 January was a Thursday.
struct Calendar {
    first: i64,
    days: Vec<(usize, usize, usize)>,
}

impl Calendar {
    /// The days of a year, with a few before and after.
    fn around(year: i64) -> Calendar {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut number, mut days, mut first) = (0, Vec::new(), None);
        for each in 1970..=year + 1 {
            let february = if is_leap(each) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for date in 1..=length {
                    if each >= year - 1 {
                        first.get_or_insert(number);
                        days.push((month, date, ((number + 4) % 7) as usize));
                    }
                    number += 1;
                }
            }
        }
        Calendar { first: first.unwrap(), days }
    }

    fn day(&self, number: i64) -> (usize, usize, usize) {
        self.days[(number - self.first) as usize]
    }

    /// The first minute of the year around which this is, in UTC.
    fn start(&self) -> i64 {
        let mut starts = self.days.iter().enumerate().filter(|(_, day)| (day.0, day.1) == (1, 1));
        let (n, _) = starts.nth(1).unwrap();
        (self.first + n as i64) * DAY
    }
}

/// A year in a zone: the local time of each minute. All are minutes since 1970.
struct Year {
    zone: &'static str,
    calendar: Calendar,
    start: i64,
    locals: Vec<i64>,
    /// Minutes with which the local time does not just go on by one.
    changes: Vec<i64>,
}

impl Year {
    fn of(zone: &'static str, year: i64) -> Year {
        let known = TimeZone::get(zone).unwrap();
        let calendar = Calendar::around(year);
        // Two days before the year, so that what was repeated at its start is known.
        let start = calendar.start() - 2 * DAY;
        let local = |minute: i64| {
            let offset = known.to_offset(Timestamp::from_second(minute * 60).unwrap()).seconds();
            assert_eq!(offset % 60, 0, "{zone} has no offset of whole minutes in {year}");
            minute + i64::from(offset / 60)
        };
        let locals: Vec<i64> = (start..start + 367 * DAY).map(local).collect();
        let changes = locals.windows(2).zip(start + 1..);
        let changes = changes.filter(|(two, _)| two[1] != two[0] + 1).map(|(_, at)| at).collect();
        Year { zone, calendar, start, locals, changes }
    }

    /// The minutes of the year at which a pattern is due.
    fn due(&self, pattern: &str) -> Vec<i64> {
        self.due_within(pattern, 0, self.locals.len())
    }

    /// The same for a part of the year, which begins at a time that the clocks do not repeat.
    fn due_within(&self, pattern: &str, first: usize, end: usize) -> Vec<i64> {
        let plain = Plain::parse(pattern);
        let follows_real_time = plain.follows_real_time();
        let mut due = Vec::new();
        let mut latest = self.locals[first] - 1;
        for (minute, local) in (self.start + first as i64..).zip(&self.locals[first..end]) {
            let is_due = if follows_real_time {
                plain.matches(*local, &self.calendar)
            } else {
                // The local times that this minute is the first to reach: one, none if it repeats one, and all of a gap
                // at its end.
                match local - latest {
                    1 => plain.matches(*local, &self.calendar),
                    _ => (latest + 1..=*local).any(|local| plain.matches(local, &self.calendar)),
                }
            };
            if is_due && minute >= self.start + 2 * DAY {
                due.push(minute);
            }
            latest = latest.max(*local);
        }
        due
    }

    /// Compares the pattern with brute force, from the first and the last millisecond of each minute in `from`.
    fn check(&self, pattern: &str, due: &[i64], from: impl Iterator<Item = i64>) {
        let cron = Cron { pattern: pattern.into(), zone: self.zone.into() };
        for minute in from.filter(|minute| *minute >= self.start + 2 * DAY) {
            let next = due.partition_point(|at| *at <= minute);
            let Some(next) = due.get(next) else { break };
            let expected = Time::from_millis(next * 60_000);
            for after in [0, 59_999].map(|ms| Time::from_millis(minute * 60_000 + ms)) {
                let found = cron.next_after(after);
                assert_eq!(found, Some(expected), "{pattern} in {} after {after}", self.zone);
            }
        }
    }

    /// Compares all times of the year.
    fn check_all(&self, pattern: &str, due: &[i64]) {
        let cron = Cron { pattern: pattern.into(), zone: self.zone.into() };
        let before = Time::from_millis((self.start + 2 * DAY) * 60_000 - 1);
        let found = cron.upcoming(before, due.len());
        for (found, expected) in found.iter().zip(due) {
            let expected = Time::from_millis(expected * 60_000);
            assert_eq!(*found, expected, "{pattern} in {}", self.zone);
        }
        assert_eq!(found.len(), due.len(), "{pattern} in {}", self.zone);
    }
}

/// Zones, each with a year in which something unusual happens to its clocks.
const YEARS: [(&str, i64); 22] = [
    ("Europe/Berlin", 2027),
    ("Europe/London", 2027),
    ("Europe/Moscow", 2014),
    ("Atlantic/Azores", 2027),
    ("America/New_York", 2027),
    ("America/St_Johns", 2006),
    ("America/Havana", 2027),
    ("America/Sao_Paulo", 2018),
    ("America/Santiago", 2027),
    ("America/Caracas", 2007),
    ("Africa/Casablanca", 2027),
    ("Africa/Cairo", 2027),
    ("Antarctica/Troll", 2027),
    ("Asia/Kathmandu", 1986),
    ("Asia/Tehran", 2022),
    ("Asia/Gaza", 2026),
    ("Asia/Pyongyang", 2018),
    ("Australia/Lord_Howe", 2027),
    ("Australia/Sydney", 2027),
    ("Pacific/Apia", 2011),
    ("Pacific/Chatham", 2027),
    ("UTC", 2028),
];

/// Patterns that are due a few times a day: fixed times, lists, ranges and steps in each of the two fields.
const SPARSE: [&str; 16] = [
    "0 2,14 * * *",
    "30 2 * * *",
    "0 0 * * *",
    "0,30 1-3 * * *",
    "0-59/20 2 * * *",
    "*/20 2 * * *",
    "0 */2 * * *",
    "0 1,*/5 * * *",
    "0 1-23/2 * * *",
    "10-50/40,0 0,1,2,3 * * *",
    "45 0-2 * * 0",
    "59 23 * 3,10,11 *",
    "0 3 1,15,31 * *",
    "15 2 28-31 */3 0,6",
    "0 12 30 12 *",
    "*/90 0 * * *",
];

/// Patterns that are due often: they are compared around the changes of the clocks only.
const FREQUENT: [&str; 6] = [
    "* * * * *",
    "*/7 * * * *",
    "5-59/15 * * * *",
    "0,1,30 * * * *",
    "0-59 0-4 * * *",
    "* 2 * * *",
];

#[test]
fn every_minute_of_a_year_in_twenty_zones_is_due_exactly_when_brute_force_says_so() {
    for (zone, year) in YEARS {
        let year = Year::of(zone, year);
        for pattern in SPARSE {
            let due = year.due(pattern);
            year.check_all(pattern, &due);
            let around = year.changes.iter().flat_map(|at| (at - 200..at + 200).step_by(7));
            year.check(pattern, &due, around);
        }
        for at in &year.changes {
            let first = (at - year.start - 2 * DAY).max(0) as usize;
            let end = (first + 4 * DAY as usize).min(year.locals.len());
            for pattern in FREQUENT {
                let due = year.due_within(pattern, first, end);
                year.check(pattern, &due, at - 100..at + 100);
            }
        }
    }
}

#[test]
fn fixed_times_are_due_once_on_the_days_when_clocks_change() {
    // Berlin, 2027: 28 March 02:00 → 03:00, 31 October 03:00 → 02:00.
    let table = [
        ("0 2,14 * * *", "2027-03-27T22:00:00Z", "01:00 12:00"),
        ("0 2,14 * * *", "2027-10-30T21:00:00Z", "00:00 13:00"),
        ("0,15,30 2 * * *", "2027-03-27T22:00:00Z", "01:00"),
        ("0,15,30 2 * * *", "2027-10-30T21:00:00Z", "00:00 00:15 00:30"),
        ("0 1-3 * * *", "2027-03-27T22:00:00Z", "00:00 01:00"),
        ("0 1-3 * * *", "2027-10-30T21:00:00Z", "23:00 00:00 02:00"),
        ("0 0-4/2 * * *", "2027-03-27T22:00:00Z", "23:00 01:00 02:00"),
        // With `*` they follow real time.
        ("0 */2 * * *", "2027-10-30T21:00:00Z", "22:00 00:00 01:00 03:00"),
        ("*/30 2 * * *", "2027-10-30T21:00:00Z", "00:00 00:30 01:00 01:30"),
    ];
    for (pattern, after, expected) in table {
        let (after, count) = (after.parse().unwrap(), expected.split(' ').count());
        let cron = Cron::parse(pattern, "Europe/Berlin", after).unwrap();
        let found =
            cron.upcoming(after, count).into_iter().map(|at| at.to_string()[11..16].to_owned());
        assert_eq!(found.collect::<Vec<String>>().join(" "), expected, "{pattern} after {after}");
    }
}

/// The minutes of an ordinary day at which a pattern of minutes and hours is due.
fn minutes_of_a_day(pattern: &str) -> Vec<i64> {
    let (plain, calendar) = (Plain::parse(pattern), Calendar::around(2027));
    let start = calendar.start();
    (0..DAY).filter(|minute| plain.matches(start + minute, &calendar)).collect()
}

/// What a description says, as minutes of a day: the forms in which steps are described.
fn minutes_said(words: &str) -> Vec<i64> {
    let clock = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<i64>().unwrap_or(0) * 60 + minute.parse::<i64>().unwrap()
    };
    let every = |first: i64, last: i64, step: i64| -> Vec<i64> {
        (first..=last).step_by(step as usize).collect()
    };
    let in_every_hour = |minutes: &[i64]| -> Vec<i64> {
        (0..24).flat_map(|hour| minutes.iter().map(move |minute| hour * 60 + minute)).collect()
    };
    let list = |text: &str| -> Vec<i64> {
        let items = text.replace(" and ", ", ");
        let items = items.split(", ").flat_map(|item| match item.split_once('–') {
            Some((first, last)) => every(clock(first), clock(last), 1),
            None => vec![clock(item)],
        });
        items.collect()
    };
    if let Some(times) = words.strip_prefix("At ") {
        return match times.strip_suffix(" of every hour") {
            Some(minutes) => in_every_hour(&list(minutes)),
            None => list(times.strip_suffix(" every day").unwrap()),
        };
    }
    let words = words.strip_prefix("Every ").unwrap();
    let (often, rest) = match words.split_once(" from ") {
        Some((often, rest)) => (often, format!("from {rest}")),
        None => match words.split_once(" at ") {
            Some((often, at)) => (often, format!("at {at}")),
            None => match words.split_once(", ") {
                Some((often, span)) => (often, span.to_owned()),
                None => (words, String::new()),
            },
        },
    };
    let (count, unit) = often.split_once(' ').unwrap_or(("1", often));
    let step = count.parse::<i64>().unwrap() * if unit.starts_with("hour") { 60 } else { 1 };
    if let Some(span) = rest.strip_prefix("from ") {
        let (first, last) =
            span.strip_suffix(" of every hour").unwrap().split_once(" to ").unwrap();
        in_every_hour(&every(clock(first), clock(last), step))
    } else if let Some(at) = rest.strip_prefix("at ") {
        every(clock(at), DAY - 1, step)
    } else if let Some((first, last)) = rest.split_once('–') {
        every(clock(first), clock(last), step)
    } else {
        every(0, DAY - 1, step)
    }
}

#[test]
fn a_step_is_described_as_what_it_does_even_if_it_exceeds_its_range() {
    for pattern in [
        "*/90 * * * *",
        "*/60 * * * *",
        "*/59 * * * *",
        "*/45 * * * *",
        "*/7 * * * *",
        "*/25 * * * *",
        "*/30 * * * *",
        "*/1 * * * *",
        "5-10/20 * * * *",
        "5-59/90 * * * *",
        "0-30/40 * * * *",
        "10-50/20 * * * *",
        "5,*/90 * * * *",
        "3,5,*/20 * * * *",
        "0 */48 * * *",
        "0 */24 * * *",
        "0 */23 * * *",
        "0 */5 * * *",
        "0 */7 * * *",
        "0 */3 * * *",
        "0 3-10/20 * * *",
        "0 1-23/2 * * *",
        "30 2-22/5 * * *",
        "*/90 */48 * * *",
        "*/30 */90 * * *",
    ] {
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        let words = Cron::parse(pattern, "", now).unwrap().in_words();
        assert_eq!(minutes_said(&words), minutes_of_a_day(pattern), "{pattern}: {words}");
    }
    // A step without a range is refused, because it would read as if it ran less often than it does.
    for pattern in ["0/90 * * * *", "0/7 * * * *", "0 0/48 * * *", "*/0 * * * *"] {
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        let refused = Cron::parse(pattern, "", now).unwrap_err()[0].to_string();
        assert!(refused.contains("steps such as */10"), "{pattern}: {refused}");
    }
}
