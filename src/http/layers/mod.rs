//! The layers that every request passes before it reaches an endpoint, and every response afterwards.

pub mod auth;
pub mod base_path;
pub mod compression;
pub mod conditions;
pub mod cookies;
pub mod cross_site;
pub mod header_list;
pub mod login_limiter;
pub mod own_routes;
pub mod request_body;
pub mod safe_headers;
pub mod sender;
pub mod stack;
pub mod unread;
pub mod url_encoding;
pub mod whole_body;
