//! Compression of responses. The compressor runs on the runtime's threads and is the most expensive part of a large
//! response, so it gets small pieces, between which other tasks run.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};

use super::header_list::{Weighted, weighted};

/// The most bytes that are compressed before other tasks may run.
const PIECE_BYTES: usize = 16 * 1_024;

type Compressible = And<And<SizeAbove, NotForContentType>, MaxLength>;

/// Compresses responses of known length, up to `longest` bytes.
pub fn layer(longest: usize) -> CompressionLayer<Compressible> {
    let compressible = SizeAbove::new(1_024).and(NotForContentType::IMAGES).and(MaxLength(longest));
    CompressionLayer::new().compress_when(compressible)
}

/// Allows compression up to this length. A response of unknown length is an export or a stream: an export would keep
/// the compressor busy until its end, and a stream is sent as it is produced, while a compressor would delay its bytes.
#[derive(Debug, Clone, Copy)]
pub struct MaxLength(usize);

impl Predicate for MaxLength {
    fn should_compress<B: HttpBody>(&self, response: &Response<B>) -> bool {
        let length = response.body().size_hint().exact();
        length.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length <= self.0))
    }
}

/// Whether the compressor might compress the response to a request.
pub fn is_accepted(request: &Request) -> bool {
    request.headers().contains_key(header::ACCEPT_ENCODING)
}

/// Simplifies an `Accept-Encoding` header with weights to `gzip`, or removes it. tower-http would otherwise answer a
/// client that refuses every encoding (`identity;q=0`) with 406, after the request has been carried out; such a client gets
/// the response without an encoding instead.
pub fn simplify_accepted(headers: &mut HeaderMap) {
    let lines = headers.get_all(header::ACCEPT_ENCODING);
    if lines.iter().all(|line| !line.as_bytes().contains(&b';')) {
        return;
    }
    let (mut gzip, mut identity, mut others) = (None, None, None);
    for Weighted { value, weight } in weighted(headers, &header::ACCEPT_ENCODING) {
        match value.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "identity" => identity = Some(weight),
            "*" => others = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(others).unwrap_or(0);
    if gzip > 0 && gzip >= identity.unwrap_or(0) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    } else {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

/// Splits a long response into pieces. The compressor yields to other tasks between two of them.
pub fn in_pieces(response: axum::response::Response) -> axum::response::Response {
    if response.body().size_hint().exact().is_some_and(|length| length > PIECE_BYTES as u64) {
        response.map(|body| Body::new(SplitBody { body, rest: Bytes::new(), given: false }))
    } else {
        response
    }
}

/// A body that is split into pieces.
struct SplitBody {
    body: Body,
    rest: Bytes,
    /// Set after a piece was returned: the next poll yields to other tasks first.
    given: bool,
}

impl HttpBody for SplitBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.given = true;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match self.body.size_hint().exact() {
            Some(length) => SizeHint::with_exact(length + rest),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tasks_run_between_the_pieces_of_a_response() {
        let whole = vec![7; 3 * PIECE_BYTES + 5];
        let body = Body::from(whole.clone());
        let mut body = SplitBody { body, rest: Bytes::new(), given: false };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (mut came, mut pauses) = (Vec::new(), 0);
        loop {
            assert_eq!(body.size_hint().exact(), Some((whole.len() - came.len()) as u64));
            match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Ready(Some(frame)) => {
                    let piece = frame.unwrap().into_data().unwrap();
                    assert!(piece.len() <= PIECE_BYTES, "{}", piece.len());
                    came.extend_from_slice(&piece);
                }
                Poll::Ready(None) => break,
                Poll::Pending => pauses += 1,
            }
        }
        assert!(came == whole && pauses == 4, "{} bytes, {pauses} pauses", came.len());
    }

    #[test]
    fn what_is_long_or_of_unknown_length_is_not_compressed() {
        let lengths = |body: Body| MaxLength(10).should_compress(&Response::new(body));
        assert!(lengths(Body::from("ten bytes!")));
        assert!(!lengths(Body::from("eleven byte")));
        let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>("a")]);
        assert!(!lengths(Body::from_stream(stream)));
    }

    #[test]
    fn a_refusal_of_every_encoding_is_no_reason_to_refuse_a_request() {
        for (given, simple) in [
            ("gzip", Some("gzip")),
            ("gzip, br", Some("gzip, br")),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("br;q=1, *;q=0", None),
            ("gzip;q=x, *;q=0", None),
            ("identity; q=0, *;q=0.0", None),
            ("gzip, identity;q=0", Some("gzip")),
            ("X-GZIP;q=0.1", Some("gzip")),
            ("*;q=0.5", Some("gzip")),
            ("gzip;q=1.0, deflate;q=0.6, identity;q=0.3", Some("gzip")),
            ("gzip;q=0.5, identity", None),
        ] {
            let value = HeaderValue::from_static(given);
            let mut headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            simplify_accepted(&mut headers);
            let left = headers.get(header::ACCEPT_ENCODING).map(|value| value.to_str().unwrap());
            assert_eq!(left, simple, "{given}");
        }
    }
}
