//! The client against a small fake server, which hands every request to the test.

mod events;
pub mod fake_server;
mod requests;
