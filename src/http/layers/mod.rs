//! The layers that every request passes before an endpoint sees it, and every response after that.

pub mod auth;
pub mod base_path;
pub mod compression;
pub mod cross_site;
pub mod header_list;
pub mod request_body;
pub mod safe_headers;
pub mod stack;
pub mod unread;
