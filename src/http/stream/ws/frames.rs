//! The frames that the server sends (RFC 6455 §5.2): unmasked, and never fragmented.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// A text frame.
pub fn text(text: &str) -> Bytes {
    frame(OpCode::Data(Data::Text), text.as_bytes())
}

/// A ping frame without payload.
pub fn ping() -> Bytes {
    Bytes::from_static(&[0x89, 0])
}

/// The pong frame that answers a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload)
}

/// A close frame with a code and a reason, or with an empty body.
pub fn close(body: Option<(u16, &str)>) -> Bytes {
    let body = body.map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat());
    frame(OpCode::Control(Control::Close), &body.unwrap_or_default())
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader { opcode, is_final: true, ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut bytes = Vec::with_capacity(header.len(length) + payload.len());
    // Writing to a Vec cannot fail.
    let _ = header.format(length, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes.into()
}
