//! The machine interface as clients see it: a real server on a port of its own, real clients.

mod api;
mod gate;
mod stop;
pub(crate) mod support;
mod ws;
