//! The WebSocket of one worker: decodes what it sends, and holds what waits to be written. It has no buffers while it is
//! idle.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::engine::UnsentGrants;
use crate::http::HttpLimits;
use crate::http::stream::ws::close_reason::CloseReason;
use crate::http::stream::ws::inbound::InboundMessage;
use crate::http::stream::ws::message_reader::MessageReader;
use crate::http::stream::ws::socket_stream::SocketStream;

/// Bytes that are read at once.
const READ: usize = 32 * 1_024;
/// Frames that are written at once.
const MAX_SLICES: usize = 16;
/// Bytes that may wait before nothing more is read from the worker, and no more jobs are claimed for it.
const MAX_WAITING: usize = 256 * 1_024;

/// What was read.
pub struct Inbound {
    /// The complete messages.
    pub messages: Vec<InboundMessage>,
    /// The fault that follows them, after which nothing is read.
    pub fault: Option<CloseReason>,
}

impl Inbound {
    /// Whether the peer closes the connection.
    fn closes(&self) -> bool {
        self.messages.iter().any(|message| matches!(message, InboundMessage::Close(_)))
    }
}

/// Whether a socket is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// It is read.
    Reading,
    /// It is only written to: too many of its messages have not been answered.
    Paused,
    /// It is only written to, until the peer has read so much that there is room for more.
    UntilRoom,
}

/// A frame that waits to be written.
struct WaitingFrame {
    bytes: Bytes,
    /// The jobs in it. When the frame is never written completely, they are given back.
    jobs: Option<UnsentGrants>,
    is_begun: bool,
}

/// A WebSocket.
pub struct WorkerSocket {
    stream: SocketStream,
    reader: MessageReader,
    /// Frames that wait; a part of the first may be written already.
    waiting: VecDeque<WaitingFrame>,
    waiting_bytes: usize,
    /// When the peer last read something while frames waited.
    progress_at: Instant,
    /// Bytes that came with the handshake.
    first_bytes: Option<Box<[u8]>>,
    /// The longest message.
    max_message: usize,
}

impl WorkerSocket {
    /// A socket with nothing to write.
    pub fn new(stream: SocketStream, first_bytes: &[u8], limits: &Arc<HttpLimits>) -> WorkerSocket {
        WorkerSocket {
            stream,
            reader: MessageReader::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            progress_at: Instant::now(),
            first_bytes: (!first_bytes.is_empty()).then(|| first_bytes.into()),
            max_message: limits.max_body,
        }
    }

    /// Adds a frame behind those that wait.
    pub fn push(&mut self, frame: Bytes) {
        self.add(WaitingFrame { bytes: frame, jobs: None, is_begun: false });
    }

    /// Adds a frame with jobs. If it cannot be written completely, they are given back.
    pub fn push_jobs(&mut self, frame: Bytes, jobs: UnsentGrants) {
        self.add(WaitingFrame { bytes: frame, jobs: Some(jobs), is_begun: false });
    }

    fn add(&mut self, frame: WaitingFrame) {
        if self.waiting.is_empty() {
            self.progress_at = Instant::now();
        }
        self.waiting_bytes += frame.bytes.len();
        self.waiting.push_back(frame);
    }

    /// Removes the frames with jobs of which nothing is written yet. The jobs are given back.
    pub fn keep_jobs_back(&mut self) {
        self.waiting.retain(|frame| frame.jobs.is_none() || frame.is_begun);
        self.waiting_bytes = self.waiting.iter().map(|frame| frame.bytes.len()).sum();
    }

    /// Since when the peer has not finished a message that it has begun; `None` when there is none.
    pub fn unfinished_since(&self) -> Option<Instant> {
        self.reader.unfinished_since()
    }

    /// Gives the peer as long for the message that it has begun as if it began it now: it was not read meanwhile.
    pub fn excuse_unfinished(&mut self) {
        self.reader.excuse_unfinished(Instant::now());
    }

    /// Since when the peer has read nothing although frames wait; `None` when none do.
    pub fn stalled_since(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.progress_at)
    }

    /// Whether so many bytes wait that nothing should be read from the peer, whose messages have answers, and no more jobs
    /// should be claimed for it.
    pub fn is_full(&self) -> bool {
        self.waiting_bytes > MAX_WAITING
    }

    /// Writes what waits, and reads the next messages. In the mode `UntilRoom`, it resolves without messages as soon as there
    /// is room.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn next(&mut self, mode: ReadMode) -> Result<Inbound, CloseReason> {
        poll_fn(|context| {
            let read = match mode {
                ReadMode::Reading => self.poll_messages(context),
                ReadMode::Paused | ReadMode::UntilRoom => Poll::Pending,
            };
            // Jobs are not written to a peer that is gone or leaves, so it is read first.
            match &read {
                Poll::Ready(Err(_)) => {}
                Poll::Ready(Ok(inbound)) if inbound.closes() => {}
                // What it has sent counts, although nothing can be written to it. The next call returns the error.
                Poll::Ready(Ok(_)) => {
                    let _ = self.poll_write(context);
                }
                Poll::Pending => {
                    self.poll_write(context)?;
                    if mode == ReadMode::UntilRoom && !self.is_full() {
                        return Poll::Ready(Ok(Inbound { messages: Vec::new(), fault: None }));
                    }
                }
            }
            read
        })
        .await
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn flush(&mut self) -> Result<(), CloseReason> {
        poll_fn(|context| {
            self.poll_write(context)?;
            if self.waiting.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Closes our side, and discards what the peer sends until it closes the connection.
    pub async fn discard_until_end(&mut self) {
        poll_fn(|context| {
            // It completes at once, or fails because the connection is gone already.
            let _ = Pin::new(&mut self.stream).poll_shutdown(context);
            let mut bytes = [0; READ];
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    fn poll_messages(&mut self, context: &mut Context<'_>) -> Poll<Result<Inbound, CloseReason>> {
        if let Some(mut first) = self.first_bytes.take() {
            let inbound = self.decode(&mut first);
            if !inbound.messages.is_empty() || inbound.fault.is_some() {
                return Poll::Ready(Ok(inbound));
            }
        }
        let mut bytes = [0; READ];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let inbound = self.decode(buffer.filled_mut());
                    if !inbound.messages.is_empty() || inbound.fault.is_some() {
                        return Poll::Ready(Ok(inbound));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Err(CloseReason::Gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn decode(&mut self, bytes: &mut [u8]) -> Inbound {
        let (messages, fault) = self.reader.read(bytes, self.max_message, Instant::now());
        Inbound { messages, fault }
    }

    /// Writes as much as the kernel accepts.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), CloseReason> {
        while !self.waiting.is_empty() {
            let mut parts = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.waiting.len().min(MAX_SLICES);
            for (part, frame) in parts.iter_mut().zip(&self.waiting) {
                *part = IoSlice::new(&frame.bytes);
            }
            let stream = Pin::new(&mut self.stream);
            match stream.poll_write_vectored(context, &parts[..count]) {
                Poll::Ready(Ok(written)) if written > 0 => self.written(written),
                Poll::Ready(_) => return Err(CloseReason::Gone),
                Poll::Pending => return Ok(()),
            }
        }
        if self.waiting.capacity() > MAX_SLICES {
            self.waiting = VecDeque::new();
        }
        Ok(())
    }

    fn written(&mut self, mut bytes: usize) {
        self.progress_at = Instant::now();
        self.waiting_bytes -= bytes;
        while let Some(frame) = self.waiting.front_mut() {
            let part = bytes.min(frame.bytes.len());
            frame.bytes.advance(part);
            frame.is_begun |= part > 0;
            bytes -= part;
            if !frame.bytes.is_empty() {
                return;
            }
            let jobs = self.waiting.pop_front().and_then(|sent| sent.jobs);
            drop(jobs.map(UnsentGrants::send));
        }
    }
}

impl Drop for WorkerSocket {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            // The peer does not read.
            self.stream.reset_on_close();
        }
    }
}
