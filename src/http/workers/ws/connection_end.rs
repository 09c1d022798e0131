//! Why a worker's WebSocket is closed, with the close code and the text of its last message.

use bytes::Bytes;
use serde::Serialize;

use crate::http::stream::ws::close_reason::CloseReason;
use crate::http::stream::ws::frames;
use crate::http::view::to_json;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The worker has signed off.
    SignedOff,
    /// Another connection was opened under its name.
    Replaced,
    /// A reason that all WebSockets share.
    Other(CloseReason),
}

#[derive(Serialize)]
struct Bye<'a> {
    r#type: &'static str,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

impl ConnectionEnd {
    /// The last frames: `bye` and the close frame. `retry_ms` is the longest delay before the worker reconnects.
    pub fn last_frames(self, retry_ms: u64) -> Vec<Bytes> {
        let (code, why, retry_ms) = match self {
            ConnectionEnd::SignedOff => (1000, "signed_off", None),
            ConnectionEnd::Replaced => (4409, "replaced", None),
            ConnectionEnd::Other(CloseReason::ClientClosed(code)) => {
                return vec![frames::close(code.map(|code| (code, "")))];
            }
            ConnectionEnd::Other(reason) => match reason.close_frame() {
                Some((code, why)) => (code, why, Some(retry_ms)),
                None => return Vec::new(),
            },
        };
        let bye = to_json(&Bye { r#type: "bye", why, retry_ms });
        vec![frames::text(&bye), frames::close(Some((code, why)))]
    }

    /// What the connection waits for after its last frames.
    pub fn then(self) -> ThenWait {
        match self {
            ConnectionEnd::SignedOff | ConnectionEnd::Replaced => ThenWait::PeerCloses,
            ConnectionEnd::Other(CloseReason::Gone) => ThenWait::Nothing,
            ConnectionEnd::Other(CloseReason::ClientClosed(_)) => ThenWait::PeerDisconnects,
            ConnectionEnd::Other(reason) if reason.can_still_decode() => ThenWait::PeerCloses,
            ConnectionEnd::Other(_) => ThenWait::PeerDisconnects,
        }
    }
}

/// What a connection that is being closed still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThenWait {
    /// The connection is gone.
    Nothing,
    /// The worker sends its close frame.
    PeerCloses,
    /// The worker closes the connection; what it sends is discarded.
    PeerDisconnects,
}
