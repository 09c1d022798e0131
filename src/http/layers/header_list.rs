//! Reads headers whose value is a comma-separated list, possibly over several lines (RFC 9110, 5.6.1), and those that may
//! be sent only once.

use axum::http::header::AsHeaderName;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// A header that may be sent only once was repeated. Which line counts would be a guess, and a proxy may guess differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

/// The value of a header that may be sent only once; `None` if it is missing.
pub fn at_most_one(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> Result<Option<&HeaderValue>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        (_, Some(_)) => Err(Repeated),
    }
}

/// The elements of a header's list, over all its lines, without surrounding whitespace. A line that is not text counts
/// as one element, `?`, so that later elements keep their positions.
pub fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).map(str::trim)
}

/// An element of a list with weights, such as `text/html;level=1;q=0.5` (RFC 9110, 12.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighted<'a> {
    /// The element without its parameters.
    pub value: &'a str,
    /// Its weight in thousandths; 0 means "not acceptable".
    pub weight: u16,
}

/// The elements of a header's list with their weights. Elements with an invalid weight are skipped.
pub fn weighted<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Weighted<'a>> {
    elements(headers, name).filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let value = parts.next()?;
        let weight = parts.find_map(|part| {
            let (name, weight) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| thousandths(weight.trim()))
        });
        Some(Weighted { value, weight: weight.unwrap_or(Some(1_000))? })
    })
}

/// Whether a list with weights has this element, ignoring case, with a weight above zero.
pub fn accepts(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    weighted(headers, name).any(|given| given.weight > 0 && given.value.eq_ignore_ascii_case(value))
}

/// A weight from `0` to `1` with up to three decimals, in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 {
        return None;
    }
    let all_digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    let decimals: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| all_digits)?;
    let weight = if whole == "1" { 1_000 + decimals } else { decimals };
    (weight <= 1_000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn a_list_goes_over_all_lines_of_its_header() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive ,Upgrade"));
        headers.append(header::CONNECTION, HeaderValue::from_bytes(b"\xff,x").unwrap());
        headers.append(header::CONNECTION, HeaderValue::from_static(" close"));
        headers.append(header::UPGRADE, HeaderValue::from_static("websocket"));
        let elements: Vec<&str> = elements(&headers, &header::CONNECTION).collect();
        assert_eq!(elements, ["keep-alive", "Upgrade", "?", "close"]);
    }

    #[test]
    fn weights_are_read_and_elements_with_invalid_ones_are_skipped() {
        let weights = |text: &str| {
            let value = HeaderValue::from_str(text).unwrap();
            let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);
            let all = weighted(&headers, &header::ACCEPT);
            all.map(|given| (given.value.to_owned(), given.weight)).collect::<Vec<_>>()
        };
        for (text, weight) in [
            ("a/b", 1_000),
            ("a/b;q=1", 1_000),
            ("a/b;q=1.000", 1_000),
            ("a/b; Q=0.5", 500),
            ("a/b ;level=1; q = 0.25", 250),
            ("a/b;q=0.001", 1),
            ("a/b;q=0.", 0),
            ("a/b;q=0.000", 0),
        ] {
            assert_eq!(weights(text), [("a/b".to_owned(), weight)], "{text}");
        }
        for text in ["a/b;q=", "a/b;q=2", "a/b;q=1.001", "a/b;q=0.0000", "a/b;q=.5", "a/b;q=x"] {
            assert_eq!(weights(text), [], "{text}");
        }
    }
}
