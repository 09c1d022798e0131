//! The byte stream of a client, over TCP, TLS or a Unix socket. Plain TCP is not boxed: a call of it costs one comparison
//! more than a call of the socket itself.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::TlsStream;

/// The byte stream of a client.
pub enum ClientStream {
    /// Without encryption.
    Tcp(TcpStream),
    /// With TLS. It is boxed because the state of TLS is a hundred times as large as a socket.
    Tls(Box<TlsStream>),
    /// Of a process on this machine.
    Unix(UnixStream),
}

impl ClientStream {
    /// The TCP connection, unless it is a Unix socket.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            ClientStream::Tcp(stream) => Some(stream),
            ClientStream::Tls(stream) => Some(stream.tcp()),
            ClientStream::Unix(_) => None,
        }
    }

    /// The address of the peer; `None` for a Unix socket, or if the connection is gone.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    /// Makes the end of the connection a reset, so that the kernel drops at once what it holds for the client. A Unix
    /// socket does not need this: its bytes are freed when the client closes it.
    pub fn reset_on_close(&self) {
        if let Some(stream) = self.tcp() {
            // An error means that the connection is gone already.
            let _ = stream.set_zero_linger();
        }
    }
}

/// Calls a method of the stream, whatever it is.
macro_rules! delegate {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            ClientStream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            ClientStream::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
            ClientStream::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(context, buffer))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            ClientStream::Tcp(stream) => stream.is_write_vectored(),
            ClientStream::Tls(stream) => stream.is_write_vectored(),
            ClientStream::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(context))
    }
}
