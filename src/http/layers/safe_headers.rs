//! The security headers of every response, including those that hyper and the accept loop generate.

use axum::http::{HeaderName, HeaderValue, header};

/// Pages load scripts and styles and open connections only from this server, run nothing inline, and cannot be framed.
/// `connect-src 'self'` covers the WebSocket of the same host (CSP level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'; \
    frame-ancestors 'none'";

/// The security headers of every response. They prevent pages of other sites from loading it, framing it or keeping a
/// reference to its window.
pub const SAFE_HEADERS: [(HeaderName, HeaderValue); 5] = [
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
