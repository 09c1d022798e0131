//! The pages about access: users, tokens, the account of the person who is logged in, and the audit log.

pub mod account;
pub mod audit;
mod browser_name;
mod new_password;
pub mod parts;
pub mod tokens;
pub mod users;
pub mod words;
