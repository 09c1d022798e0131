//! The opening handshake (RFC 6455 §4.2): what a request must say to become a WebSocket, and the answer.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::Problem;
use crate::http::layers::header_list::elements;
use crate::http::stream::protocol::SUBPROTOCOL;

/// The answer that opens the socket.
///
/// # Errors
/// When the request is no handshake, or the connection cannot become a socket.
pub fn check(request: &Request) -> Result<Response, Problem> {
    let refuse = |status, detail| Err(Problem::new(status, "not_a_websocket", detail));
    let bad = |detail| refuse(StatusCode::BAD_REQUEST, detail);
    let headers = request.headers();
    if request.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened with GET");
    }
    if !lists(headers, header::CONNECTION, "upgrade") {
        return bad("`connection: upgrade` is expected");
    }
    if !lists(headers, header::UPGRADE, "websocket") {
        return bad("`upgrade: websocket` is expected");
    }
    if !lists(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        let expected = "`sec-websocket-version: 13` is expected";
        return match headers.contains_key(header::SEC_WEBSOCKET_VERSION) {
            true => refuse(StatusCode::UPGRADE_REQUIRED, expected), // names the version (§4.4)
            false => bad(expected),
        };
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return bad("`sec-websocket-key` is missing");
    };
    let offers = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let speaks_ours = lists(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    if offers && !speaks_ours {
        let detail = format!("of all subprotocols only `{SUBPROTOCOL}` is spoken here");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_subprotocol", detail));
    }
    if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_none() {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this connection cannot become a WebSocket");
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "not_a_websocket", "a strange key"))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if speaks_ours {
        let chosen = HeaderValue::from_static(SUBPROTOCOL);
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    Ok(response)
}

/// Whether a header's comma-separated list has this word.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    elements(headers, &name).any(|given| given.eq_ignore_ascii_case(word))
}
