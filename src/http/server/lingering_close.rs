//! A connection whose end does not lose the last response. The kernel resets a connection that is closed while bytes of
//! the client are unread, and the client may then never see the response. So the sending side is closed first, and what
//! the client still sends is discarded.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::unread_request::UnreadRequest;

/// How often bytes are discarded before other tasks may run.
const MAX_READS: usize = 16;

/// A connection that is closed in this way.
pub struct LingeringClose<S> {
    stream: S,
    /// Whether the client may still be sending when the connection is closed.
    unread: UnreadRequest,
    /// How long the client may take to close its side.
    limit: Duration,
    /// Whether the sending side is closed.
    is_shut_down: bool,
    /// When the wait for the client ends.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> LingeringClose<S> {
    /// Wraps a connection.
    pub fn new(stream: S, unread: UnreadRequest, limit: Duration) -> Self {
        LingeringClose { stream, unread, limit, is_shut_down: false, deadline: None }
    }

    /// Returns the connection.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> LingeringClose<S> {
    /// Discards what the client sends until it closes its side or the time is over. If all of its requests were read, it
    /// only discards what has arrived already.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut discarded = [0; 4_096];
        for _ in 0..MAX_READS {
            let mut buffer = ReadBuf::new(&mut discarded);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                // The client has closed its side, or the connection is gone.
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending if self.unread.is_set() => return self.poll_deadline(context),
                Poll::Pending => return Poll::Ready(()),
            }
        }
        if self.unread.is_set() && self.poll_deadline(context).is_pending() {
            context.waker().wake_by_ref(); // there is more to read
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        deadline.as_mut().poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut_down {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.is_shut_down = true;
        }
        self.poll_discard(context).map(Ok)
    }
}
