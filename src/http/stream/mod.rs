//! The event stream and its transports: WebSocket, server-sent events and long polling over one feed.

pub mod admission;
pub mod feed;
pub mod job_log;
pub mod poll;
pub mod protocol;
pub mod relay;
pub mod sse;
pub mod streaming_body;
pub mod ws;
