//! What clients send, frame by frame (RFC 6455 §5): bytes in, messages out. Holds memory only while a
//! frame or a message is incomplete.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::close_reason::CloseReason;

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum InboundMessage {
    /// A whole text message.
    Text(String),
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong, whatever its payload.
    Pong,
    /// Its close frame, with the code if there is one.
    Close(Option<u16>),
}

/// Between two arrivals: what is there of a frame, and of a message in fragments.
#[derive(Debug, Default)]
pub struct MessageDecoder {
    /// The beginning of a frame; at most a header and the longest message.
    frame: Vec<u8>,
    /// The fragments so far; there while a message is open.
    message: Option<Vec<u8>>,
}

/// The longest payload of a control frame (§5.5).
const MAX_CONTROL: u64 = 125;

impl MessageDecoder {
    /// Whether nothing is left over.
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty() && self.message.is_none()
    }

    /// Takes what arrived; `limit` is the longest message in bytes. Answers with what was said, and with the
    /// reason to close when something was wrong after that.
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
                Ok(Some(Some(one))) => messages.push(one),
                Ok(Some(None)) => {}
                Ok(None) => break,
                Err(reason) => return (messages, Some(reason)),
            }
        }
        self.frame = rest.to_vec();
        (messages, None)
    }

    /// One frame off the front: `None` when it is incomplete, `Some(None)` when it completes no message.
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

    /// What can be judged before the payload is there.
    fn check(&self, header: &FrameHeader, length: u64, limit: usize) -> Result<(), CloseReason> {
        if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none() {
            return Err(CloseReason::BadProtocol); // no extension was agreed on; clients mask (§5.1)
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
                match so_far.saturating_add(length) > limit as u64 {
                    true => Err(CloseReason::TooBig),
                    false => Ok(()),
                }
            }
        }
    }

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

/// The body of a close frame (§5.5.1): nothing, or a code and a reason.
fn close_body(body: &[u8]) -> Result<InboundMessage, CloseReason> {
    let code = match body {
        [] => return Ok(InboundMessage::Close(None)),
        [_] => return Err(CloseReason::BadProtocol),
        [high, low, reason @ ..] => {
            std::str::from_utf8(reason).map_err(|_| CloseReason::BadText)?;
            u16::from_be_bytes([*high, *low])
        }
    };
    match CloseCode::from(code).is_allowed() {
        true => Ok(InboundMessage::Close(Some(code))),
        false => Err(CloseReason::BadProtocol),
    }
}

#[cfg(test)]
#[path = "../../tests/inbound.rs"]
mod tests;
