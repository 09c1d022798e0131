//! The endpoints for access: `users.rs`, `tokens.rs`, `sessions.rs`, and `me.rs`, which tells a client who it is.

pub mod fields;
pub mod links;
pub mod me;
pub mod sessions;
pub mod tokens;
pub mod users;
