//! What both ends of the measurements agree on: stamps in events, frames, and lines of JSON between the
//! processes.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970: one clock for all processes of this machine.
pub fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The present moment as a tag: always sixteen digits.
pub fn stamp() -> String {
    format!("{:016}", micros())
}

/// The stamp of the first event in a text that begins an `events` message.
pub fn stamp_of(text: &[u8]) -> Option<u64> {
    const BEFORE: &str = r#""tags":[""#;
    let text = &text[..text.len().min(420)];
    let text =
        std::str::from_utf8(text).or_else(|at| std::str::from_utf8(&text[..at.valid_up_to()]));
    let (_, rest) = text.ok()?.split_once(BEFORE)?;
    rest.get(..16)?.parse().ok()
}

/// The number at the end of a cursor that ends a message: `…:123"}`.
pub fn cursor_of(tail: &[u8]) -> Option<u64> {
    let digits = tail.strip_suffix(b"\"}")?;
    let from = digits.iter().rposition(|byte| !byte.is_ascii_digit())?;
    if digits[from] != b':' {
        return None;
    }
    std::str::from_utf8(&digits[from + 1..]).ok()?.parse().ok()
}

/// A server's frame with this opcode.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => bytes.push(len as u8),
        len @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A client's frame with a short payload, under a mask of zeros.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode, 0x80 | payload.len().min(125) as u8, 0, 0, 0, 0];
    bytes.extend_from_slice(&payload[..payload.len().min(125)]);
    bytes
}

/// A request that opens a WebSocket.
pub fn handshake(path: &str) -> Vec<u8> {
    let head = "host: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: Y29ydGFkby1iZW5jaC0xNg==\r\n\r\n";
    format!("GET {path} HTTP/1.1\r\n{head}").into_bytes()
}
