//! Prepares every request for the endpoints and pages. A body whose declared length is too large, or that is compressed, is
//! refused at once. Small chunks are joined, because axum collects a body chunk by chunk, which takes forty times the memory of
//! its bytes if each chunk is one byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};

use super::compression::simplify_accepted;
use super::header_list::{Repeated, at_most_one, elements};
use super::whole_body::{BodyLimits, too_long};
use crate::http::Problem;

/// Chunks are joined until they have this many bytes in total.
const MIN_JOINED_BYTES: usize = 64 * 1_024;

/// A layer around every endpoint and page. hyper sends `100 Continue` only when the body is read, so a client that
/// waits for it does not send a body that is refused.
pub async fn bound(limits: BodyLimits, mut request: Request, next: Next) -> Response {
    simplify_accepted(request.headers_mut());
    let length = request.body().size_hint().exact();
    if length.is_some_and(|length| length > limits.longest as u64) {
        return too_long(limits.longest).into_response();
    }
    if length == Some(0) {
        return next.run(request).await;
    }
    let headers = request.headers();
    let checked = check_encoding(headers).and_then(|()| check_transfer_encoding(headers));
    if let Err(problem) = checked.and_then(|()| check_one_content_type(headers)) {
        return problem.into_response();
    }
    request.extensions_mut().insert(limits);
    let joined = |body| Body::new(Joined { body, waiting: BytesMut::new(), ended: false });
    next.run(request.map(joined)).await
}

/// Refuses a body with a content encoding, such as gzip. No endpoint could read it.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = elements(headers, &header::CONTENT_ENCODING);
    let Some(encoding) =
        encodings.find(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
    else {
        return Ok(());
    };
    let detail = format!(
        "a body with the content encoding {encoding:?} cannot be read; send it without one"
    );
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_encoding", detail))
}

/// Refuses a body that is sent with anything but plain chunks. hyper reads the chunks and ignores the other codings, so the
/// endpoints would get compressed bytes (RFC 9112 §6.1).
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = elements(headers, &header::TRANSFER_ENCODING);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(()),
        (Some(_), _) => Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "wrong_transfer_encoding",
            "the only transfer encoding of a body that can be read is `chunked`, once",
        )),
    }
}

/// Refuses a body that declares more than one type: each reader would have to guess which one counts.
fn check_one_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    at_most_one(headers, header::CONTENT_TYPE).map(drop).map_err(|Repeated| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong_content_type",
            "`content-type` can be sent only once",
        )
    })
}

/// A body whose small chunks are joined.
struct Joined {
    body: Body,
    waiting: BytesMut,
    ended: bool,
}

impl HttpBody for Joined {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while !self.ended && self.waiting.len() < MIN_JOINED_BYTES {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                // No endpoint reads trailers.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if self.waiting.is_empty() && data.len() >= MIN_JOINED_BYTES => {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Ok(data) => self.waiting.extend_from_slice(&data),
                    Err(_) => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.ended = true,
            }
        }
        let joined = self.waiting.split().freeze();
        Poll::Ready((!joined.is_empty()).then(|| Ok(Frame::data(joined))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_empty() && (self.ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, waiting) = (self.body.size_hint(), self.waiting.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + waiting);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + waiting);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn small_chunks_arrive_as_few_large_ones() {
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for size in [1, 7, 1_000, MIN_JOINED_BYTES - 1, MIN_JOINED_BYTES, 150_000, 200_000] {
            let chunks: Vec<Bytes> = sent.chunks(size).map(Bytes::copy_from_slice).collect();
            let chunks = stream::iter(chunks).map(Ok::<_, Infallible>);
            let body = Body::from_stream(chunks);
            let joined = Body::new(Joined { body, waiting: BytesMut::new(), ended: false });
            let frames: Vec<Bytes> =
                joined.into_data_stream().map(|frame| frame.unwrap()).collect().await;
            assert!(frames.len() <= 4, "{} frames of {size} bytes each", frames.len());
            assert!(frames.concat() == sent, "chunks of {size} bytes");
        }
    }
}
