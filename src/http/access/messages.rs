//! THE table of the messages that a client may send over a WebSocket, like that of the routes. A connection needs what
//! `GET /api/v1/ws` needs; each message on it needs what is said here.

use super::need::Need::{AnyRole, Role as Needs};
use super::need::Restricted::{Allowed, Refused};
use super::need::{Need, Restricted};
use crate::job::Role::{Viewer, Worker};

/// What a message needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRule {
    /// The message.
    pub message: SocketMessage,
    /// The credentials that it needs.
    pub need: Need,
    /// Whether restricted credentials may send it.
    pub restricted: Restricted,
}

/// A message of a client, as far as its rule depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketMessage {
    /// `{"type":"ping"}`
    Ping,
    /// `{"type":"subscribe"}` to events
    SubscribeEvents,
    /// `{"type":"subscribe","stats":true}`
    SubscribeStats,
    /// `{"type":"unsubscribe"}`
    Unsubscribe,
}

impl SocketMessage {
    /// The name of the message in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            SocketMessage::Ping => "ping",
            SocketMessage::SubscribeEvents => "subscribe",
            SocketMessage::SubscribeStats => "subscribe (stats)",
            SocketMessage::Unsubscribe => "unsubscribe",
        }
    }

    /// The rule of the message.
    pub fn rule(self) -> MessageRule {
        let (need, restricted) = match self {
            SocketMessage::Ping | SocketMessage::Unsubscribe => (AnyRole, Allowed),
            SocketMessage::SubscribeEvents => (Needs(Viewer), Allowed),
            SocketMessage::SubscribeStats => (Needs(Viewer), Refused),
        };
        MessageRule { message: self, need, restricted }
    }

    /// All messages.
    pub const ALL: [SocketMessage; 4] = [
        SocketMessage::Ping,
        SocketMessage::SubscribeEvents,
        SocketMessage::SubscribeStats,
        SocketMessage::Unsubscribe,
    ];
}

/// A message of a worker on its own WebSocket, `GET /api/v1/workers/{name}/ws`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerMessageName {
    /// `{"type":"ready"}`, whose queues and kinds must be those of restricted credentials.
    Ready,
    /// `{"type":"update"}`, whose leases must be of workers that restricted credentials may act as.
    Update,
    /// `{"type":"ping"}`
    Ping,
    /// `{"type":"bye"}`
    Bye,
}

impl WorkerMessageName {
    /// The name of the message in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerMessageName::Ready => "ready",
            WorkerMessageName::Update => "update",
            WorkerMessageName::Ping => "ping",
            WorkerMessageName::Bye => "bye",
        }
    }

    /// What the message needs.
    pub fn rule(self) -> (Need, Restricted) {
        match self {
            WorkerMessageName::Ready | WorkerMessageName::Update | WorkerMessageName::Bye => {
                (Needs(Worker), Allowed)
            }
            WorkerMessageName::Ping => (AnyRole, Allowed),
        }
    }

    /// All messages.
    pub const ALL: [WorkerMessageName; 4] = [
        WorkerMessageName::Ready,
        WorkerMessageName::Update,
        WorkerMessageName::Ping,
        WorkerMessageName::Bye,
    ];
}
