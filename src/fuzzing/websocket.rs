//! Frames of WebSockets, as they arrive: whole, in parts, and from clients that break the rules.

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::http::stream::ws::close_reason::CloseReason;
use crate::http::stream::ws::inbound::InboundMessage;
use crate::http::stream::ws::message_reader::MessageReader;

/// The longest message.
const LIMIT: usize = 300;

/// What was read, and why reading ended if it did.
type ReadMessages = (Vec<InboundMessage>, Option<CloseReason>);

/// The first byte says how long the parts are in which the other bytes arrive. The messages do not depend on that. Text
/// that is sent as frames is read as it was sent.
pub fn websocket_frames(input: &[u8]) {
    let Some((&part, frames)) = input.split_first() else { return };
    let whole = read_in_parts(frames, usize::MAX);
    for part in [1, usize::from(part).max(1)] {
        assert_eq!(read_in_parts(frames, part), whole, "in parts of {part} bytes");
    }
    for message in &whole.0 {
        match message {
            InboundMessage::Text(text) => assert!(text.len() <= LIMIT),
            InboundMessage::Ping(payload) => assert!(payload.len() <= 125),
            InboundMessage::Fragment | InboundMessage::Pong | InboundMessage::Close(_) => {}
        }
    }
    if let Ok(text) = std::str::from_utf8(frames) {
        sent_text_is_read(text, usize::from(part).max(1));
    }
}

/// Reads bytes in parts of a length. Nothing is read after the first fault, as the server does.
fn read_in_parts(frames: &[u8], part: usize) -> ReadMessages {
    let (mut reader, now) = (MessageReader::default(), Instant::now());
    let (mut bytes, mut messages) = (frames.to_vec(), Vec::new());
    for arrived in bytes.chunks_mut(part) {
        let (read, fault) = reader.read(arrived, LIMIT, now);
        messages.extend(read);
        if fault.is_some() {
            return (messages, fault);
        }
    }
    (messages, None)
}

/// Sends a text in fragments of a length.
fn sent_text_is_read(text: &str, fragment: usize) {
    let mut frames = Vec::new();
    let parts: Vec<&[u8]> = text.as_bytes().chunks(fragment).collect();
    for (at, payload) in parts.iter().enumerate() {
        let data = if at == 0 { Data::Text } else { Data::Continue };
        let mask = [at as u8, 0x5a, 0, 0xff];
        let header = FrameHeader {
            is_final: at + 1 == parts.len(),
            opcode: OpCode::Data(data),
            mask: Some(mask),
            ..FrameHeader::default()
        };
        let written = header.format(payload.len() as u64, &mut frames);
        assert!(written.is_ok(), "a header can always be written to a vector");
        frames.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    let (messages, fault) = read_in_parts(&frames, 7);
    if text.len() > LIMIT {
        assert_eq!(fault, Some(CloseReason::TooBig));
        return;
    }
    assert_eq!(fault, None);
    let read = messages.iter().filter_map(|message| match message {
        InboundMessage::Text(text) => Some(text.as_str()),
        InboundMessage::Fragment
        | InboundMessage::Ping(_)
        | InboundMessage::Pong
        | InboundMessage::Close(_) => None,
    });
    let expected: &[&str] = if parts.is_empty() { &[] } else { &[text] };
    assert_eq!(read.collect::<Vec<_>>(), expected);
    assert_eq!(messages.len(), parts.len());
}
