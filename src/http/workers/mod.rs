//! The protocol of workers in other processes, over HTTP and over WebSocket: [docs/workers.md](../../../docs/workers.md)
//! describes it, and `tests/vectors` has each message once. The engine has the rules.

pub mod callback;
pub mod claim;
mod claim_body;
pub mod commands;
pub mod leases;
mod problems;
pub mod read;
mod worker_path;
pub mod write;
pub mod ws;
