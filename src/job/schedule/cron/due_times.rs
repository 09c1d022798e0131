//! The times at which a cron expression is due within a span, with bounded work: an hour with many of them is one stretch with
//! their number.

use std::time::Duration;

use jiff::Timestamp;

use super::search::{MatchedTimes, Search};
use super::{Cron, Meaning, time_zone};
use crate::job::Time;

/// With more times than this in an hour, they are not listed one by one.
const MAX_AN_HOUR: usize = 4;
/// Two stretches that are not further apart are one: the distance of times of which there are so many in an hour.
const JOINED: Duration = Duration::from_secs(3_600 / MAX_AN_HOUR as u64);
const HOUR_S: i64 = 3_600;

/// One time, or a stretch with many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueStretch {
    /// The first time.
    pub first: Time,
    /// The last time; the same where there is only one.
    pub last: Time,
    /// The number of times.
    pub count: u64,
}

impl DueStretch {
    fn single(at: Time) -> DueStretch {
        DueStretch { first: at, last: at, count: 1 }
    }
}

impl Cron {
    /// The times after `after` and before `end`. An hour has at most four single times or one stretch, so the work is bounded
    /// by the hours of the span.
    pub fn due_between(&self, after: Time, end: Time) -> Vec<DueStretch> {
        match self.meaning() {
            Ok(Meaning::Every(interval)) => every(interval, after, end),
            Ok(Meaning::Pattern(pattern)) => {
                self.matching(&MatchedTimes::of(&pattern), &pattern, after, end)
            }
            Err(_) => Vec::new(),
        }
    }

    fn matching(
        &self,
        times: &MatchedTimes<'_>,
        pattern: &croner::Cron,
        after: Time,
        end: Time,
    ) -> Vec<DueStretch> {
        let mut found: Vec<DueStretch> = Vec::new();
        let Some(zone) = time_zone(&self.zone) else { return found };
        let is_dense = times.an_hour() > MAX_AN_HOUR;
        let mut from = Timestamp::from_millisecond(after.millis()).ok();
        while let Some(next) = from.and_then(|from| Search::default().next(pattern, &zone, from)) {
            let first = Time::from_millis(next.as_millisecond());
            if first >= end {
                break;
            }
            let local = zone.to_datetime(next);
            // A time that the clocks skip is due in an hour of which the pattern knows nothing.
            if !is_dense || !times.has_hour(local.hour()) {
                found.push(DueStretch::single(first));
                from = Some(next);
                continue;
            }
            let offset = i64::from(local.minute()) * 60 + i64::from(local.second());
            let left = end.millis().saturating_sub(first.millis()).saturating_add(999) / 1_000;
            let until = HOUR_S.min(offset.saturating_add(left));
            let (count, last) = times.within_hour(offset, until);
            let last = Time::from_millis(first.millis() + (last - offset) * 1_000);
            join(&mut found, DueStretch { first, last, count });
            from = Timestamp::from_second(next.as_second() + HOUR_S - offset - 1).ok();
        }
        found
    }
}

fn every(interval: Duration, after: Time, end: Time) -> Vec<DueStretch> {
    let step = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let next = |time: i64| time.checked_sub(time.rem_euclid(step))?.checked_add(step);
    let Some(first) = next(after.millis()).filter(|first| *first < end.millis()) else {
        return Vec::new();
    };
    let count = (end.millis() - 1 - first) / step + 1;
    let at = |number: i64| Time::from_millis(first + number * step);
    if interval < JOINED {
        let count = u64::try_from(count).unwrap_or(1);
        return vec![DueStretch { first: at(0), last: at((count as i64) - 1), count }];
    }
    (0..count).map(|number| DueStretch::single(at(number))).collect()
}

/// Adds a stretch, to the last one if it follows closely.
fn join(found: &mut Vec<DueStretch>, new: DueStretch) {
    match found.last_mut().filter(|last| last.count > 1 && new.first.since(last.last) <= JOINED) {
        Some(last) => {
            last.last = new.last;
            last.count += new.count;
        }
        None => found.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn day(pattern: &str, zone: &str, from: &str) -> Vec<DueStretch> {
        let cron = Cron::parse(pattern, zone, at(from)).unwrap();
        cron.due_between(at(from), Time::from_millis(at(from).millis() + DAY_MS))
    }

    /// What is due by the search for single times, which the schedules use.
    fn counted(pattern: &str, zone: &str, from: &str) -> u64 {
        let cron = Cron::parse(pattern, zone, at(from)).unwrap();
        let end = Time::from_millis(at(from).millis() + DAY_MS);
        let next = |after: &Time| cron.next_after(*after).filter(|next| *next < end);
        std::iter::successors(next(&at(from)), next).count() as u64
    }

    #[test]
    fn the_stretches_hold_every_time_and_are_few() {
        let patterns = [
            "* * * * *",
            "*/7 * * * *",
            "*/15 * * * *",
            "30 2 * * *",
            "0-20 9,17 * * *",
            "*/20 */10 * * * *",
            "0 * * * *",
            "every 7m",
            "every 15m",
            "every 90s",
            "0,10,20,30,40,50 2 * * *",
        ];
        let zones = ["UTC", "Europe/Berlin", "Asia/Kolkata"];
        let mornings = ["2027-01-01T12:34:56.789Z", "2027-03-27T12:00:00Z", "2027-10-30T12:00:00Z"];
        for pattern in patterns {
            for (zone, from) in zones.iter().flat_map(|zone| mornings.map(|from| (*zone, from))) {
                let stretches = day(pattern, zone, from);
                let count: u64 = stretches.iter().map(|one| one.count).sum();
                assert_eq!(count, counted(pattern, zone, from), "{pattern} in {zone} from {from}");
                assert!(stretches.len() <= 100, "{pattern}: {}", stretches.len());
                let is_ordered = |two: &[DueStretch]| two[0].last < two[1].first;
                assert!(stretches.windows(2).all(is_ordered), "{pattern}: {stretches:?}");
            }
        }
    }

    #[test]
    fn every_second_of_a_day_is_one_stretch() {
        for pattern in ["* * * * * *", "every 1s"] {
            let all = day(pattern, "Europe/Berlin", "2027-01-01T12:34:56.789Z");
            let [DueStretch { first, last, count }] = all[..] else { panic!("{all:?}") };
            assert_eq!(count, 86_400, "{pattern}");
            assert_eq!(first, at("2027-01-01T12:34:57Z"));
            assert_eq!(last, at("2027-01-02T12:34:56Z"));
        }
    }

    #[test]
    fn a_stretch_ends_with_its_last_time() {
        let two = day("0-20 9,17 * * *", "UTC", "2027-01-01T12:00:00Z");
        let ends: Vec<(String, String, u64)> = two
            .iter()
            .map(|one| (one.first.to_string(), one.last.to_string(), one.count))
            .collect();
        let on = |first: &str, last: &str| {
            (format!("2027-01-0{first}:00.000Z"), format!("2027-01-0{last}:00.000Z"), 21)
        };
        assert_eq!(ends, [on("1T17:00", "1T17:20"), on("2T09:00", "2T09:20")]);
        assert_eq!(day("0 12 1 6 *", "UTC", "2027-01-01T12:00:00Z"), []);
    }
}
