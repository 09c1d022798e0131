//! The search for the next time that matches a pattern, with bounded work, and what becomes of local times that the
//! clocks of a zone skip or repeat. croner parses patterns and decides which days match.
//!
//! A pattern with `*` in the field for seconds, minutes or hours (`*/15` and `*/2` included) *follows real time*: it is
//! due whenever the local time matches. All other patterns name *fixed times* of the day, and each of those is due once
//! on each matching day: a skipped one at the end of the gap, a repeated one the first time. This is the rule of Vixie
//! cron.

use croner::time::Weekday;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The number of days to examine. 29 February falls on the same weekday again after at most 40 years.
const MAX_DAYS: u32 = 41 * 366;
/// The number of times to examine on those days, more than the seconds of an hour that is repeated.
const MAX_TIMES: u32 = 20_000;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A search with the number of days and times that it has examined.
#[derive(Debug, Default)]
pub struct Search {
    days: u32,
    times: u32,
}

impl Search {
    /// The first matching time after `after`; `None` when there is none within the bounds.
    pub fn next(
        &mut self,
        pattern: &croner::Cron,
        zone: &TimeZone,
        after: Timestamp,
    ) -> Option<Timestamp> {
        if empty_field(pattern).is_some() {
            return None;
        }
        // Patterns match whole seconds.
        let after = Timestamp::from_second(after.as_millisecond().div_euclid(1_000)).ok()?;
        let wanted = MatchedTimes::of(pattern);
        if wanted.follows_real_time() {
            self.real_time(&wanted, zone, after)
        } else {
            self.fixed_time(&wanted, zone, after)
        }
    }

    /// The first time after `after` whose local time matches.
    fn real_time(
        &mut self,
        wanted: &MatchedTimes<'_>,
        zone: &TimeZone,
        after: Timestamp,
    ) -> Option<Timestamp> {
        let mut from = after.checked_add(SECOND).ok()?;
        loop {
            let offset = zone.to_offset(from);
            let local = self.first_local(wanted, offset.to_datetime(from))?;
            if !self.count_time() {
                return None;
            }
            let found = offset.to_timestamp(local).ok()?;
            // Local times count with this offset only until the clocks are changed.
            match zone.following(from).next().map(|change| change.timestamp()) {
                Some(change) if change <= found => from = change,
                Some(_) | None => return Some(found),
            }
        }
    }

    /// The first time after `after` that a matching local time stands for.
    fn fixed_time(
        &mut self,
        wanted: &MatchedTimes<'_>,
        zone: &TimeZone,
        after: Timestamp,
    ) -> Option<Timestamp> {
        let mut local = zone.to_datetime(after);
        loop {
            // The next second of the local calendar may be one that the clocks skip, or repeat.
            let found = self.first_local(wanted, local.checked_add(SECOND).ok()?)?;
            if !self.count_time() {
                return None;
            }
            let at = moment_of(zone, found)?;
            if at > after {
                return Some(at);
            }
            // The clocks repeat this local time, and it was due the first time.
            local = found;
        }
    }

    /// The first matching local time from `from` on.
    fn first_local(&mut self, wanted: &MatchedTimes<'_>, from: DateTime) -> Option<DateTime> {
        let (mut day, mut time) = (from.date(), from.time());
        loop {
            if wanted.matches_day(day)
                && let Some(found) = wanted.first_time(time)
            {
                return Some(day.to_datetime(found));
            }
            if self.days >= MAX_DAYS {
                return None;
            }
            self.days += 1;
            (day, time) = (day.tomorrow().ok()?, Time::midnight());
        }
    }

    fn count_time(&mut self) -> bool {
        let may_continue = self.times < MAX_TIMES;
        self.times += u32::from(may_continue);
        may_continue
    }
}

/// The values that a pattern matches.
pub struct MatchedTimes<'p> {
    pattern: &'p croner::Cron,
    hours: Vec<i8>,
    minutes: Vec<i8>,
    seconds: Vec<i8>,
}

impl MatchedTimes<'_> {
    /// Reads the fields of a pattern.
    pub fn of(pattern: &croner::Cron) -> MatchedTimes<'_> {
        let narrow = |values: Vec<u16>| -> Vec<i8> {
            values.into_iter().filter_map(|value| i8::try_from(value).ok()).collect()
        };
        let fields = &pattern.pattern;
        let (hours, minutes) = (narrow(fields.hours.values()), narrow(fields.minutes.values()));
        MatchedTimes { pattern, hours, minutes, seconds: narrow(fields.seconds.values()) }
    }

    /// The number of times in an hour that matches.
    pub fn an_hour(&self) -> usize {
        self.minutes.len() * self.seconds.len()
    }

    /// Whether times of this hour match.
    pub fn has_hour(&self, hour: i8) -> bool {
        self.hours.contains(&hour)
    }

    /// The number of times of an hour that matches from one of its seconds on and before another one, and the last of them.
    pub fn within_hour(&self, from: i64, until: i64) -> (u64, i64) {
        let seconds_of = |minute: &i8| {
            let start = i64::from(*minute) * 60;
            self.seconds.iter().map(move |second| start + i64::from(*second))
        };
        let within = self.minutes.iter().flat_map(seconds_of);
        let within = within.filter(|second| (from..until).contains(second));
        within.fold((0, from), |(count, _), second| (count + 1, second))
    }

    fn follows_real_time(&self) -> bool {
        let fields = &self.pattern.pattern;
        let (seconds, minutes, hours) = (&fields.seconds, &fields.minutes, &fields.hours);
        seconds.from_wildcard || minutes.from_wildcard || hours.from_wildcard
    }

    fn matches_day(&self, day: Date) -> bool {
        let pattern = &self.pattern.pattern;
        let number = |part: i8| u32::try_from(part).unwrap_or_default();
        let weekday = number(day.weekday().to_sunday_zero_offset());
        let weekday = Weekday::from_days_from_sunday(weekday);
        let (year, month) = (i32::from(day.year()), number(day.month()));
        pattern.month_match(month).unwrap_or(false)
            && pattern.day_match(year, month, number(day.day()), weekday).unwrap_or(false)
    }

    /// The first matching time of a day from `from` on.
    fn first_time(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let at_least = |values: &[i8], least: i8| values.iter().copied().find(|one| *one >= least);
        let (first_minute, first_second) = (*self.minutes.first()?, *self.seconds.first()?);
        let found = if self.hours.contains(&hour) {
            let this_minute = self.minutes.contains(&minute);
            let second = at_least(&self.seconds, second).filter(|_| this_minute);
            match second {
                Some(second) => Some((hour, minute, second)),
                None => at_least(&self.minutes, minute + 1).map(|next| (hour, next, first_second)),
            }
        } else {
            None
        };
        let later = || Some((at_least(&self.hours, hour + 1)?, first_minute, first_second));
        let (hour, minute, second) = found.or_else(later)?;
        Time::new(hour, minute, second, 0).ok()
    }
}

/// The time for which a local time stands: the first one if the clocks repeat it, and the end of the gap if they skip
/// it.
fn moment_of(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            let soon_after = before.to_timestamp(local).ok()?.checked_add(SECOND).ok()?;
            zone.preceding(soon_after).next().map(|change| change.timestamp())
        }
    }
}

/// The name of a field without any value, with which the pattern never matches. One of the two fields for days is
/// enough, and their values depend on the month.
pub fn empty_field(pattern: &croner::Cron) -> Option<&'static str> {
    let pattern = &pattern.pattern;
    let fields = [
        ("second", &pattern.seconds),
        ("minute", &pattern.minutes),
        ("hour", &pattern.hours),
        ("month", &pattern.months),
    ];
    fields.into_iter().find(|(_, field)| field.values().is_empty()).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Cron, time_zone};
    use super::*;

    /// The cost and the result of a search; `None` for an invalid pattern.
    fn cost(pattern: &str, zone: &str) -> Option<(Search, Option<Timestamp>)> {
        let pattern = super::super::read(pattern).ok()?;
        let mut search = Search::default();
        let after = "2027-01-01T12:00:30Z".parse().unwrap();
        let next = search.next(&pattern, &time_zone(zone).unwrap(), after);
        Some((search, next))
    }

    fn field() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "\\*|[0-9]|[1-5][0-9]|\\?|L|\\*/[0-9]{1,2}|[0-9]-[1-5][0-9]|,|,,|[0-9],|,[0-9]",
            1 => "[0-9]#[1-5]|[0-9]L|[12]?[0-9]W|LW|\\+[0-9]|\\+L|\\+[0-9]#[1-5]|\\+|W|#|/|-",
            1 => "[0-9*,/LW#+?-]{1,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn no_pattern_costs_more_than_the_bounds(
            fields in proptest::collection::vec(field(), 5..=6),
            zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
        ) {
            let pattern = fields.join(" ");
            if let Some((search, next)) = cost(&pattern, zone) {
                prop_assert!(search.days <= MAX_DAYS && search.times <= MAX_TIMES, "{search:?}");
                let from = "2027-01-01T12:00:30Z".parse().unwrap();
                let stored = Cron { pattern: pattern.as_str().into(), zone: zone.into() };
                prop_assert_eq!(stored.next_after(from).is_some(), next.is_some());
                prop_assert!(!stored.in_words().is_empty());
                if let Ok(accepted) = Cron::parse(&pattern, zone, from) {
                    prop_assert!(accepted.next_after(from).is_some(), "{pattern:?}");
                }
            }
        }
    }

    #[test]
    fn the_search_for_a_pattern_that_never_matches_ends_soon() {
        let empty = [", * * * * *", "* , * * * *", "* * , * * *", "* * * , *"];
        let no_day =
            ["0 0 , * *", "0 0 * * ,", "0 0 * * L", "0 0 1 * +1#5", "0 0 30 2 *", "* * * 31 2 *"];
        // All of their times are in the hour that is skipped when clocks go forward.
        let skipped = [("* * 2 * 3 0L", "Europe/Berlin"), ("*/2 * 2 * 3 0#2", "America/New_York")];
        for pattern in empty {
            let (search, next) = cost(pattern, "Europe/Berlin").unwrap();
            assert_eq!((search.days, search.times, next), (0, 0, None), "{pattern}");
        }
        for pattern in no_day {
            let (search, next) = cost(pattern, "UTC").unwrap();
            assert_eq!((search.days, search.times, next), (MAX_DAYS, 0, None), "{pattern}");
        }
        for (pattern, zone) in skipped {
            let (search, next) = cost(pattern, zone).unwrap();
            assert_eq!((search.days, next), (MAX_DAYS, None), "{pattern} in {zone}");
            assert!(search.times <= 100, "{pattern} in {zone}: {search:?}");
        }
    }

    #[test]
    fn a_stored_schedule_that_never_matches_is_not_due() {
        let now = "2027-01-01T12:00:30Z".parse().unwrap();
        for pattern in [", * * * * *", "* * 2 * 3 0L", "0 0 1 * +1#5"] {
            let stored = serde_json::json!({ "pattern": pattern, "zone": "Europe/Berlin" });
            let stored: Cron = serde_json::from_value(stored).unwrap();
            assert_eq!(stored.next_after(now), None, "{pattern}");
            assert!(stored.upcoming(now, 5).is_empty());
        }
    }

    #[test]
    fn rare_times_are_found() {
        for (pattern, found) in [
            ("0 0 29 2 *", "2028-02-29"),
            ("0 0 29 2 +1", "2044-02-29"),
            ("0 0 31 12 *", "2027-12-31"),
            ("59 23 LW 2 *", "2027-02-26"),
        ] {
            let (search, next) = cost(pattern, "UTC").unwrap();
            assert_eq!(
                next.map(|next| next.strftime("%F").to_string()).as_deref(),
                Some(found),
                "{pattern}"
            );
            assert!(search.days < MAX_DAYS, "{pattern}: {search:?}");
        }
    }
}
