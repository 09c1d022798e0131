//! Responses with a body that has no fixed end: it is streamed until the client leaves or the last event is sent.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;

/// Marks a response, in its extensions, whose body is streamed until the client leaves or the last event is sent. A
/// stop of the server waits for it together with the WebSockets, and not with the requests.
#[derive(Debug, Clone, Copy)]
pub struct StreamingBody;

/// A response of 200 with a streaming body. It asks proxies not to buffer the body.
pub fn streaming_response<S>(content_type: &'static str, body: S) -> Response
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
