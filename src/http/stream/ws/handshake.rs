//! The opening handshake (RFC 6455 §4.2): checks that a request may become a WebSocket, and builds the response.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::Problem;
use crate::http::layers::header_list::{Repeated, at_most_one, elements};

/// Returns the response that switches the connection to the WebSocket protocol, and to this subprotocol if the client
/// offers one.
///
/// # Errors
/// When the request is not a valid handshake, or the connection cannot be upgraded.
pub fn check(request: &Request, subprotocol: &'static str) -> Result<Response, Problem> {
    let refuse = |status, detail| Err(Problem::new(status, "not_a_websocket", detail));
    let bad = |detail| refuse(StatusCode::BAD_REQUEST, detail);
    let headers = request.headers();
    if request.method() != Method::GET {
        return bad("a WebSocket is opened with GET");
    }
    if !lists(headers, header::CONNECTION, "upgrade") {
        return bad("expected `connection: upgrade`");
    }
    if !lists(headers, header::UPGRADE, "websocket") {
        return bad("expected `upgrade: websocket`");
    }
    let expected = "expected `sec-websocket-version: 13`, once";
    match only(headers, header::SEC_WEBSOCKET_VERSION) {
        Ok("13") => {}
        Ok(_) => return refuse(StatusCode::UPGRADE_REQUIRED, expected), // this status names the version (§4.4)
        Err(_) => return bad(expected),
    }
    let key = match only(headers, header::SEC_WEBSOCKET_KEY) {
        Ok(key) if is_key(key) => key,
        Ok(_) => return bad("`sec-websocket-key` is not the base64 form of 16 bytes"),
        Err(NotOnce::Missing) => return bad("`sec-websocket-key` is missing"),
        Err(NotOnce::Repeated) => return bad("`sec-websocket-key` can be sent only once"),
    };
    if !request.body().is_end_stream() {
        return bad("a request for a WebSocket has no body");
    }
    let offers = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    // Unlike the words of the other headers, the names of subprotocols distinguish upper and lower case (§11.5).
    let offers_ours =
        elements(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|name| name == subprotocol);
    if offers && !offers_ours {
        let detail = format!("the only supported subprotocol is `{subprotocol}`");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_subprotocol", detail));
    }
    if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_none() {
        return refuse(
            StatusCode::UPGRADE_REQUIRED,
            "this connection cannot be upgraded to a WebSocket",
        );
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "not_a_websocket", "`sec-websocket-key` is not valid")
    })?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if offers_ours {
        let chosen = HeaderValue::from_static(subprotocol);
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    Ok(response)
}

/// Whether a header's comma-separated list contains this word.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    elements(headers, &name).any(|given| given.eq_ignore_ascii_case(word))
}

/// Why a header that should come once has no value.
enum NotOnce {
    Missing,
    Repeated,
}

/// The value of a header that must come exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<&str, NotOnce> {
    match at_most_one(headers, name) {
        Ok(Some(line)) => Ok(line.to_str().unwrap_or("?")),
        Ok(None) => Err(NotOnce::Missing),
        Err(Repeated) => Err(NotOnce::Repeated),
    }
}

/// Whether a key is the base64 form of 16 bytes (§4.1).
fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}
