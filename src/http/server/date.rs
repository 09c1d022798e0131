//! The `Date` header of every response (RFC 9110 §6.6.1). hyper's own implementation panics if the clock is before 1970
//! or after the year 9999.

use std::cell::RefCell;
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

thread_local! {
    /// The second that this thread formatted last, and its text. Most responses can reuse it.
    static LAST: RefCell<Option<(i64, HeaderValue)>> = const { RefCell::new(None) };
}

/// Adds the header. A server without a usable clock must not send it.
pub fn add(headers: &mut HeaderMap) {
    if let Some(value) = value(SystemTime::now()) {
        headers.insert(header::DATE, value);
    }
}

/// The current time, if the system has a usable clock.
pub fn now() -> Option<Timestamp> {
    usable(SystemTime::now())
}

fn usable(clock: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(clock).ok().filter(|now| *now >= Timestamp::UNIX_EPOCH)
}

fn value(clock: SystemTime) -> Option<HeaderValue> {
    let now = usable(clock)?;
    LAST.with_borrow_mut(|last| match last {
        Some((second, value)) if *second == now.as_second() => Some(value.clone()),
        _ => {
            let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
            let value = HeaderValue::try_from(text).ok()?;
            *last = Some((now.as_second(), value.clone()));
            Some(value)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_date_is_as_http_wants_it_and_left_out_when_there_is_none() {
        let at = |seconds| value(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(784_111_777).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_777).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778).unwrap(), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(253_370_764_800).unwrap(), "Fri, 01 Jan 9999 00:00:00 GMT");
        let year = Duration::from_secs(365 * 86_400);
        for clock in
            [UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH - year, UNIX_EPOCH + year * 9_000]
        {
            assert_eq!(value(clock), None);
        }
    }
}
