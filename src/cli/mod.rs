//! L4: the client commands. They speak to a server over HTTP and WebSocket like any other client,
//! and know nothing of its store or engine.

pub mod api;
pub mod export;
pub mod line;
pub mod output;
pub mod stats;
pub mod stream;
pub mod submit;
pub mod watch;

pub use api::http_client;

/// What went wrong, in words for people; every command ends with exit code 2 then.
pub type Failed = String;

#[cfg(test)]
mod tests;
