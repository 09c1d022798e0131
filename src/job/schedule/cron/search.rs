//! The search for the next time that matches a pattern, with bounded work. croner searches up to the year 5000, so a
//! pattern that never matches, or only in gaps when clocks go forward, would take seconds.

use std::cell::Cell;
use std::cmp::Ordering;
use std::rc::Rc;

use croner::errors::CronError;
use croner::time::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::Zoned;
use jiff::civil::Date;

/// The number of days to examine. 29 February falls on the same weekday again after at most 40 years.
const MAX_DAYS: u32 = 41 * 366;
/// The number of times to examine on those days, more than the seconds of a gap when clocks go forward.
const MAX_TIMES: u32 = 20_000;

/// A search with the number of days and times that it has examined.
#[derive(Debug, Default)]
pub struct Search {
    days: u32,
    moments: Rc<Cell<u32>>,
}

impl Search {
    /// The first matching time after `after`; `None` when there is none within the bounds.
    pub fn next(&mut self, pattern: &croner::Cron, after: Zoned) -> Option<Zoned> {
        if empty_field(pattern).is_some() {
            return None;
        }
        // croner skips days without examining times, so this first checks that a matching day comes soon enough.
        let today = after.date();
        let coming = self.first_day(pattern, today.tomorrow().ok()?);
        if coming.is_none() && !matches(pattern, today) {
            return None;
        }
        let origin = Counted { at: after, moments: self.moments.clone() };
        pattern.find_next_occurrence(&origin, false).ok().map(|found| found.at)
    }

    /// The first matching day, starting with this one.
    fn first_day(&mut self, pattern: &croner::Cron, from: Date) -> Option<Date> {
        let days = std::iter::successors(Some(from), |day| day.tomorrow().ok());
        days.take(MAX_DAYS as usize).inspect(|_| self.days += 1).find(|day| matches(pattern, *day))
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

fn matches(pattern: &croner::Cron, day: Date) -> bool {
    let number = |part: i8| u32::try_from(part).unwrap_or_default();
    let weekday = number(day.weekday().to_sunday_zero_offset());
    let (year, month, weekday) =
        (i32::from(day.year()), number(day.month()), Weekday::from_days_from_sunday(weekday));
    pattern.pattern.month_match(month).unwrap_or(false)
        && pattern.pattern.day_match(year, month, number(day.day()), weekday).unwrap_or(false)
}

/// A time that counts how many others are derived from it, and refuses when there are too many.
#[derive(Clone)]
struct Counted {
    at: Zoned,
    moments: Rc<Cell<u32>>,
}

impl Counted {
    fn with(&self, at: Zoned) -> Counted {
        Counted { at, moments: self.moments.clone() }
    }
}

impl CronDateTime for Counted {
    fn to_civil(&self) -> CivilDateTime {
        self.at.to_civil()
    }

    fn civil_weekday(&self) -> Weekday {
        self.at.civil_weekday()
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        if self.moments.get() >= MAX_TIMES {
            return Err(CronError::TimeSearchLimitExceeded);
        }
        self.moments.set(self.moments.get() + 1);
        Ok(match self.at.resolve_civil(civil)? {
            Resolution::Single(at) => Resolution::Single(self.with(at)),
            Resolution::Ambiguous(earlier, later) => {
                Resolution::Ambiguous(self.with(earlier), self.with(later))
            }
            Resolution::Gap => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        CronDateTime::checked_add_seconds(&self.at, seconds).map(|at| self.with(at))
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.at.cmp_instant(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Cron, time_zone};
    use super::*;

    /// The cost and the result of a search; `None` for an invalid pattern.
    fn cost(pattern: &str, zone: &str) -> Option<(Search, Option<Zoned>)> {
        let pattern = super::super::read(pattern).ok()?;
        let after: jiff::Timestamp = "2027-01-01T12:00:30Z".parse().unwrap();
        let mut search = Search::default();
        let next = search.next(&pattern, after.to_zoned(time_zone(zone).unwrap()));
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
                prop_assert!(search.days <= MAX_DAYS && search.moments.get() <= MAX_TIMES, "{search:?}");
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
        let skipped = [
            ("* * 2 * 3 0L", "Europe/Berlin"),
            ("0,30 2 * 3 0L", "Europe/Berlin"),
            ("*/2 * 2 * 3 0#2", "America/New_York"),
        ];
        for pattern in empty {
            let (search, next) = cost(pattern, "Europe/Berlin").unwrap();
            assert_eq!((search.days, search.moments.get(), next), (0, 0, None), "{pattern}");
        }
        for pattern in no_day {
            let (search, next) = cost(pattern, "UTC").unwrap();
            assert_eq!((search.days, search.moments.get(), next), (MAX_DAYS, 0, None), "{pattern}");
        }
        for (pattern, zone) in skipped {
            let (search, next) = cost(pattern, zone).unwrap();
            assert_eq!((search.moments.get(), next), (MAX_TIMES, None), "{pattern} in {zone}");
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
                next.map(|next| next.date().to_string()).as_deref(),
                Some(found),
                "{pattern}"
            );
            assert!(search.days < MAX_DAYS, "{pattern}: {search:?}");
        }
    }
}
