//! L4: the client commands. They use a server over HTTP and WebSocket like any other client, and do not depend on its
//! store or engine.

pub mod access;
pub mod api;
pub mod export;
pub mod health;
pub mod line;
pub mod output;
pub mod resume;
pub mod route_roles;
pub mod stats;
pub mod stream;
pub mod submit;
pub mod watch;

pub use api::http_client;

/// An error message for people. A command that returns one ends with exit code 2.
pub type CliError = String;

#[cfg(test)]
mod tests;
