//! The HTTP interface as clients see it: a real server on a free port, and real clients.

mod api;
mod bulk;
mod connections;
mod docs;
mod gate;
mod hostile;
mod hub;
mod idempotency;
mod input;
mod insight;
mod large;
mod log;
mod metrics;
mod poll;
mod schedules;
mod sse;
mod stats;
mod stop;
pub(crate) mod support;
mod wait;
mod ws;
