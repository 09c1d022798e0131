//! The connection of one subscriber, as its hub uses it: no call waits. Bytes that the kernel does not accept are kept,
//! and the waker is woken when the socket is writable again.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::socket_stream::SocketStream;
use crate::http::server::write_rate::{TooSlow, WriteBounds, WriteRate};

/// A connection and the bytes that wait to be written to it.
pub struct Socket {
    stream: SocketStream,
    /// Woken by the reactor when the socket is readable or writable.
    waker: Waker,
    /// Exists while frames wait, and for a while after that.
    backlog: Option<Box<Backlog>>,
}

#[derive(Default)]
struct Backlog {
    /// Frames that wait, shared with other subscribers; a part of the first may be written already.
    frames: VecDeque<Bytes>,
    /// How fast the client reads.
    rate: WriteRate,
}

/// The connection is broken.
#[derive(Debug)]
pub struct ConnectionBroken;

/// The result of a read.
pub enum Arrived {
    /// This many bytes were read; there may be more.
    Bytes(usize),
    /// Nothing can be read now; the waker will be woken.
    Nothing,
    /// The client has closed the connection.
    End,
}

/// The number of frames that are written with one system call.
const MAX_SLICES: usize = 8;

impl Socket {
    /// Creates a socket with nothing to write.
    pub fn new(stream: SocketStream, waker: Waker) -> Socket {
        Socket { stream, waker, backlog: None }
    }

    /// Writes frames in order, after those that wait already. Empties `frames`.
    pub fn send(
        &mut self,
        frames: &mut Vec<Bytes>,
        bounds: &WriteBounds,
    ) -> Result<(), ConnectionBroken> {
        if !self.has_backlog() {
            self.write(frames)?;
        }
        if !frames.is_empty() {
            let backlog = self.backlog.get_or_insert_default();
            backlog.frames.extend(frames.drain(..));
            backlog.rate.blocks(Instant::now(), bounds);
        }
        Ok(())
    }

    /// Writes the waiting frames as far as the kernel accepts them.
    pub fn flush(&mut self, bounds: &WriteBounds) -> Result<Flushed, ConnectionBroken> {
        let waiting = self.backlog.as_mut().map(|backlog| std::mem::take(&mut backlog.frames));
        let mut frames: Vec<Bytes> = waiting.unwrap_or_default().into();
        if frames.is_empty() {
            return Ok(Flushed::All);
        }
        let before = length(&frames);
        self.write(&mut frames)?;
        if frames.is_empty() {
            return Ok(Flushed::All);
        }
        let flushed = if length(&frames) < before { Flushed::Some } else { Flushed::Nothing };
        let backlog = self.backlog.get_or_insert_default();
        backlog.frames = frames.into();
        backlog.rate.blocks(Instant::now(), bounds);
        Ok(flushed)
    }

    /// Whether frames wait to be written.
    pub fn has_backlog(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| !backlog.frames.is_empty())
    }

    /// Returns an error when the client reads too slowly while frames wait.
    pub fn check_rate(&mut self, now: Instant, bounds: &WriteBounds) -> Result<(), TooSlow> {
        let Some(backlog) = &mut self.backlog else { return Ok(()) };
        if backlog.rate.is_over(now, bounds) {
            self.backlog = None; // most clients that block once never do again
            return Ok(());
        }
        backlog.rate.check(now, bounds)
    }

    /// Reads into a buffer, which all sockets of the hub share.
    pub fn read(&mut self, into: &mut [u8]) -> Arrived {
        let mut buffer = ReadBuf::new(into);
        let mut context = Context::from_waker(&self.waker);
        match Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Arrived::End,
            Poll::Ready(Ok(())) => Arrived::Bytes(buffer.filled().len()),
            Poll::Ready(Err(_)) => Arrived::End,
            Poll::Pending => Arrived::Nothing,
        }
    }

    /// Shuts down writing, so that the client sees the end of the stream after our last bytes.
    pub fn shut_down_write(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        // It completes at once, or fails because the connection is gone already.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut context);
    }

    /// Writes frames until the kernel accepts no more, and removes what was written from `frames`.
    fn write(&mut self, frames: &mut Vec<Bytes>) -> Result<(), ConnectionBroken> {
        let mut context = Context::from_waker(&self.waker);
        let mut sent = 0;
        let result = loop {
            let waiting = &frames[sent..];
            let stream = Pin::new(&mut self.stream);
            let written: Poll<io::Result<usize>> = match waiting {
                [] => break Ok(()),
                [one] => stream.poll_write(&mut context, one),
                many => {
                    let mut parts = [IoSlice::new(&[]); MAX_SLICES];
                    let count = many.len().min(MAX_SLICES);
                    for (part, frame) in parts.iter_mut().zip(many) {
                        *part = IoSlice::new(frame);
                    }
                    stream.poll_write_vectored(&mut context, &parts[..count])
                }
            };
            match written {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => break Err(ConnectionBroken),
                Poll::Ready(Ok(mut taken)) => {
                    if let Some(backlog) = &mut self.backlog {
                        backlog.rate.took(taken, Instant::now());
                    }
                    while taken > 0 {
                        let frame = &mut frames[sent];
                        let part = taken.min(frame.len());
                        frame.advance(part);
                        taken -= part;
                        if frame.is_empty() {
                            sent += 1;
                        }
                    }
                }
                Poll::Pending => break Ok(()),
            }
        };
        frames.drain(..sent);
        result
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.has_backlog() {
            // The client does not read.
            self.stream.reset_on_close();
        }
    }
}

/// The result of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is written.
    All,
    /// A part was written.
    Some,
    /// Nothing was written.
    Nothing,
}

fn length(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}
