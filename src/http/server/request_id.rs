//! The id of a request (`x-request-id`): the client's own if it is short and plain, otherwise a new one. tower-http
//! adds it to the request and the response.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};

/// The header of a request and its response.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Creates ids for `SetRequestIdLayer`.
#[derive(Debug, Clone, Copy)]
pub struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        fresh().map(RequestId::new)
    }
}

/// A new id.
pub fn fresh() -> Option<HeaderValue> {
    let mut buffer = uuid::Uuid::encode_buffer();
    let text = crate::job::fresh_uuid().simple().encode_lower(&mut buffer);
    HeaderValue::from_str(text).ok()
}

/// Removes an id that is too long or could be mistaken for something else in a log. `SetRequestIdLayer` would keep it.
pub fn remove_unusable<B>(mut request: Request<B>) -> Request<B> {
    let is_usable = |value: &HeaderValue| {
        (1..=64).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    let headers = request.headers_mut();
    if headers.get(X_REQUEST_ID).is_some_and(|value| !is_usable(value)) {
        headers.remove(X_REQUEST_ID);
    }
    request
}

/// The id in the headers of a request, or an empty string.
pub fn of(headers: &HeaderMap) -> &str {
    headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}
