//! Connections: accepts them, counts them per address, and closes those whose peer stops reading.

pub mod accept;
mod access_line;
pub mod access_log;
pub mod address_counts;
pub mod client_address;
pub mod connections;
pub mod date;
pub mod host_header;
pub mod in_flight;
pub mod lingering_close;
pub mod logged_path;
pub mod problem_responses;
pub mod request_id;
pub mod throttled_warning;
pub mod unread_request;
pub mod write_rate;
pub mod write_timeout;
