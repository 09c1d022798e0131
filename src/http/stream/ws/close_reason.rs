//! Why a conversation ends, and how a subscriber is told.

use bytes::Bytes;

use super::frames;
use crate::http::stream::protocol::ServerMessage;
use crate::http::view::to_json;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed, with this code if any.
    Closed(Option<u16>),
    /// Its connection is gone.
    Gone,
    /// Everything was delivered, and the server is stopping.
    Delivered,
    /// The event stream ended although the server was not asked to stop.
    StreamEnded,
    /// The stored log cannot be read.
    StoreFailed,
    /// The client takes nothing for too long, or too little.
    Unwritable,
    /// The client does not answer pings.
    Silent,
    /// More messages than allowed.
    Flood,
    /// A binary message.
    Binary,
    /// A message longer than allowed; the rest of it is not read.
    TooBig,
    /// Text that is not UTF-8.
    BadText,
    /// Not RFC 6455.
    BadProtocol,
}

impl CloseReason {
    /// The close code (RFC 6455 §7.4) and what `bye` says; `None` when the peer left first.
    pub fn close_frame(self) -> Option<(u16, &'static str)> {
        match self {
            CloseReason::Closed(_) | CloseReason::Gone => None,
            CloseReason::Delivered => Some((1001, "stopping")),
            CloseReason::StreamEnded => Some((1011, "the event stream ended")),
            CloseReason::StoreFailed => Some((1011, "the event log cannot be read")),
            CloseReason::Unwritable => Some((1013, "too slow")),
            CloseReason::Silent => Some((1013, "no pong")),
            CloseReason::Flood => Some((1008, "too many messages")),
            CloseReason::Binary => Some((1003, "only text is understood")),
            CloseReason::TooBig => Some((1009, "the message is too big")),
            CloseReason::BadText => Some((1007, "not UTF-8")),
            CloseReason::BadProtocol => Some((1002, "not the WebSocket protocol")),
        }
    }

    /// Whether what follows can still be told apart: else it is read and thrown away.
    pub fn can_still_decode(self) -> bool {
        match self {
            CloseReason::Binary
            | CloseReason::TooBig
            | CloseReason::BadText
            | CloseReason::BadProtocol => false,
            CloseReason::Closed(_)
            | CloseReason::Gone
            | CloseReason::Delivered
            | CloseReason::StreamEnded
            | CloseReason::StoreFailed
            | CloseReason::Unwritable
            | CloseReason::Silent
            | CloseReason::Flood => true,
        }
    }
}

/// `bye` and our close frame, one after the other.
pub fn bye(code: u16, why: &str, retry_ms: u64) -> Bytes {
    let bye = frames::text(&to_json(&ServerMessage::Bye { why, retry_ms }));
    [bye, frames::close(Some((code, why)))].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_about_the_stream_tells_every_close_code() {
        let page = include_str!("../../../../docs/stream.md");
        let (_, codes) = page.split_once("**Close codes.**").unwrap();
        let codes = codes.split("\n## ").next().unwrap();
        for reason in [
            CloseReason::Delivered,
            CloseReason::StreamEnded,
            CloseReason::StoreFailed,
            CloseReason::Unwritable,
            CloseReason::Silent,
            CloseReason::Flood,
            CloseReason::Binary,
            CloseReason::TooBig,
            CloseReason::BadText,
            CloseReason::BadProtocol,
        ] {
            let (code, _) = reason.close_frame().unwrap();
            assert!(codes.contains(&code.to_string()), "{code} of {reason:?} is missing");
        }
    }
}
