//! The byte stream below a WebSocket: the client's own stream if the server of this crate accepted it, or the upgraded
//! connection of another server, such as `axum::serve`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::server::accept::HttpConnection;
use crate::http::server::client_stream::ClientStream;

/// A byte stream.
pub enum SocketStream {
    /// A connection that this crate accepted, without the layers that it had for HTTP.
    Accepted(ClientStream),
    /// A connection of another server.
    Other(Box<TokioIo<Upgraded>>),
}

impl SocketStream {
    /// Takes over an upgraded connection. Returns the bytes that arrived with its handshake, too.
    pub fn of(upgraded: Upgraded) -> (SocketStream, Bytes) {
        match upgraded.downcast::<TokioIo<HttpConnection>>() {
            Ok(parts) => {
                let stream = parts.io.into_inner().into_inner().into_inner().into_inner();
                (SocketStream::Accepted(stream), parts.read_buf)
            }
            // It returns those bytes when it is read.
            Err(upgraded) => (SocketStream::Other(Box::new(TokioIo::new(upgraded))), Bytes::new()),
        }
    }

    /// Makes the end of the connection a reset, so that the kernel drops at once what it holds for the client.
    pub fn reset_on_close(&self) {
        match self {
            SocketStream::Accepted(stream) => stream.reset_on_close(),
            SocketStream::Other(_) => {}
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            SocketStream::Accepted(stream) => Pin::new(stream).poll_read(context, buffer),
            SocketStream::Other(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            SocketStream::Accepted(stream) => Pin::new(stream).poll_write(context, bytes),
            SocketStream::Other(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            SocketStream::Accepted(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            SocketStream::Other(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            SocketStream::Accepted(stream) => stream.is_write_vectored(),
            SocketStream::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            SocketStream::Accepted(stream) => Pin::new(stream).poll_flush(context),
            SocketStream::Other(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            SocketStream::Accepted(stream) => Pin::new(stream).poll_shutdown(context),
            SocketStream::Other(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
