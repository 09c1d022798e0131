//! Decodes what clients send (RFC 6455 §5), from bytes to messages. Every byte is checked when it arrives: text that is not
//! UTF-8 is refused at its first invalid byte, even in the middle of a frame. Memory is held only while a frame or a message
//! is incomplete.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::close_reason::CloseReason;

/// A frame from a client, or the message that it completes, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub enum InboundMessage {
    /// A text message.
    Text(String),
    /// A frame of a text message that is not its last one; it counts against the rate.
    Fragment,
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong with any payload.
    Pong,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// The state of the decoder between two reads.
#[derive(Debug, Default)]
pub struct MessageDecoder {
    /// The beginning of a frame whose header is incomplete, and its length.
    header: ([u8; MAX_HEADER], usize),
    /// The frame whose payload is incomplete.
    frame: Option<OpenFrame>,
    /// The message whose last frame has not arrived completely.
    message: Option<OpenMessage>,
}

/// A frame whose header has arrived.
#[derive(Debug)]
struct OpenFrame {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    /// The number of bytes of its payload that have not arrived.
    missing: u64,
    /// The payload of a control frame so far; that of a data frame is added to the message.
    control: Vec<u8>,
}

/// The text of an incomplete message.
#[derive(Debug, Default)]
struct OpenMessage {
    bytes: Vec<u8>,
    /// The number of bytes that are complete characters.
    checked: usize,
}

/// The longest payload of a control frame (§5.5).
const MAX_CONTROL: u64 = 125;
/// The longest header of a frame.
const MAX_HEADER: usize = 14;

impl MessageDecoder {
    /// Whether no incomplete frame or message is held.
    pub fn is_empty(&self) -> bool {
        self.header.1 == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Whether a message is held whose last frame has not arrived completely.
    pub fn has_open_message(&self) -> bool {
        self.message.is_some()
    }

    /// Decodes received bytes; `limit` is the longest allowed message in bytes. Returns what the complete frames are, and
    /// the reason to close if an invalid byte follows them.
    pub fn decode(
        &mut self,
        arrived: &mut [u8],
        limit: usize,
    ) -> (Vec<InboundMessage>, Option<CloseReason>) {
        let (mut messages, mut rest) = (Vec::new(), arrived);
        loop {
            match self.next_frame(&mut rest, limit) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(reason) => return (messages, Some(reason)),
            }
        }
    }

    /// Decodes the next frame, as far as its bytes are in `rest`; `None` when it is incomplete.
    fn next_frame(
        &mut self,
        rest: &mut &mut [u8],
        limit: usize,
    ) -> Result<Option<InboundMessage>, CloseReason> {
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => match self.read_header(rest, limit)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        let available = usize::try_from(frame.missing).unwrap_or(usize::MAX).min(rest.len());
        let (payload, after) = std::mem::take(rest).split_at_mut(available);
        *rest = after;
        payload.iter_mut().zip(frame.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        frame.mask.rotate_left(available % 4);
        frame.missing -= available as u64;
        match frame.opcode {
            OpCode::Control(_) => frame.control.extend_from_slice(payload),
            OpCode::Data(_) => self.message.get_or_insert_default().add(payload)?,
        }
        if frame.missing > 0 {
            self.frame = Some(frame);
            return Ok(None);
        }
        self.complete(frame).map(Some)
    }

    /// Reads the header of the next frame; `None` when it is incomplete.
    fn read_header(
        &mut self,
        rest: &mut &mut [u8],
        limit: usize,
    ) -> Result<Option<OpenFrame>, CloseReason> {
        let (bytes, known) = &mut self.header;
        let added = (MAX_HEADER - *known).min(rest.len());
        bytes[*known..*known + added].copy_from_slice(&rest[..added]);
        let mut cursor = Cursor::new(&bytes[..*known + added]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| CloseReason::BadProtocol)?;
        let size = cursor.position() as usize;
        let Some((header, length)) = parsed else {
            *known += added;
            *rest = &mut std::mem::take(rest)[added..];
            return Ok(None);
        };
        let known = std::mem::take(known);
        *rest = &mut std::mem::take(rest)[size - known..];
        let mask = self.check(&header, size, length, limit)?;
        let FrameHeader { opcode, is_final, .. } = header;
        Ok(Some(OpenFrame { opcode, is_final, mask, missing: length, control: Vec::new() }))
    }

    /// Checks what the header says, before the payload has arrived. Returns the mask.
    fn check(
        &self,
        header: &FrameHeader,
        size: usize,
        length: u64,
        limit: usize,
    ) -> Result<[u8; 4], CloseReason> {
        // No extensions are negotiated, and clients must mask (§5.1).
        let mask = header.mask.ok_or(CloseReason::BadProtocol)?;
        // A length must be written as short as possible (§5.2).
        let is_long = size != header.len(length) || length > u64::MAX >> 1;
        if header.rsv1 || header.rsv2 || header.rsv3 || is_long {
            return Err(CloseReason::BadProtocol);
        }
        let is_open = self.message.is_some();
        match header.opcode {
            OpCode::Control(Control::Close | Control::Ping | Control::Pong)
                if header.is_final && length <= MAX_CONTROL => {}
            OpCode::Data(Data::Text) if !is_open => {}
            OpCode::Data(Data::Continue) if is_open => {}
            OpCode::Data(Data::Binary) if !is_open => return Err(CloseReason::Binary),
            OpCode::Control(_) | OpCode::Data(_) => return Err(CloseReason::BadProtocol),
        }
        let so_far = self.message.as_ref().map_or(0, |message| message.bytes.len() as u64);
        match header.opcode {
            OpCode::Data(_) if so_far.saturating_add(length) > limit as u64 => {
                Err(CloseReason::TooBig)
            }
            OpCode::Data(_) | OpCode::Control(_) => Ok(mask),
        }
    }

    /// Returns what a complete frame is.
    fn complete(&mut self, frame: OpenFrame) -> Result<InboundMessage, CloseReason> {
        match frame.opcode {
            OpCode::Control(Control::Ping) => Ok(InboundMessage::Ping(frame.control)),
            OpCode::Control(Control::Pong) => Ok(InboundMessage::Pong),
            OpCode::Control(Control::Close) => close_body(&frame.control),
            OpCode::Control(Control::Reserved(_)) => Err(CloseReason::BadProtocol),
            OpCode::Data(_) if !frame.is_final => Ok(InboundMessage::Fragment),
            OpCode::Data(_) => self.message.take().unwrap_or_default().finish(),
        }
    }
}

impl OpenMessage {
    /// Adds a part of the payload. A character at the end may be incomplete.
    fn add(&mut self, payload: &[u8]) -> Result<(), CloseReason> {
        self.bytes.extend_from_slice(payload);
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(CloseReason::BadText),
        }
        Ok(())
    }

    fn finish(self) -> Result<InboundMessage, CloseReason> {
        String::from_utf8(self.bytes).map(InboundMessage::Text).map_err(|_| CloseReason::BadText)
    }
}

/// Decodes the body of a close frame (§5.5.1), which is empty or holds a code and a reason.
fn close_body(body: &[u8]) -> Result<InboundMessage, CloseReason> {
    let code = match body {
        [] => return Ok(InboundMessage::Close(None)),
        [_] => return Err(CloseReason::BadProtocol),
        [high, low, reason @ ..] => {
            std::str::from_utf8(reason).map_err(|_| CloseReason::BadText)?;
            u16::from_be_bytes([*high, *low])
        }
    };
    if CloseCode::from(code).is_allowed() {
        Ok(InboundMessage::Close(Some(code)))
    } else {
        Err(CloseReason::BadProtocol)
    }
}

#[cfg(test)]
#[path = "../../tests/inbound.rs"]
mod tests;
