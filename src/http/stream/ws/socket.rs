//! One subscriber's connection as its hub uses it: never waits. What the kernel does not take is kept, and
//! the waker rings when there is room again.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::http::server::write_rate::{TooSlow, WriteBounds, WriteRate};

/// A connection and what it still has to send.
pub struct Socket {
    stream: TcpStream,
    /// Rung by the reactor.
    waker: Waker,
    /// There from when the kernel did not take everything, until that is long ago.
    backlog: Option<Box<Backlog>>,
}

#[derive(Default)]
struct Backlog {
    /// Frames that others may share; the first may be sent in part. Empty once the peer has made room.
    frames: VecDeque<Bytes>,
    /// How fast the peer takes what it gets.
    rate: WriteRate,
}

/// The connection is of no more use.
#[derive(Debug)]
pub struct Broken;

/// What a read brought.
pub enum Arrived {
    /// So many bytes, and perhaps more.
    Bytes(usize),
    /// Nothing now; the waker will ring.
    Nothing,
    /// Nothing any more.
    End,
}

/// Frames handed to the kernel in one call.
const AT_ONCE: usize = 8;

impl Socket {
    /// Takes a connection over.
    pub fn new(stream: TcpStream, waker: Waker) -> Socket {
        Socket { stream, waker, backlog: None }
    }

    /// Sends frames, in order and after what waits already. They are gone from `frames` afterwards.
    pub fn send(&mut self, frames: &mut Vec<Bytes>, bounds: &WriteBounds) -> Result<(), Broken> {
        if !self.is_stuck() {
            self.write(frames)?;
        }
        if !frames.is_empty() {
            let backlog = self.backlog.get_or_insert_default();
            backlog.frames.extend(frames.drain(..));
            backlog.rate.blocks(Instant::now(), bounds);
        }
        Ok(())
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self, bounds: &WriteBounds) -> Result<Flushed, Broken> {
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
        let flushed = match length(&frames) < before {
            true => Flushed::Some,
            false => Flushed::Nothing,
        };
        let backlog = self.backlog.get_or_insert_default();
        backlog.frames = frames.into();
        backlog.rate.blocks(Instant::now(), bounds);
        Ok(flushed)
    }

    /// Whether the peer lets something wait.
    pub fn is_stuck(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| !backlog.frames.is_empty())
    }

    /// Refuses a peer that takes nothing, or too little, of what waits for it.
    pub fn check_rate(&mut self, now: Instant, bounds: &WriteBounds) -> Result<(), TooSlow> {
        let Some(backlog) = &mut self.backlog else { return Ok(()) };
        if backlog.rate.is_over(now, bounds) {
            self.backlog = None; // most who wait once never do again
            return Ok(());
        }
        backlog.rate.check(now, bounds)
    }

    /// Reads into a buffer that all sockets of the hub share.
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

    /// Sends no more: the peer sees the end behind our last bytes.
    pub fn hang_up(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        // Done at once, or the connection is gone already.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut context);
    }

    /// Hands frames to the kernel until it takes no more; what it took is gone from `frames`.
    fn write(&mut self, frames: &mut Vec<Bytes>) -> Result<(), Broken> {
        let mut context = Context::from_waker(&self.waker);
        let mut sent = 0;
        let result = loop {
            let waiting = &frames[sent..];
            let stream = Pin::new(&mut self.stream);
            let written: Poll<io::Result<usize>> = match waiting {
                [] => break Ok(()),
                [one] => stream.poll_write(&mut context, one),
                many => {
                    let mut parts = [IoSlice::new(&[]); AT_ONCE];
                    let count = many.len().min(AT_ONCE);
                    for (part, frame) in parts.iter_mut().zip(many) {
                        *part = IoSlice::new(frame);
                    }
                    stream.poll_write_vectored(&mut context, &parts[..count])
                }
            };
            match written {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => break Err(Broken),
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
        if self.is_stuck() {
            // A reset: what the kernel holds for a peer that does not take it goes at once. When the connection is
            // gone already, there is nothing to reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// What a flush could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more.
    All,
    /// The peer made some room.
    Some,
    /// The peer takes nothing.
    Nothing,
}

fn length(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}
