//! What stands around every endpoint and page: request ids, who may come in, time limits, headers
//! that keep browsers safe, compression. One function for all of it that needs no layer of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tracing::Instrument;

use super::auth::{Hosts, check_host, check_origin, check_token};
use super::cross_site::check_cross_site;
use super::unread::{Unread, count};
use super::{compression, request_body};
use crate::http::api::query::asks_to_wait;
use crate::http::server::date;
use crate::http::{Limits, Problem};
use crate::supervise::{Part, panic_text, pass};

/// Who may come in.
#[derive(Debug, Clone)]
pub struct Access {
    /// The token every request must carry but those for health; `None` lets everybody in.
    pub token: Option<String>,
    /// The names a request may ask for.
    pub hosts: Hosts,
    /// Origins of other sites that may make requests and open sockets, such as `https://jobs.example.org`.
    pub trusted_origins: Vec<String>,
}

/// Puts everything around the merged routers of endpoints and pages.
///
/// # Errors
/// When a trusted origin is no origin.
pub fn wrap(router: Router, limits: &Limits, access: Access) -> Result<Router, String> {
    let mut csrf = CsrfLayer::new();
    for origin in &access.trusted_origins {
        csrf = csrf.add_trusted_origin(origin).map_err(|error| error.to_string())?;
    }
    let csrf = csrf.with_rejection_response(|_: ProtectionError| {
        let detail = "a request that a page of another site makes is refused";
        Problem::new(StatusCode::FORBIDDEN, "cross_site", detail).into_response()
    });
    let gate = Gate { access, timeout: limits.request_timeout, max_wait: limits.max_wait };
    let gate = Arc::new(gate);
    let unread = Arc::new(Unread::new(limits));
    let longest = limits.body_bytes;
    Ok(router
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            count(unread.clone(), request, next)
        }))
        .layer(middleware::from_fn(compression::in_pieces))
        .layer(compression::layer(limits.max_compressed))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            request_body::bound(longest, request, next)
        }))
        .layer(csrf)
        .layer(middleware::from_fn_with_state(gate, around)))
}

struct Gate {
    access: Access,
    timeout: Duration,
    max_wait: Duration,
}

impl Gate {
    /// How long an answer may take to begin.
    fn patience(&self, request: &Request) -> Duration {
        match asks_to_wait(request.uri().query()) {
            true => self.timeout + self.max_wait,
            false => self.timeout,
        }
    }

    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let (uri, headers) = (request.uri(), request.headers());
        check_cross_site(&self.access.trusted_origins, request.method(), headers)?;
        if matches!(uri.path(), "/healthz" | "/readyz") {
            return Ok(());
        }
        check_host(&self.access.hosts, uri, headers)?;
        if let Some(token) = &self.access.token {
            check_token(token, headers)?;
        }
        if headers.contains_key(header::UPGRADE) {
            check_origin(&self.access.trusted_origins, uri, headers)?;
        }
        Ok(())
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

async fn around(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let is_api = request.uri().path().starts_with("/api/");
    let span = tracing::debug_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
    );
    let mut response = match gate.admit(&request) {
        Ok(()) => answer(gate.patience(&request), request, next).instrument(span).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    date::add(headers);
    add_safe_headers(headers);
    if is_api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

async fn answer(within: Duration, request: Request, next: Next) -> Response {
    let answering = async {
        pass(Part::Request);
        next.run(request).await
    };
    let answering = AssertUnwindSafe(answering).catch_unwind();
    let Ok(answered) = tokio::time::timeout(within, answering).await else {
        let detail = format!("no answer was ready within {within:?}");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", detail)
            .retry_after(1)
            .into_response();
    };
    let response = answered.unwrap_or_else(|panic| {
        tracing::error!(error = panic_text(&*panic), "the request panicked");
        let detail = "the request failed inside the server; its log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
    });
    tracing::debug!(status = response.status().as_u16(), "answered");
    response
}

/// The id that came with the request when it is short and plain, else a fresh one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        (1..=64).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(|| {
        let mut buffer = uuid::Uuid::encode_buffer();
        let text = crate::job::fresh_uuid().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
    })
}

/// Scripts, styles and connections of our own only; nothing inline, no frames around us.
/// `connect-src 'self'` covers the WebSocket of the same host (CSP level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'; \
    frame-ancestors 'none'";

/// Adds what every answer has: pages of other sites cannot load it, frame it or hold on to its window.
pub fn add_safe_headers(headers: &mut HeaderMap) {
    const SAFE: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    for (name, value) in SAFE {
        headers.insert(name, value);
    }
}
