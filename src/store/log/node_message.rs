//! What the nodes of a shared log tell each other through it.

use std::time::Duration;

use crate::job::Time;

/// What a node says about itself with a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeMessage {
    /// The run of its process.
    pub node: u64,
    /// Whether somebody reads a snapshot there, so that nothing may be removed.
    pub reads_snapshot: bool,
    /// The number of the last event that it knows.
    pub seq: u64,
    /// The number of the chunk that it reads next.
    pub next_chunk: u64,
    /// Further figures, which only the store understands.
    pub figures: String,
}

/// A node that works on a shared log, as its last heartbeat has left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHeartbeat {
    /// The run of its process.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// Its version of Cortado.
    pub version: String,
    /// Whether somebody reads a snapshot there, so that nothing may be removed.
    pub reads_snapshot: bool,
    /// How long ago it was heard of, by the clock of the log.
    pub silent_for: Duration,
    /// When it was first heard of, by the clock of the log.
    pub started_at: Time,
    /// The number of the last event that it knew.
    pub seq: u64,
    /// How long the chunk that it was about to read was there, by the clock of the log.
    pub lag: Duration,
    /// Further figures, which only the store understands.
    pub figures: String,
}
