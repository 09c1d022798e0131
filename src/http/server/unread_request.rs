//! Notices that a request was answered before its body was read to the end. Its client may still be sending, so the
//! connection must be closed in a way that does not lose the response.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

/// How many bytes of the current request of a connection nobody has read. Clones share the number.
#[derive(Debug, Clone, Default)]
pub struct UnreadRequest(Arc<AtomicU64>);

impl UnreadRequest {
    /// hyper reads and discards a rest of this many bytes if it has arrived already, and then keeps the connection.
    const DISCARDED_BYTES: u64 = 64 * 1_024;

    /// Begins a new request.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Notes that the client may be sending any number of bytes.
    pub fn set_unlimited(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether there are unread bytes.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Whether the rest of the request is too long to be discarded, so that the connection must be closed.
    pub fn must_close(&self) -> bool {
        self.0.load(Ordering::Relaxed) > Self::DISCARDED_BYTES
    }
}

/// The body of a request. When it is dropped, it reports what was not read of it.
pub struct TrackedBody {
    body: Incoming,
    has_ended: bool,
    unread: UnreadRequest,
}

impl TrackedBody {
    /// Wraps a body that is not empty.
    pub fn new(body: Incoming, unread: UnreadRequest) -> Self {
        TrackedBody { body, has_ended: false, unread }
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            let rest = self.body.size_hint().upper().unwrap_or(u64::MAX);
            self.unread.0.store(rest.max(1), Ordering::Relaxed);
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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.has_ended |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
