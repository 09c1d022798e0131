//! Limits the memory of responses that clients have not read yet. A large response stays in memory until its client has
//! read it, so clients that do not read could otherwise use any amount of memory.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::http::server::address_counts::{AddressCounts, AddressShare};
use crate::http::server_fault::ServerFault;
use crate::http::{HttpLimits, Problem};

/// Responses up to this size, in bytes, are not counted: the buffers of a connection hold as much.
const UNCOUNTED_BYTES: u64 = 64 * 1_024;
/// One address may use the limit divided by this.
const ADDRESS_SHARE_DIVISOR: usize = 4;

/// Counts the bytes of large responses that clients have not read yet.
#[derive(Debug)]
pub struct Unread {
    bytes: Arc<AddressCounts>,
    most: usize,
}

impl Unread {
    /// Starts at zero, with the limit of the settings.
    pub fn new(limits: &HttpLimits) -> Self {
        Unread { bytes: Arc::default(), most: limits.max_unread }
    }

    /// Reserves memory for a response of `length` bytes. An address without unread responses may have one of any
    /// length.
    fn take(&self, client: SocketAddr, length: u64) -> Result<AddressShare, Problem> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let most = (self.most / ADDRESS_SHARE_DIVISOR).max(length);
        let taken = self.bytes.take(client.ip(), length, most, self.most.max(length));
        taken.map_err(|_| too_much_unread())
    }

    /// Checks that some of the limit is left, before a request changes something. Its response is counted afterwards in
    /// any case: a refusal would look as if nothing had been changed.
    fn check(&self, client: SocketAddr) -> Result<(), Problem> {
        let (share, total) = (self.most / ADDRESS_SHARE_DIVISOR, self.bytes.total());
        let is_used_up =
            total >= self.most || total >= share && self.bytes.held_by(client.ip()) >= share;
        if is_used_up { Err(too_much_unread()) } else { Ok(()) }
    }

    /// Reserves memory for the response to a request that has changed something, even above the limit.
    fn take_anyway(&self, client: SocketAddr, length: u64) -> Option<AddressShare> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.bytes.take(client.ip(), length, usize::MAX, usize::MAX).ok()
    }
}

fn too_much_unread() -> Problem {
    let detail = "too many large responses are waiting for clients that do not read them";
    ServerFault::TooMuchUnread.problem(detail)
}

/// A layer around every endpoint and page. It counts a large response until the kernel has its bytes. If there is no room
/// for it, a read is replaced with a refusal; a request that may change something is refused before it is carried out.
pub async fn count(unread: Arc<Unread>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|client| client.0);
    let may_change = !request.method().is_safe();
    // Tests may call the router without a connection.
    let Some(client) = client else { return next.run(request).await };
    if may_change && let Err(problem) = unread.check(client) {
        return problem.into_response();
    }
    let response = next.run(request).await;
    let length = response.body().size_hint().exact().filter(|length| *length > UNCOUNTED_BYTES);
    let Some(length) = length else { return response };
    let share = if may_change {
        unread.take_anyway(client, length)
    } else {
        match unread.take(client, length) {
            Ok(share) => Some(share),
            Err(problem) => return problem.into_response(),
        }
    };
    match share.map(Arc::new) {
        Some(share) => response.map(|body| Body::new(CountedBody { body, share })),
        None => response,
    }
}

/// The body of a counted response. It counts while any of its bytes are in memory.
struct CountedBody {
    body: Body,
    share: Arc<AddressShare>,
}

/// A part of such a body.
struct BodyPiece {
    bytes: Bytes,
    #[allow(dead_code)] // it counts by being alive
    share: Arc<AddressShare>,
}

impl AsRef<[u8]> for BodyPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let share = &self.share;
        let counted = |bytes| Bytes::from_owner(BodyPiece { bytes, share: share.clone() });
        frame.map_ok(|frame| frame.map_data(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{Method, StatusCode};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn an_address_may_have_a_quarter_and_any_single_answer() {
        let unread = Unread::new(&HttpLimits { max_unread: 400, ..HttpLimits::default() });
        let take = |client: &str, length| unread.take(client.parse().unwrap(), length);
        let one = take("192.0.2.1:1", 70).unwrap();
        assert_eq!(take("192.0.2.1:2", 31).unwrap_err().code(), "too_much_unread");
        let two = take("192.0.2.1:2", 30).unwrap();
        let large = take("192.0.2.2:1", 250).unwrap();
        assert!(take("192.0.2.3:1", 60).is_err(), "the limit is used up");
        drop(one);
        let three = take("192.0.2.3:1", 60).unwrap();
        drop((two, three, large));
        assert!(take("192.0.2.4:1", 10_000).is_ok(), "a single response may have any size");
    }

    #[test]
    fn a_request_that_changes_something_is_refused_before_and_never_after() {
        let unread = Unread::new(&HttpLimits { max_unread: 400, ..HttpLimits::default() });
        let client = |text: &str| text.parse().unwrap();
        assert!(unread.check(client("192.0.2.1:1")).is_ok());
        let one = unread.take_anyway(client("192.0.2.1:1"), 10_000).unwrap();
        assert_eq!(unread.check(client("192.0.2.1:2")).unwrap_err().code(), "too_much_unread");
        assert!(unread.check(client("192.0.2.2:1")).is_err(), "the limit is used up");
        drop(one);
        let two = unread.take_anyway(client("192.0.2.1:1"), 100).unwrap();
        assert!(
            unread.check(client("192.0.2.1:2")).is_err(),
            "the share of the address is used up"
        );
        assert!(unread.check(client("192.0.2.2:1")).is_ok());
        drop(two);
        assert!(unread.check(client("192.0.2.1:1")).is_ok());
    }

    #[tokio::test]
    async fn a_change_is_answered_in_full_beside_a_response_that_nobody_reads() {
        let unread =
            Arc::new(Unread::new(&HttpLimits { max_unread: 400_000, ..HttpLimits::default() }));
        let routes = Router::new()
            .route("/", get(|| async { vec![b'x'; 70_000] }).post(|| async { vec![b'x'; 200_000] }))
            .layer(from_fn(move |request, next| count(unread.clone(), request, next)));
        let send = |method: Method| {
            let mut request = Request::builder().method(method).body(Body::empty()).unwrap();
            let client: SocketAddr = "192.0.2.1:1".parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(client));
            routes.clone().oneshot(request)
        };
        let held = send(Method::GET).await.unwrap();
        assert_eq!(held.status(), StatusCode::OK);
        let refused = send(Method::GET).await.unwrap();
        assert_eq!(
            refused.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "a second one exceeds the share"
        );
        let changed = send(Method::POST).await.unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
        assert_eq!(changed.into_body().size_hint().exact(), Some(200_000));
        drop(held);
    }

    #[tokio::test]
    async fn an_answer_counts_until_its_last_byte_is_gone() {
        let unread = Unread::new(&HttpLimits::default());
        let share = Arc::new(unread.take("192.0.2.1:1".parse().unwrap(), 5).unwrap());
        let mut body = CountedBody { body: Body::from("bytes"), share };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
            panic!("a frame was expected");
        };
        let mut bytes = frame.into_data().unwrap();
        drop(body);
        let rest = bytes.split_off(3);
        drop(bytes);
        assert_eq!((&*rest, unread.bytes.total()), (&b"es"[..], 5), "the rest holds all of it");
        drop(rest);
        assert_eq!(unread.bytes.total(), 0);
    }
}
