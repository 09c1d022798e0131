//! Why a pattern is not accepted, in our words and not in those of the library that parses it.

/// What a schedule accepts, for errors.
pub const ACCEPTED: &str = "five fields such as \"30 2 * * mon-fri\" (minute, hour, day, month, weekday), \
    six with seconds first, @hourly, @daily, @weekly, @monthly, @yearly, or an interval such as \
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
        _ if pattern.contains('@') => {
            return format!("{pattern:?} is not a valid pattern: use {ACCEPTED}");
        }
        5 => &FIELDS[1..],
        6 => &FIELDS[..],
        1 => return format!("{pattern:?} is not a valid pattern: use {ACCEPTED}"),
        count => {
            return format!("{pattern:?} has {count} fields: use {ACCEPTED}");
        }
    };
    let is_wrong = |at: &usize| {
        let mut alone = vec!["*"; fields.len()];
        alone[*at] = fields[*at];
        !parses(&alone.join(" "))
    };
    let wrong = (0..fields.len()).filter(is_wrong);
    let wrong: Vec<String> = wrong
        .map(|at| format!("{:?} is not a valid {} ({})", fields[at], names[at].0, names[at].1))
        .collect();
    if wrong.is_empty() {
        return format!("{pattern:?} is not a valid pattern: use {ACCEPTED}");
    }
    format!("{}; {FORMS}", wrong.join(", "))
}
