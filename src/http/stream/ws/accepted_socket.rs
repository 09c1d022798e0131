//! A socket on its way from the handshake to a hub.
//! It carries what its subscriber holds of the server until it leaves.

use std::any::Any;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::http::api::query::StreamQuery;

/// What a subscriber holds of the server while it is there, whatever it is: its place, its connection's
/// slot, its entry in the stop's tracker.
pub type SlotGuard = Box<dyn Any + Send>;

/// A socket that has just been opened.
pub struct AcceptedSocket {
    /// The connection.
    pub stream: TcpStream,
    /// What the client sent right behind its handshake.
    pub first_bytes: Bytes,
    /// What it asks for.
    pub query: StreamQuery,
    /// Given back when it leaves.
    pub slot_guard: SlotGuard,
}
