//! Reads the whole body of a request. The client decides how long that takes, so the credentials, which were checked with
//! the head, are checked again at the end.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use crate::http::access::access_watch::AccessWatch;
use crate::http::{HttpLimits, Problem};

/// How long a body may be, and how long it may take. It is in the extensions of requests with a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The most bytes.
    pub longest: usize,
    /// The time within which the last byte must have arrived.
    pub within: Duration,
}

impl BodyLimits {
    /// The limits of the settings.
    pub fn new(limits: &HttpLimits) -> BodyLimits {
        BodyLimits { longest: limits.max_body, within: limits.body_timeout }
    }

    /// The limits of a request. Without the layers, they are those of a server without settings.
    pub fn of(request: &Request) -> BodyLimits {
        let limits = request.extensions().get::<BodyLimits>().copied();
        limits.unwrap_or_else(|| BodyLimits::new(&HttpLimits::default()))
    }
}

/// Reads the body of a request to its end.
///
/// # Errors
/// It is too long, ended early or took too long, or the credentials have ended or changed since the head was checked.
pub async fn whole_body<S: Send + Sync>(
    request: Request,
    state: &S,
    limits: BodyLimits,
) -> Result<Bytes, Problem> {
    let BodyLimits { longest, within } = limits;
    let watch = AccessWatch::of(request.method(), request.extensions());
    let bytes = match tokio::time::timeout(within, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(too_long(longest));
        }
        Ok(Err(_)) => {
            let detail = "the body ended early, or its chunks are malformed";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "broken_body", detail));
        }
        Err(_) => {
            let detail = format!("the request body did not arrive within {within:?}");
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail));
        }
    };
    watch.check()?;
    Ok(bytes)
}

/// The response to a body that is too long.
pub fn too_long(longest: usize) -> Problem {
    let detail = format!("the body is longer than {longest} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}
