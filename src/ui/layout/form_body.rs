//! The checks of every form before a page parses it. Form parsers replace invalid UTF-8 and keep malformed escapes, so
//! without the checks a job could differ from what was sent. A form has all of its fields in the body, so an address with
//! parameters is refused: ignoring them could select more jobs than was meant.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::engine::run_blocking;
use crate::http::api::extract::NoQuery;
use crate::http::api::idempotency::NoIdempotencyKey;
use crate::http::layers::whole_body::{BodyLimits, whole_body};

use super::error::{UiError, sentence};

/// Refuses a form whose address has parameters, that has an `Idempotency-Key`, is not UTF-8 or cannot be read.
pub async fn check(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    if let Err(problem) = NoQuery::from_request_parts(&mut parts, &()).await {
        return problem.into_response();
    }
    if let Err(problem) = NoIdempotencyKey::from_request_parts(&mut parts, &()).await {
        return problem.into_response();
    }
    let whole = Request::from_parts(parts.clone(), body);
    let limits = BodyLimits::of(&whole);
    match whole_body(whole, &(), limits).await {
        Ok(bytes) => match run_blocking(bytes.len(), || text_fault(&bytes)) {
            None => next.run(Request::from_parts(parts, Body::from(bytes))).await,
            Some(message) => refused(StatusCode::BAD_REQUEST, message.to_owned()),
        },
        // The layers around the pages show the form of a login.
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => problem.into_response(),
        Err(problem) => refused(problem.status(), sentence(problem.detail())),
    }
}

fn refused(status: StatusCode, message: String) -> Response {
    let title = "The form cannot be read".into();
    let advice =
        "Nothing was changed. Submit the form in UTF-8 and within the limits of size and time.";
    UiError { status, title, message, advice }.into_response()
}

/// Why the names and values of a form are not text, if they are not. Their separators are ASCII, so one check covers all
/// of them.
fn text_fault(form: &[u8]) -> Option<&'static str> {
    let mut decoded = Vec::with_capacity(form.len());
    let mut rest = form;
    loop {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        rest = match rest {
            [] => {
                let is_utf8 = std::str::from_utf8(&decoded).is_ok();
                return (!is_utf8).then_some("It contains bytes that are not valid UTF-8.");
            }
            [b'%', high, low, after @ ..] if digit(high).is_some() && digit(low).is_some() => {
                let value = digit(high).unwrap_or_default() * 16 + digit(low).unwrap_or_default();
                decoded.extend(u8::try_from(value));
                after
            }
            [b'%', ..] => {
                return Some("It contains a % that is not followed by two hexadecimal digits.");
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
        for good in ["", "a=b", "a=%C3%A4&b=ä", "100%25", "%e2%82%ac"] {
            assert_eq!(text_fault(good.as_bytes()), None, "{good}");
        }
        for bad in [&b"a=%ff"[..], b"a=\xff", b"a=%C3&b=%A4", b"%c3", b"a=%ED%A0%80"] {
            assert!(text_fault(bad).is_some_and(|fault| fault.contains("UTF-8")), "{bad:?}");
        }
        for bad in ["%zz", "100%", "a=%4", "a=%&b=1", "%c3%zz"] {
            let fault = text_fault(bad.as_bytes());
            assert!(fault.is_some_and(|fault| fault.contains("hexadecimal")), "{bad}");
        }
    }
}
