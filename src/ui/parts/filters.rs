//! Filters and number formats of the templates.

use std::fmt::Display;

/// Groups digits with a narrow no-break space: 12345 → 12 345.
#[askama::filter_fn]
pub fn grouped(number: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(group(&number.to_string()))
}

/// A name as a segment of a URL. Browsers resolve `.` and `..`, which older versions accepted as names, so they get a `~`,
/// which the server ignores.
#[askama::filter_fn]
pub fn path_segment(name: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(segment(&name.to_string()))
}

/// The same, for URLs that are not in templates.
pub fn segment(name: &str) -> String {
    match name {
        "." | ".." => format!("~{name}"),
        name => name.to_owned(),
    }
}

/// The same, with everything escaped that a path cannot have. There, a plus is no space.
pub fn escaped_segment(name: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(segment(name).as_bytes()).collect();
    escaped.replace('+', "%20")
}

/// The URL of a page with one field in its query.
pub fn query_link(page: &str, field: &str, value: &str) -> String {
    let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    format!("{page}?{field}={value}")
}

/// Formats a count with grouped digits.
pub fn count(number: u64) -> String {
    group(&number.to_string())
}

/// Formats a rate per second: `0`, `0.2`, `7.5`, `1 250`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        0.0..10.0 => format!("{:.1}", per_second).trim_end_matches(".0").to_owned(),
        _ => group(&format!("{:.0}", per_second.max(0.0))),
    }
}

/// Formats a share in percent: `0%`, `0.4%`, `12%`, or a dash when the whole is zero.
pub fn percent(part: u64, whole: u64) -> String {
    match part as f64 * 100.0 / whole as f64 {
        _ if whole == 0 => "–".into(),
        share if part > 0 && share < 10.0 => format!("{share:.1}%"),
        share => format!("{share:.0}%"),
    }
}

/// Formats bytes in the largest IEC unit of which there is at least one: `1.4 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1_024 {
        return format!("{number} B");
    }
    let mut size = number as f64 / 1_024.0;
    let mut unit = 0;
    while size >= 1_024.0 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

pub fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        let shown: Vec<String> = [0, 1_023, 1_024, 1_536 * 1_024, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "16777216.0 TiB"]);
    }

    #[test]
    fn rates_and_shares_have_as_many_digits_as_people_use() {
        let shown = [0.0, 0.04, 0.25, 7.0, 9.96, 1_249.6].map(rate);
        assert_eq!(shown, ["0", "0", "0.2", "7", "10", "1\u{202f}250"]);
        let shown =
            [(0, 0), (0, 9), (1, 300), (1, 3), (9, 9)].map(|(part, all)| percent(part, all));
        assert_eq!(shown, ["–", "0%", "0.3%", "33%", "100%"]);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(group("7"), "7");
        assert_eq!(group("1234"), "1\u{202f}234");
        assert_eq!(group("123456789"), "123\u{202f}456\u{202f}789");
    }
}
