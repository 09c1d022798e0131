//! The HTTP interface as clients see it: a real server on a free port, and real clients.

mod api;
mod autobahn;
mod bulk;
mod closing;
mod connections;
mod cursors;
mod docs;
mod embedding;
mod gate;
mod handshake;
mod hostile;
mod hub;
mod insight;
mod large;
mod log;
mod metrics;
mod poll;
mod raw;
mod refusals;
mod schedules;
mod sse;
mod stats;
mod stop;
pub(crate) mod support;
mod wait;
mod ws;
