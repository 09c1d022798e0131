//! Workers against a small fake server, and the protocol against its vectors.

mod handlers;
mod over_http;
mod refusals;
mod sockets;
mod stops;
mod support;
mod vectors;
