//! Turns an answer into an outcome: a result, a retry when the server suggests one, or a discard.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{HttpSettings, error_text};
use crate::handlers::{discard, done, retry};
use crate::job::shorten::truncated;
use crate::job::{Outcome, Time};

/// Bytes of headers that are kept in a result; headers that do not fit are left out.
const MAX_HEADERS: usize = 16 * 1_024;
/// Bytes of the body of an error answer that are quoted.
const MAX_QUOTE: usize = 300;
/// How long the body of an error answer is waited for; its status is known already.
const QUOTE_TIME: Duration = Duration::from_secs(2);

/// Reads as much of the answer as is needed.
pub(super) async fn outcome(
    mut response: Response,
    settings: &HttpSettings,
    begin: Instant,
    now: Time,
) -> Outcome {
    let status = response.status();
    if status.is_success() {
        let body = match read(&mut response, settings.max_body).await {
            Ok(body) => body,
            Err(error) => {
                return retry(format!("the response was cut off: {}", error_text::describe(error)));
            }
        };
        let mut result = json!({
            "status": status.as_u16(),
            "headers": headers(response.headers()),
            "body": body.text,
            "duration_ms": u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if body.truncated {
            result["truncated"] = json!(true);
        }
        return done(&result);
    }
    // The body may explain the error, but failing to read it is not another error.
    let quote = tokio::time::timeout(QUOTE_TIME, read(&mut response, MAX_QUOTE)).await;
    let quote = quote.ok().and_then(Result::ok).map(|body| body.text).unwrap_or_default();
    let error = describe(status, &quote, response.headers());
    if tries_again(status) {
        let after = retry_after(response.headers(), now);
        Outcome::Retry { error, after: after.map(|wait| wait.min(settings.max_retry_after)) }
    } else {
        discard(error)
    }
}

/// The statuses that ask for a retry: RFC 9110 §15.5.9 and §15.6, RFC 8470, RFC 6585.
fn tries_again(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    ) || status.is_server_error()
}

fn describe(status: StatusCode, quote: &str, headers: &HeaderMap) -> String {
    let mut text = format!("the server answered {status}");
    let location = headers.get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok());
    if let Some(location) = location.filter(|_| status.is_redirection()) {
        text.push_str(" (redirects are not followed; it points to ");
        text.push_str(truncated(location, MAX_QUOTE));
        text.push(')');
    }
    let quote = quote.trim();
    if !quote.is_empty() {
        text.push_str(": ");
        text.push_str(quote);
    }
    text
}

/// A body or the beginning of one.
struct Body {
    text: String,
    truncated: bool,
}

/// Reads at most `max` bytes.
async fn read(response: &mut Response, max: usize) -> Result<Body, reqwest::Error> {
    let mut bytes: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok(Body { text: lossy(bytes), truncated: true });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { text: lossy(bytes), truncated: false })
}

/// Decodes text lossily; a character that was cut at the end is left out.
fn lossy(mut bytes: Vec<u8>) -> String {
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The headers, one entry for each name; several values are joined by commas.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut room = MAX_HEADERS;
    let mut map = Map::new();
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        let value = values.join(", ");
        let Some(rest) = room.checked_sub(name.as_str().len() + value.len()) else { continue };
        room = rest;
        map.insert(name.as_str().to_owned(), value.into());
    }
    map
}

/// The delay that `Retry-After` asks for; the longest one if several headers do.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let values = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|text| delay_until(text.trim(), now)).max()
}

/// The delay in a value of `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
fn delay_until(text: &str, now: Time) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit is a very long delay.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = Time::from_millis(http_date(text)?.as_millisecond());
    Some(at.since(now))
}

/// Parses the three date formats of RFC 9110 §5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    let obsolete = |format| strtime::parse(format, text).and_then(|parts| parts.to_datetime());
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().or_else(|| {
        let date = obsolete("%A, %d-%b-%y %H:%M:%S GMT")
            .or_else(|_| obsolete("%a %b %e %H:%M:%S %Y"))
            .ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_date_is_read() {
        let expected: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text), Some(expected), "{text}");
        }
        assert_eq!(http_date("tomorrow"), None);
    }

    #[test]
    fn a_wait_is_seconds_or_the_time_until_a_date() {
        let now: Time = "1994-11-06T08:49:07Z".parse().unwrap();
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!((wait("soon"), wait("-5"), wait("1.5"), wait("")), (None, None, None, None));
    }

    #[test]
    fn of_several_waits_the_longest_counts() {
        let now: Time = "1994-11-06T08:49:07Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        for text in ["0", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", "7"] {
            headers.append(RETRY_AFTER, text.parse().unwrap());
        }
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_body_that_is_not_text_is_kept_as_far_as_it_is() {
        assert_eq!(lossy(b"a\xc3\xa4".to_vec()), "aä");
        assert_eq!(lossy(b"a\xc3".to_vec()), "a");
        assert_eq!(lossy(b"a\xffb".to_vec()), "a\u{fffd}b");
    }
}
