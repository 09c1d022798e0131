//! The reasons to close a WebSocket, with the close code and the text that the client is sent.

use bytes::Bytes;

use super::frames;
use crate::http::access::access_watch;
use crate::http::stream::protocol::ServerMessage;
use crate::http::view::to_json;

/// Why a WebSocket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent a close frame, with this code if any.
    ClientClosed(Option<u16>),
    /// The connection is gone.
    Gone,
    /// Everything was delivered, and the server is stopping.
    Delivered,
    /// The event stream ended although the server was not asked to stop.
    StreamEnded,
    /// The stored log cannot be read, or the store failed while it handled a worker's message.
    StoreFailed,
    /// The client reads too slowly.
    Unwritable,
    /// The client does not answer pings.
    Silent,
    /// The client sent more frames per second than allowed.
    Flood,
    /// The client began a message and did not finish it in time.
    Unfinished,
    /// Its credentials are not valid any more, or allow something else.
    AccessEnded,
    /// Its share link has expired or was revoked.
    LinkEnded,
    /// The client sent a binary message.
    Binary,
    /// The client sent a message that is longer than allowed; the rest of it is not read.
    TooBig,
    /// The client sent text that is not UTF-8.
    BadText,
    /// The client violated RFC 6455.
    BadProtocol,
}

impl CloseReason {
    /// The close code (RFC 6455 §7.4) and the reason in `bye`; `None` when the client closed first.
    pub fn close_frame(self) -> Option<(u16, &'static str)> {
        match self {
            CloseReason::ClientClosed(_) | CloseReason::Gone => None,
            CloseReason::Delivered => Some((1001, "stopping")),
            CloseReason::StreamEnded => Some((1011, "the event stream ended")),
            CloseReason::StoreFailed => Some((1011, "the store failed")),
            CloseReason::Unwritable => Some((1013, "client too slow")),
            CloseReason::Silent => Some((1013, "no pong received")),
            CloseReason::Flood => Some((1008, "too many messages")),
            CloseReason::Unfinished => Some((1008, "a message was not finished in time")),
            CloseReason::AccessEnded => Some((1008, access_watch::ENDED)),
            CloseReason::LinkEnded => Some((1008, access_watch::LINK_ENDED)),
            CloseReason::Binary => Some((1003, "only text messages are supported")),
            CloseReason::TooBig => Some((1009, "message too big")),
            CloseReason::BadText => Some((1007, "text is not valid UTF-8")),
            CloseReason::BadProtocol => Some((1002, "WebSocket protocol error")),
        }
    }

    /// Whether later frames from the client can still be decoded; if not, its bytes are read and discarded.
    pub fn can_still_decode(self) -> bool {
        match self {
            CloseReason::Binary
            | CloseReason::TooBig
            | CloseReason::BadText
            | CloseReason::BadProtocol
            | CloseReason::Unfinished => false,
            CloseReason::ClientClosed(_)
            | CloseReason::Gone
            | CloseReason::Delivered
            | CloseReason::StreamEnded
            | CloseReason::StoreFailed
            | CloseReason::Unwritable
            | CloseReason::Silent
            | CloseReason::Flood
            | CloseReason::AccessEnded
            | CloseReason::LinkEnded => true,
        }
    }
}

/// Returns `bye` and our close frame, one after the other.
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
            CloseReason::Unfinished,
            CloseReason::AccessEnded,
            CloseReason::LinkEnded,
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
