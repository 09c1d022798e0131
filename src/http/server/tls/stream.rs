//! A connection with TLS whose writes are as honest as those of a socket: what it says it has written, the kernel has.
//! tokio-rustls would keep up to 64 KiB of a client that does not read, unseen by the write timeout and by the sockets of
//! the event stream, which do not flush.

use std::io::{self, IoSlice, Write as _};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server;

/// How many bytes one write takes: the content of one record.
pub const MAX_WRITE: usize = 16 * 1_024;

/// A connection with TLS. A write that returned `Pending` must be repeated with bytes that begin in the same way, as
/// buffers in front of a byte stream do.
pub struct TlsStream {
    stream: server::TlsStream<TcpStream>,
    /// Bytes of the current write that are encrypted. Once the kernel has all of them, they count as written.
    encrypted: usize,
}

impl TlsStream {
    /// Wraps a connection after its handshake. Its buffer must be limited to [`MAX_WRITE`].
    pub fn new(stream: server::TlsStream<TcpStream>) -> Self {
        TlsStream { stream, encrypted: 0 }
    }

    /// The TCP connection below.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    fn poll_write_parts(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.encrypted == 0 {
            // The buffer may hold messages of the protocol. Without room, it would take nothing.
            if self.stream.get_ref().1.wants_write() {
                ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            }
            self.encrypted = self.stream.get_mut().1.writer().write_vectored(parts)?;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Ok(mem::take(&mut self.encrypted)))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_parts(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_parts(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
