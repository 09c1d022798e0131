//! Decodes what clients send (RFC 6455 §5), from bytes to messages. It holds memory only while a frame or a message is
//! incomplete.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::close_reason::CloseReason;

/// A message from a client, complete and unmasked.
#[derive(Debug, PartialEq, Eq)]
pub enum InboundMessage {
    /// A text message.
    Text(String),
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong with any payload.
    Pong,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// The state of the decoder between two reads: an incomplete frame, and the fragments of an incomplete message.
#[derive(Debug, Default)]
pub struct MessageDecoder {
    /// The beginning of an incomplete frame; at most a header and the longest message.
    frame: Vec<u8>,
    /// The fragments received so far of an incomplete message.
    message: Option<Vec<u8>>,
}

/// The longest payload of a control frame (§5.5).
const MAX_CONTROL: u64 = 125;

impl MessageDecoder {
    /// Whether no incomplete frame or message is held.
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty() && self.message.is_none()
    }

    /// Decodes received bytes; `limit` is the longest allowed message in bytes. Returns the complete messages, and the
    /// reason to close if an invalid frame follows them.
    pub fn decode(
        &mut self,
        arrived: &mut [u8],
        limit: usize,
    ) -> (Vec<InboundMessage>, Option<CloseReason>) {
        let mut messages = Vec::new();
        let mut joined = std::mem::take(&mut self.frame);
        let mut rest = if joined.is_empty() {
            arrived
        } else {
            joined.extend_from_slice(arrived);
            joined.as_mut_slice()
        };
        loop {
            match self.next_frame(&mut rest, limit) {
                Ok(Some(Some(message))) => messages.push(message),
                Ok(Some(None)) => {}
                Ok(None) => break,
                Err(reason) => return (messages, Some(reason)),
            }
        }
        self.frame = rest.to_vec();
        (messages, None)
    }

    /// Decodes the first frame of `rest`: `None` when it is incomplete, `Some(None)` when it completes no message.
    fn next_frame(
        &mut self,
        rest: &mut &mut [u8],
        limit: usize,
    ) -> Result<Option<Option<InboundMessage>>, CloseReason> {
        let mut cursor = Cursor::new(&**rest);
        let header = FrameHeader::parse(&mut cursor).map_err(|_| CloseReason::BadProtocol)?;
        let Some((header, length)) = header else { return Ok(None) };
        let begins = cursor.position() as usize;
        self.check(&header, length, limit)?;
        let ends = begins + length as usize;
        if rest.len() < ends {
            return Ok(None);
        }
        let (frame, after) = std::mem::take(rest).split_at_mut(ends);
        *rest = after;
        let payload = &mut frame[begins..];
        if let Some(mask) = header.mask {
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        }
        self.complete(&header, payload).map(Some)
    }

    /// Checks what the header says, before the payload has arrived.
    fn check(&self, header: &FrameHeader, length: u64, limit: usize) -> Result<(), CloseReason> {
        if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none() {
            return Err(CloseReason::BadProtocol); // no extensions are negotiated, and clients must mask (§5.1)
        }
        let is_open = self.message.is_some();
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > MAX_CONTROL => {
                Err(CloseReason::BadProtocol)
            }
            OpCode::Control(_) => Ok(()),
            OpCode::Data(Data::Continue) if !is_open => Err(CloseReason::BadProtocol),
            OpCode::Data(Data::Text | Data::Binary) if is_open => Err(CloseReason::BadProtocol),
            OpCode::Data(Data::Binary) => Err(CloseReason::Binary),
            OpCode::Data(_) => {
                let so_far = self.message.as_ref().map_or(0, Vec::len) as u64;
                let is_too_big = so_far.saturating_add(length) > limit as u64;
                if is_too_big { Err(CloseReason::TooBig) } else { Ok(()) }
            }
        }
    }

    /// Takes a complete frame, and returns the message that it completes.
    fn complete(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Option<InboundMessage>, CloseReason> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Ok(Some(InboundMessage::Ping(payload.to_vec()))),
            OpCode::Control(Control::Pong) => Ok(Some(InboundMessage::Pong)),
            OpCode::Control(Control::Close) => close_body(payload).map(Some),
            OpCode::Control(Control::Reserved(_)) => Err(CloseReason::BadProtocol),
            OpCode::Data(_) => {
                let mut message = self.message.take().unwrap_or_default();
                message.extend_from_slice(payload);
                if !header.is_final {
                    self.message = Some(message);
                    return Ok(None);
                }
                let text = String::from_utf8(message).map_err(|_| CloseReason::BadText)?;
                Ok(Some(InboundMessage::Text(text)))
            }
        }
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
