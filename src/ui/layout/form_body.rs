//! A check of every form body before a page parses it. Form parsers replace invalid UTF-8, so without the check a
//! job could differ from what was sent.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::engine::run_blocking;

use super::error::UiError;

/// Refuses a form that is not UTF-8 or cannot be read, with an error page.
pub async fn check(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    match Bytes::from_request(whole, &()).await {
        Ok(bytes) if run_blocking(bytes.len(), || is_utf8(&bytes)) => {
            next.run(Request::from_parts(parts, Body::from(bytes))).await
        }
        Ok(_) => {
            let message = "It contains bytes that are not valid UTF-8.".to_owned();
            refused(StatusCode::BAD_REQUEST, message)
        }
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            refused(rejection.status(), "It is longer than the server accepts.".to_owned())
        }
        Err(_) => {
            let message = "It ended early, or its chunks are malformed.".to_owned();
            refused(StatusCode::BAD_REQUEST, message)
        }
    }
}

fn refused(status: StatusCode, message: String) -> Response {
    let title = "The form cannot be read".into();
    let advice = "Nothing was changed. Submit the form in UTF-8 and within the size limit.";
    UiError { status, title, message, advice }.into_response()
}

/// Whether all names and values of a form are UTF-8. Their separators are ASCII, so one check covers all of them.
fn is_utf8(form: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(form.len());
    let mut rest = form;
    loop {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        rest = match rest {
            [] => return std::str::from_utf8(&decoded).is_ok(),
            [b'%', high, low, after @ ..] if digit(high).is_some() && digit(low).is_some() => {
                let value = digit(high).unwrap_or_default() * 16 + digit(low).unwrap_or_default();
                decoded.extend(u8::try_from(value));
                after
            }
            [byte, after @ ..] => {
                decoded.push(*byte);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_decoded_before_a_form_is_judged() {
        for good in ["", "a=b", "a=%C3%A4&b=ä", "100%", "%zz", "%e2%82%ac"] {
            assert!(is_utf8(good.as_bytes()), "{good}");
        }
        for bad in [&b"a=%ff"[..], b"a=\xff", b"a=%C3&b=%A4", b"%c3", b"a=%ED%A0%80"] {
            assert!(!is_utf8(bad), "{bad:?}");
        }
    }
}
