//! A WebSocket on its way from the handshake to a hub.
//! It carries the guards that its subscriber holds until it leaves.

use std::any::Any;

use bytes::Bytes;

use super::socket_stream::SocketStream;
use crate::http::api::query::StreamQuery;
use crate::http::stream::reader::StreamReader;

/// What a subscriber occupies in the server until it is dropped: its subscriber permit, the slot of its connection, and
/// its token in the tracker of connections. Hubs need not know the types.
pub type SlotGuard = Box<dyn Any + Send>;

/// A WebSocket that has just been opened.
pub struct AcceptedSocket {
    /// The connection.
    pub stream: SocketStream,
    /// Bytes that the client sent together with its handshake.
    pub first_bytes: Bytes,
    /// Where the stream begins, and the filter.
    pub query: StreamQuery,
    /// The events that the client may see, and its credentials.
    pub reader: StreamReader,
    /// Released when the subscriber leaves.
    pub slot_guard: SlotGuard,
}
