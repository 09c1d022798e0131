//! Reads the cookies of a request (RFC 6265, 4.2).

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// The names and values of all cookies. A header or a pair that cannot be read is skipped.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn all_lines_are_read_and_what_is_no_cookie_is_skipped() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1;b=2=3 ; c"));
        headers.append(COOKIE, HeaderValue::from_bytes(b"\xff=x").unwrap());
        headers.append(COOKIE, HeaderValue::from_static("d="));
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), [("a", "1"), ("b", "2=3"), ("d", "")]);
    }
}
