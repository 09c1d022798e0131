//! Answers without an end: streams that go on until the peer leaves or the last event is out.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;

/// In a response's extensions: its body goes on until the peer leaves or the last event is out. The stop
/// waits for it with the sockets, not with the requests.
#[derive(Debug, Clone, Copy)]
pub struct StreamingBody;

/// An answer of 200 that goes on. Proxies are asked not to hold it back.
pub fn lasting<S>(content_type: &'static str, body: S) -> Response
where
    S: Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
{
    const NO_BUFFER: HeaderName = HeaderName::from_static("x-accel-buffering");
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NO_BUFFER, HeaderValue::from_static("no"));
    response.extensions_mut().insert(StreamingBody);
    response
}
