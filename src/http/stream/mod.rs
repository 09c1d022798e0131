//! The event stream and its transports: WebSocket, server-sent events, long polling and followed job logs.
//! `protocol.rs` has their messages, and `feed.rs` decides what a reader receives next.

pub mod admission;
pub mod feed;
pub mod job_log;
pub mod next_stats;
pub mod poll;
pub mod protocol;
pub mod reader;
pub mod relay;
pub mod sse;
pub mod start;
pub mod streaming_body;
pub mod ws;
