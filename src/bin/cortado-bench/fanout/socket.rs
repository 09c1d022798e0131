//! One socket of the load generator. It parses as little as possible.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::wire;

/// Counts of all sockets together.
#[derive(Default)]
pub struct Counts {
    pub frames: u64,
    pub bytes: u64,
    pub greeted: usize,
    pub close_frames: usize,
    pub resets: usize,
    /// Connections that have ended, in whatever way.
    pub ended: usize,
    /// Microseconds from the stamp of a frame's first event to its arrival.
    pub latencies: Vec<u32>,
    /// Sockets that have seen the event they wait for.
    pub reached: usize,
    pub target: u64,
}

pub struct Socket {
    stream: TcpStream,
    bell: Waker,
    /// The result of reading a header.
    header: Vec<u8>,
    /// The opcode of the frame under way.
    opcode: u8,
    /// How many bytes of its payload have not arrived yet.
    missing: usize,
    /// The last bytes of its payload so far.
    tail: Vec<u8>,
    /// The last event that was seen or skipped.
    pub cursor: u64,
    /// The event at which counting began.
    pub base: u64,
    greeted: bool,
    closed: bool,
    pub is_over: bool,
    pub is_stalled: bool,
}

/// Long enough for the end of a message with its cursor.
const TAIL: usize = 40;
/// The number of frames whose latency is kept.
const SAMPLES: usize = 4_000_000;

impl Socket {
    pub fn new(stream: TcpStream, bell: Waker) -> Socket {
        Socket {
            stream,
            bell,
            header: Vec::new(),
            opcode: 0,
            missing: 0,
            tail: Vec::new(),
            cursor: 0,
            base: 0,
            greeted: false,
            closed: false,
            is_over: false,
            is_stalled: false,
        }
    }

    /// Reads what has arrived.
    pub fn read(&mut self, buffer: &mut [u8], counts: &mut Counts) {
        while !self.is_over && !self.is_stalled {
            let mut into = ReadBuf::new(buffer);
            let mut context = Context::from_waker(&self.bell);
            match Pin::new(&mut self.stream).poll_read(&mut context, &mut into) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    let count = into.filled().len();
                    counts.bytes += count as u64;
                    self.take(&buffer[..count], counts);
                }
                Poll::Ready(ended) => {
                    self.is_over = true;
                    counts.ended += 1;
                    counts.resets += usize::from(ended.is_err() && !self.closed);
                }
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], counts: &mut Counts) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let part = bytes.len().min(self.missing);
                self.keep_tail(&bytes[..part]);
                self.missing -= part;
                bytes = &bytes[part..];
                if self.missing == 0 {
                    self.end_frame(counts);
                }
                continue;
            }
            // A header is read byte by byte only when it arrives in two parts.
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            let Some(length) = length(&self.header) else { continue };
            self.opcode = self.header[0] & 0x0f;
            self.header.clear();
            self.tail.clear();
            self.missing = length;
            let text = &bytes[..length.min(bytes.len())];
            if self.opcode == 1 && counts.latencies.len() < SAMPLES {
                let late = wire::stamp_of(text).map(|stamp| wire::micros().saturating_sub(stamp));
                counts.latencies.extend(late.map(|late| late as u32));
            }
            if length == 0 {
                self.end_frame(counts);
            }
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let from = bytes.len().saturating_sub(TAIL);
        self.tail.extend_from_slice(&bytes[from..]);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    fn end_frame(&mut self, counts: &mut Counts) {
        counts.frames += 1;
        if !self.greeted {
            self.greeted = true;
            counts.greeted += 1;
        }
        match self.opcode {
            1 => {
                let Some(cursor) = wire::cursor_of(&self.tail) else { return };
                counts.reached +=
                    usize::from(self.cursor < counts.target && cursor >= counts.target);
                self.cursor = cursor;
            }
            8 => {
                self.closed = true;
                counts.close_frames += 1;
                self.say(&wire::masked(8, &self.tail[..self.tail.len().min(2)]));
            }
            9 => self.say(&wire::masked(10, &[])),
            _ => {}
        }
    }

    /// Sends a frame.
    pub fn say(&self, bytes: &[u8]) {
        // A few bytes on a socket that has sent nothing: the kernel takes them, or the peer is gone.
        let _ = self.stream.try_write(bytes);
    }
}

/// The length of the payload, once the header is complete.
fn length(header: &[u8]) -> Option<usize> {
    match (header.get(1)? & 0x7f, header.len()) {
        (126, 4) => Some(usize::from(u16::from_be_bytes([header[2], header[3]]))),
        (127, 10) => Some(u64::from_be_bytes(header[2..10].try_into().ok()?) as usize),
        (short @ 0..=125, 2) => Some(usize::from(short)),
        _ => None,
    }
}
