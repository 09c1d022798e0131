//! The description of a pattern in words: "Every 5 minutes, 08:00–18:59, Mon–Fri". It is made from the values that the
//! parsed pattern matches and not from its text, so it says what really happens: `*/90 * * * *` runs every hour.

use std::time::Duration;

use croner::Cron;

use super::search::empty_field;

/// The flags of a day in a parsed pattern: the `n`th weekday of the month, the last one, the nearest working day.
const NTH: [(u8, &str); 6] = [
    (1 << 1, "first"),
    (1 << 2, "second"),
    (1 << 3, "third"),
    (1 << 4, "fourth"),
    (1 << 5, "fifth"),
    (LAST, "last"),
];
const LAST: u8 = 1 << 6;
const NEAREST: u8 = 1 << 7;

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The most days that each month has.
const MONTH_LENGTHS: [u16; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// Up to this many times of day are listed.
const LISTED: usize = 6;

/// Describes a pattern; `None` if it never matches.
pub fn describe(cron: &Cron) -> Option<String> {
    let pattern = &cron.pattern;
    let (seconds, minutes, hours) =
        (pattern.seconds.values(), pattern.minutes.values(), pattern.hours.values());
    if empty_field(cron).is_some() {
        return None;
    }
    let time = match seconds.as_slice() {
        [second] => minutes_and_hours(&minutes, &hours, *second),
        _ => within_minutes(&seconds, &minutes, &hours),
    };
    let day = days(cron)?;
    let at_fixed_times = time.starts_with("At ") && !time.contains(" of every ");
    Some(match day.as_str() {
        "" if at_fixed_times => format!("{time} every day"),
        month if at_fixed_times && month.starts_with("in ") => format!("{time} every day {month}"),
        "" => time,
        _ if time.contains(',') || !day.starts_with(['o', 'i']) => format!("{time}, {day}"),
        _ => format!("{time} {day}"),
    })
}

/// Describes an interval: "Every hour", "Every 1 hour 30 minutes".
pub fn every(interval: Duration) -> String {
    let seconds = interval.as_secs();
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let parts: Vec<(u64, &str)> = parts.into_iter().filter(|(count, _)| *count > 0).collect();
    if let [(1, unit)] = parts.as_slice() {
        return format!("Every {unit}");
    }
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let words = parts.into_iter().map(|(count, unit)| format!("{count} {unit}{}", plural(count)));
    format!("Every {}", words.collect::<Vec<String>>().join(" "))
}

/// A time within each minute that matches.
fn minutes_and_hours(minutes: &[u16], hours: &[u16], second: u16) -> String {
    let clock = |hour: u16, minute: u16| match second {
        0 => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    };
    let past = |minute: u16| match second {
        0 => format!(":{minute:02}"),
        _ => format!(":{minute:02}:{second:02}"),
    };
    let hours_step = even_step(hours, 24);
    let is_frequent = minutes.len() == 1 && hours.len() > 2 && hours_step.is_some();
    if minutes.len() * hours.len() <= LISTED && !is_frequent {
        let times =
            hours.iter().flat_map(|hour| minutes.iter().map(|minute| clock(*hour, *minute)));
        return format!("At {}", and(times.collect()));
    }
    if let [minute] = minutes {
        let at = if (*minute, second) == (0, 0) {
            String::new()
        } else {
            format!(" at {}", past(*minute))
        };
        return match (hours_step, hours) {
            (Some(1), _) => format!("Every hour{at}"),
            (Some(step), _) => format!("Every {step} hours{at}"),
            (None, [first, .., last]) if is_run(hours) => {
                format!("Every hour, {}–{}", clock(*first, *minute), clock(*last, *minute))
            }
            (None, [first, next, .., last]) if step_of(hours).is_some() => {
                let (first_at, last_at) = (clock(*first, *minute), clock(*last, *minute));
                format!("Every {} hours, {first_at}–{last_at}", next - first)
            }
            (None, _) => {
                format!("At {}", and(hours.iter().map(|hour| clock(*hour, *minute)).collect()))
            }
        };
    }
    let at = if second == 0 { String::new() } else { format!(" at second {second}") };
    let often = match (even_step(minutes, 60), minutes) {
        (Some(1), _) => format!("Every minute{at}"),
        (Some(step), _) => format!("Every {step} minutes{at}"),
        (None, [first, next, .., last]) if is_run(minutes) || step_of(minutes).is_some() => {
            let step = match next - first {
                1 => "minute".to_owned(),
                step => format!("{step} minutes"),
            };
            let from = format!("Every {step}{at} from :{first:02} to :{last:02}");
            return in_hours(&format!("{from} of every hour"), &from, hours);
        }
        (None, _) => {
            let list = format!("At {}", and(runs(minutes, past)));
            return in_hours(&format!("{list} of every hour"), &list, hours);
        }
    };
    in_hours(&often, &often, hours)
}

/// Several times within each minute that matches.
fn within_minutes(seconds: &[u16], minutes: &[u16], hours: &[u16]) -> String {
    let often = match even_step(seconds, 60) {
        Some(1) => "Every second".to_owned(),
        Some(step) => format!("Every {step} seconds"),
        None => {
            format!("At seconds {}", and(runs(seconds, |second| second.to_string())))
        }
    };
    if minutes.len() == 60 {
        let every = if often.starts_with("At") { " of every minute" } else { "" };
        let often = format!("{often}{every}");
        return in_hours(&often, &often, hours);
    }
    let unit = if minutes.len() == 1 { "minute" } else { "minutes" };
    let often = format!("{often} in {unit} {}", and(series(minutes)));
    in_hours(&format!("{often} of every hour"), &often, hours)
}

/// Adds the hours: `always` when it is every hour, and `often` followed by the hours if not.
fn in_hours(always: &str, often: &str, hours: &[u16]) -> String {
    let spans = spans(hours);
    if hours.len() == 24 {
        return always.to_owned();
    }
    if spans.len() > LISTED / 2 {
        return format!("{often}, in the hours {}", and(series(hours)));
    }
    let spans = spans.into_iter().map(|(first, last)| format!("{first:02}:00–{last:02}:59"));
    format!("{often}, {}", and(spans.collect()))
}

/// The days on which a pattern runs; empty when it runs every day, `None` when it names no day.
fn days(cron: &Cron) -> Option<String> {
    let pattern = &cron.pattern;
    let months = pattern.months.values();
    let month = if months.len() == 12 { String::new() } else { month_names(&months) };
    let any_date = pattern.is_dom_wildcard() || pattern.days.values().len() == 31;
    let any_weekday = pattern.is_dow_wildcard() || pattern.days_of_week.values().len() == 7;
    let both = pattern.matches_dom_and_dow();
    // Without `+`, either of the two is enough, so one that matches every day makes the other one irrelevant.
    let either_is_any = !both
        && !pattern.is_dom_wildcard()
        && !pattern.is_dow_wildcard()
        && (any_date || any_weekday);
    let words = match (any_date || either_is_any, any_weekday || either_is_any) {
        (true, true) if month.is_empty() => return Some(String::new()),
        (true, true) => format!("in {month}"),
        (false, true) => dates(cron, &months)?,
        (true, false) => weekdays(cron, &month)?,
        (false, false) if both => {
            format!("{}, but only {}", dates(cron, &months)?, weekdays(cron, "")?)
        }
        (false, false) => match (dates(cron, &months), weekdays(cron, &month)) {
            (Some(dates), Some(weekdays)) => format!("{dates} or {weekdays}"),
            (dates, weekdays) => dates.or(weekdays)?,
        },
    };
    Some(words)
}

/// "on day 1 of the month", "on 1 January", "on the last day of the month". Only days that a month has are named.
fn dates(cron: &Cron, months: &[u16]) -> Option<String> {
    let days = &cron.pattern.days;
    let mut words = Vec::new();
    for (days, months) in by_days(&days.values(), months) {
        match (days.as_slice(), months.as_slice()) {
            ([day], [month]) => words.push(format!("on {day} {}", month_names(&[*month]))),
            ([day], months) => words.push(format!("on day {day} of {}", of_months(months))),
            (days, months) => {
                words.push(format!("on days {} of {}", and(series(days)), of_months(months)));
            }
        }
    }
    for day in days.get_set_values(NEAREST) {
        for (_, months) in by_days(&[day], months) {
            let of = of_months(&months);
            words.push(format!("on the weekday nearest to day {day} of {of}"));
        }
    }
    if days.is_feature_enabled(LAST) {
        let day = if days.is_feature_enabled(NEAREST) { "weekday" } else { "day" };
        words.push(format!("on the last {day} of {}", of_months(months)));
    }
    (!words.is_empty()).then(|| and(words))
}

/// The months that have the same of these days, with those days. All twelve months together are not divided: "day 31 of
/// the month" names no month.
fn by_days(days: &[u16], months: &[u16]) -> Vec<(Vec<u16>, Vec<u16>)> {
    if months.len() == 12 {
        let all = (days.to_vec(), months.to_vec());
        return if days.is_empty() { Vec::new() } else { vec![all] };
    }
    let mut groups: Vec<(Vec<u16>, Vec<u16>)> = Vec::new();
    for month in months {
        let length = MONTH_LENGTHS[usize::from(*month).clamp(1, 12) - 1];
        let days: Vec<u16> = days.iter().copied().filter(|day| *day <= length).collect();
        match groups.iter_mut().find(|(same, _)| *same == days) {
            Some((_, months)) => months.push(*month),
            None if days.is_empty() => {}
            None => groups.push((days, vec![*month])),
        }
    }
    groups
}

/// The months, or "the month" for all of them.
fn of_months(months: &[u16]) -> String {
    if months.len() == 12 { "the month".to_owned() } else { month_names(months) }
}

/// "on Mondays", "Mon–Fri", "on the first Monday of the month".
fn weekdays(cron: &Cron, month: &str) -> Option<String> {
    let days = &cron.pattern.days_of_week;
    let name = |day: u16| WEEKDAYS[usize::from(day % 7)];
    let values = days.values();
    let of = if month.is_empty() { "the month" } else { month };
    let in_month = if month.is_empty() { String::new() } else { format!(" in {month}") };
    let mut words = match values.as_slice() {
        [] => Vec::new(),
        [day] => vec![format!("on {}s{in_month}", name(*day))],
        _ => {
            // A week begins on Monday: Saturday and Sunday are neighbours.
            let mut from_monday: Vec<u16> = values.iter().map(|day| (day + 6) % 7).collect();
            from_monday.sort_unstable();
            let short = |day: u16| name(day + 1).chars().take(3).collect();
            vec![format!("{}{in_month}", and(runs(&from_monday, short)))]
        }
    };
    for (flag, which) in NTH {
        for day in days.get_set_values(flag) {
            words.push(format!("on the {which} {} of {of}", name(day)));
        }
    }
    (!words.is_empty()).then(|| and(words))
}

fn month_names(months: &[u16]) -> String {
    let name = |month: u16| MONTHS[usize::from(month.clamp(1, 12) - 1)];
    match months {
        [month] => name(*month).to_owned(),
        _ => and(runs(months, |month| name(month).chars().take(3).collect())),
    }
}

/// The step of values that divide the whole evenly and begin at 0, such as 0, 15, 30, 45 of 60.
fn even_step(values: &[u16], whole: u16) -> Option<u16> {
    let step = if values.len() == 1 { return None } else { step_of(values)? };
    let covers = values.first() == Some(&0) && usize::from(whole / step) == values.len();
    (covers && whole.is_multiple_of(step)).then_some(step)
}

/// The difference between neighbours, if it is always the same.
fn step_of(values: &[u16]) -> Option<u16> {
    let step = values.get(1)?.checked_sub(*values.first()?)?;
    let is_even = values.windows(2).all(|two| two[1] - two[0] == step);
    is_even.then_some(step).filter(|step| *step > 0)
}

fn is_run(values: &[u16]) -> bool {
    values.len() > 2 && step_of(values) == Some(1)
}

/// The values as first and last of each run of neighbours.
fn spans(values: &[u16]) -> Vec<(u16, u16)> {
    let mut spans: Vec<(u16, u16)> = Vec::new();
    for value in values {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            Some(_) | None => spans.push((*value, *value)),
        }
    }
    spans
}

/// The values as words, with runs of three and more as ranges.
fn runs(values: &[u16], word: impl Fn(u16) -> String) -> Vec<String> {
    let mut words = Vec::new();
    for (first, last) in spans(values) {
        if last - first >= 2 {
            words.push(format!("{}–{}", word(first), word(last)));
        } else {
            words.extend((first..=last).map(&word));
        }
    }
    words
}

/// The values as words; a long regular series is shortened to `1, 3, 5, …, 31`.
fn series(values: &[u16]) -> Vec<String> {
    match values {
        [first, second, third, .., last]
            if values.len() > LISTED && !is_run(values) && step_of(values).is_some() =>
        {
            vec![format!("{first}, {second}, {third}, …, {last}")]
        }
        _ => runs(values, |value| value.to_string()),
    }
}

/// Joins a list: `a`, `a and b`, `a, b and c`.
fn and(mut words: Vec<String>) -> String {
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
