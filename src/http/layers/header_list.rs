//! Reads headers whose value is a comma-separated list, possibly over several lines (RFC 9110, 5.6.1).

use axum::http::{HeaderMap, HeaderName};

/// The elements of a header's list, over all its lines, without the white space around them. A line that is not text
/// counts as one element, `?`, so that the elements after it keep their positions.
pub fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).map(str::trim)
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
}
