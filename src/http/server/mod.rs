//! Connections: accepts them, counts them per address, and closes those whose peer stops reading.

pub mod accept;
mod access_line;
pub mod access_log;
pub mod address_counts;
pub mod client_address;
pub mod client_stream;
mod connection_context;
pub mod connection_scheme;
pub mod connections;
pub mod date;
pub mod forwarded;
pub mod host_header;
pub mod in_flight;
pub mod inherited;
pub mod lingering_close;
pub mod listen_address;
pub mod listener;
mod opening;
pub mod problem_responses;
pub mod request_id;
pub mod request_target;
pub mod throttled_warning;
pub mod tls;
pub mod unix_socket;
pub mod unread_request;
pub mod write_rate;
pub mod write_timeout;
