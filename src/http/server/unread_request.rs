//! Notices that a request was answered before its body was read to the end. A short rest is read and discarded before the
//! response is sent, so that the connection can be kept: a proxy takes it for usable and may send its next request on it.
//! After a long rest the connection is closed, in a way that does not lose the response, and the response says so.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// How many bytes of the current request of a connection nobody has read. Clones share the number.
#[derive(Debug, Clone, Default)]
pub struct UnreadRequest(Arc<AtomicU64>);

impl UnreadRequest {
    /// The longest rest that is discarded; longer ones cost more than a new connection.
    const MAX_DISCARDED: u64 = 64 * 1_024;

    /// Begins a new request. Returns its body, whose end or drop is noted, and what is needed to discard its rest.
    pub fn begin(&self, headers: &HeaderMap, body: Incoming) -> (Body, RestOfRequest) {
        self.0.store(0, Ordering::Relaxed);
        if body.is_end_stream() {
            return (Body::new(body), RestOfRequest { rest: None, unread: self.clone() });
        }
        let (dropped, rest) = oneshot::channel();
        let awaits_continue = headers.contains_key(header::EXPECT);
        let body = TrackedBody {
            body: Some(body),
            has_ended: false,
            awaits_continue,
            unread: self.clone(),
            dropped: Some(dropped),
        };
        (Body::new(body), RestOfRequest { rest: Some(rest), unread: self.clone() })
    }

    /// Notes that the client may be sending any number of bytes.
    pub fn set_unlimited(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether there are unread bytes.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// What is unread of a request when its response is ready.
pub struct RestOfRequest {
    /// Receives the body when it is dropped before its end; `None` for a request without a body.
    rest: Option<oneshot::Receiver<Incoming>>,
    unread: UnreadRequest,
}

impl RestOfRequest {
    /// Reads and discards the rest if it is short and arrives in time. Returns whether the connection can be kept.
    pub async fn discard(mut self, within: Duration) -> bool {
        let rest = self.rest.as_mut().and_then(|rest| rest.try_recv().ok());
        let Some(body) = rest else { return !self.unread.is_set() };
        if self.unread.0.load(Ordering::Relaxed) > UnreadRequest::MAX_DISCARDED {
            return false;
        }
        let has_ended = matches!(tokio::time::timeout(within, read_to_end(body)).await, Ok(true));
        if has_ended {
            self.unread.0.store(0, Ordering::Relaxed);
        }
        has_ended
    }
}

/// Returns whether the body came to its end.
async fn read_to_end(mut body: Incoming) -> bool {
    loop {
        match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(_)) => {}
        }
    }
}

/// The body of a request. When it is dropped, it reports what was not read of it.
struct TrackedBody {
    /// `None` once it is dropped.
    body: Option<Incoming>,
    has_ended: bool,
    /// Whether the client sends the body only when it is told to (RFC 9110 §10.1.1), which reading would do.
    awaits_continue: bool,
    unread: UnreadRequest,
    dropped: Option<oneshot::Sender<Incoming>>,
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            return;
        }
        let Some(body) = self.body.take() else { return };
        let rest = body.size_hint().upper().unwrap_or(u64::MAX);
        self.unread.0.store(rest.max(1), Ordering::Relaxed);
        if let Some(dropped) = self.dropped.take().filter(|_| !self.awaits_continue) {
            // Nobody receives it when the response was sent before.
            let _ = dropped.send(body);
        }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_continue = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        self.has_ended |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
