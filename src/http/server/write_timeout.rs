//! A connection that is closed when its client reads nothing, or too little, of a response. Bytes that wait for a
//! client hold memory and a connection slot, and those of an export hold the journal.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::client_stream::ClientStream;
use super::connections::Connections;
use super::write_rate::{TooSlow, WriteBounds, WriteRate};

/// The rate, in bytes per second, at which the client must read the current response. Some responses require more than
/// others.
#[derive(Debug, Clone)]
pub struct MinRate(Arc<AtomicU64>);

impl MinRate {
    /// The rate of responses that do not set one.
    pub fn new(bytes_per_second: u64) -> Self {
        MinRate(Arc::new(AtomicU64::new(bytes_per_second)))
    }

    /// Sets the rate for the next response.
    pub fn set(&self, bytes_per_second: u64) {
        self.0.store(bytes_per_second, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// In the extensions of a response: the rate, in bytes per second, that replaces the default one.
#[derive(Debug, Clone, Copy)]
pub struct RequiredRate(pub u64);

/// A connection with a timeout for writes.
pub struct WriteTimeout {
    stream: ClientStream,
    bounds: WriteBounds,
    min_rate: MinRate,
    rate: WriteRate,
    /// Set while a write waits. It wakes the connection when the rate must be checked.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Counts the connections that were closed.
    connections: Arc<Connections>,
}

impl WriteTimeout {
    /// Wraps a connection. The current value of `min_rate` replaces the rate in `bounds`.
    pub fn new(
        stream: ClientStream,
        bounds: WriteBounds,
        min_rate: MinRate,
        connections: Arc<Connections>,
    ) -> Self {
        let rate = WriteRate::default();
        WriteTimeout { stream, bounds, min_rate, rate, deadline: None, connections }
    }

    /// Returns the connection.
    pub fn into_inner(self) -> ClientStream {
        self.stream
    }

    /// Records the result of a write, and checks the rate while the write waits.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.rate.took(*result.as_ref().unwrap_or(&0), Instant::now());
            self.deadline = None;
            return Poll::Ready(result);
        }
        self.bounds.min_rate = self.min_rate.get();
        self.rate.blocks(Instant::now(), &self.bounds);
        loop {
            if let Err(why) = self.rate.check(Instant::now(), &self.bounds) {
                return Poll::Ready(Err(self.give_up(why)));
            }
            let Some(at) = self.rate.next_check(&self.bounds) else { return Poll::Pending };
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if deadline.deadline() != at {
                deadline.as_mut().reset(at);
            }
            if deadline.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn give_up(&self, why: TooSlow) -> io::Error {
        self.connections.count_too_slow(self.stream.peer_address(), why);
        // A reset frees the kernel's send buffer at once, and the client cannot mistake half a response for a whole
        // one.
        self.stream.reset_on_close();
        let text = match why {
            TooSlow::NoProgress => "the client reads nothing",
            TooSlow::BelowRate => "the client reads less than the minimum rate",
        };
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

impl AsyncRead for WriteTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WriteTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
