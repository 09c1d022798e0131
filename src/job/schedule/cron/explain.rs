//! Why a pattern is not accepted, in our words and not in those of the library that parses it.

/// What a schedule accepts, for errors.
pub const ACCEPTED: &str = "five fields such as \"30 2 * * mon-fri\" (minute, hour, day, month, weekday), \
    six with seconds first, @hourly, @daily, @weekly, @monthly, @yearly, @annually, or an interval such as \
    \"every 15m\"";
/// What a field accepts besides single values.
const FORMS: &str = "lists such as 1,15, ranges such as 1-5 and steps such as */10 are valid, too";

/// The names and the values of the fields, in the order of a pattern with seconds.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31"),
    ("month", "1 to 12, or jan to dec"),
    ("weekday", "0 to 7, or sun to sat"),
];

/// Explains why a pattern that is not an interval cannot be parsed.
pub fn explain(pattern: &str, parses: impl Fn(&str) -> bool) -> String {
    if pattern.is_empty() {
        return format!("a value is required: use {ACCEPTED}");
    }
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let names = match fields.len() {
        _ if fields.first().is_some_and(|first| first.contains('=')) => {
            return "the time zone is no part of the pattern: it is a field of its own".into();
        }
        _ if pattern.contains('@') => {
            return format!("{pattern:?} is not a valid pattern: use {ACCEPTED}");
        }
        5 => &FIELDS[1..],
        6 if is_year(fields[5]) => {
            return format!("{pattern:?} has a year, which is not accepted: use {ACCEPTED}");
        }
        6 => &FIELDS[..],
        1 => return format!("{pattern:?} is not a valid pattern: use {ACCEPTED}"),
        count => {
            return format!("{pattern:?} has {count} fields: use {ACCEPTED}");
        }
    };
    let is_valid = |at: usize, field: &str| {
        let mut alone = vec!["*"; fields.len()];
        alone[at] = field;
        parses(&alone.join(" "))
    };
    let wrong = (0..fields.len()).filter(|at| !is_valid(*at, fields[*at]));
    let wrong: Vec<String> = wrong
        .map(|at| {
            // Only the element of a list that is wrong is to blame.
            let element = fields[at].split(',').find(|element| !is_valid(at, element));
            let element = element.filter(|element| !element.is_empty()).unwrap_or(fields[at]);
            let (name, values) = names[at];
            let why = reason(element).map(|why| format!(": {why}")).unwrap_or_default();
            format!("{element:?} is not a valid {name} ({values}){why}")
        })
        .collect();
    if wrong.is_empty() {
        return format!("{pattern:?} is not a valid pattern: use {ACCEPTED}");
    }
    format!("{}; {FORMS}", wrong.join(", "))
}

/// The error about a name in a field that has none, such as a weekday in the field for the day of the month. The library
/// reads it as a number.
pub fn misplaced_name(pattern: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if pattern.starts_with('@') {
        return None;
    }
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let skipped = FIELDS.len().checked_sub(fields.len())?;
    fields.iter().zip(&FIELDS[skipped..]).find_map(|(field, (name, values))| {
        let (names, letters): (&[&str], &str) = match *name {
            "month" => (&MONTHS, ""),
            "weekday" => (&DAYS, "l"),
            "day" => (&[], "lw"),
            _ => (&[], ""),
        };
        let mut rest = field.to_ascii_lowercase();
        for known in names {
            rest = rest.replace(known, "");
        }
        let is_other = |c: char| c.is_ascii_alphabetic() && !letters.contains(c);
        rest.contains(is_other)
            .then(|| format!("{field:?} is not a valid {name} ({values}); {FORMS}"))
    })
}

/// Whether a field is a year, which other programs have at the end of a pattern.
fn is_year(field: &str) -> bool {
    field.len() == 4 && field.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is wrong with an element whose values could be valid.
fn reason(element: &str) -> Option<String> {
    let number = |text: &str| text.parse::<u32>().ok();
    let (base, step) = match element.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (element, None),
    };
    if let Some(step) = step {
        if number(step) == Some(0) {
            return Some("a step is at least 1".into());
        }
        if number(base).is_some() {
            return Some(format!("a step needs * or a range before it, such as */{step}"));
        }
    }
    let (first, last) = base.split_once('-')?;
    let is_reversed = number(first)? > number(last)?;
    is_reversed.then(|| "the range ends before it begins".into())
}

#[cfg(test)]
mod tests {
    use crate::job::{Cron, Time};

    #[test]
    fn the_part_that_is_wrong_is_blamed_and_nothing_else() {
        for (pattern, says) in [
            ("1,61,5 * * * *", "\"61\" is not a valid minute (0 to 59);"),
            (
                "30-10 * * * *",
                "\"30-10\" is not a valid minute (0 to 59): the range ends before it begins",
            ),
            ("*/0 * * * *", "\"*/0\" is not a valid minute (0 to 59): a step is at least 1"),
            (
                "0/5 * * * *",
                "\"0/5\" is not a valid minute (0 to 59): a step needs * or a range before it, such as */5",
            ),
            ("* 24 * * *", "\"24\" is not a valid hour (0 to 23)"),
            ("0 0 * * mon,tag", "\"tag\" is not a valid weekday (0 to 7, or sun to sat)"),
            ("0 0 mon * *", "\"mon\" is not a valid day (1 to 31)"),
            ("0 JAN * * *", "\"JAN\" is not a valid hour (0 to 23)"),
            ("0 0 1 fri *", "\"fri\" is not a valid month (1 to 12, or jan to dec)"),
            ("0 0 * * jan", "\"jan\" is not a valid weekday (0 to 7, or sun to sat)"),
            ("sat 0 0 * * *", "\"sat\" is not a valid second (0 to 59)"),
            ("0 0 1 1 * 2027", "has a year, which is not accepted"),
            ("0 0 0 1 1 * 2027", "has 7 fields"),
            ("CRON_TZ=Europe/Berlin 0 0 * * *", "the time zone is no part of the pattern"),
            ("TZ=UTC @daily", "the time zone is no part of the pattern"),
            ("every 5x", "\"every 5x\" is not a valid interval: "),
            ("every -5m", "\"every -5m\" is not a valid interval"),
            ("@midnight", "\"@midnight\" is not a valid pattern: use five fields"),
            ("@reboot", "@annually"),
        ] {
            let wrong = Cron::parse(pattern, "", Time::default()).unwrap_err();
            assert!(wrong.len() == 1 && wrong[0].field() == "cron", "{pattern}: {wrong:?}");
            let why = wrong[0].to_string();
            assert!(why.contains(says), "{pattern}: {why}");
        }
    }
}
