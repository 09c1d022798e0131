//! Checks the target of a request (RFC 9112 §3.2): a path, an absolute URL, or `*` for the whole server. The parser accepts
//! more, and what it makes of it would be blamed on the `Host` header.

use axum::http::{Method, Request, StatusCode};

use crate::http::Problem;

/// Refuses a target that no client means.
///
/// # Errors
/// 400 `malformed_request`.
pub fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let (method, uri) = (request.method(), request.uri());
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let is_name = uri.scheme().is_none() && uri.authority().is_some();
    let detail = if has_user {
        "the URL of the request must not contain a user name or a password"
    } else if is_name && method != Method::CONNECT {
        "the target of the request is neither a path that begins with / nor an absolute URL"
    } else if uri.path() == "*" && method != Method::OPTIONS {
        "the target * is only valid with the method OPTIONS"
    } else {
        return Ok(());
    };
    Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_request", detail))
}

/// Whether the request asks for the options of the whole server (RFC 9110 §9.3.7).
pub fn is_of_whole_server<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.uri().path() == "*"
}
