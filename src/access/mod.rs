//! Access: users, tokens, sessions of browsers and share links as pure data, with the rules that change them. It has no IO
//! and no clock; stores keep the table, and the layers above decide by it what a request may do.

mod command;
mod limits;
mod links;
mod password;
mod records;
mod scope;
mod secrets;
mod sessions;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod users;

pub use crate::job::Role;
pub use command::{
    AccessApplied, AccessCommand, AccessRefusal, AccessStep, NewLink, NewSession, NewToken,
    RecordChange,
};
pub use limits::AccessLimits;
pub use password::{PasswordHash, PasswordProblem};
pub use records::{
    AccessRecord, RevokedToken, Session, SessionOwner, ShareLink, SharedPayload, Token, User,
};
pub use scope::Scope;
pub use secrets::{NoRandomness, SecretHash, SigningKey, generate_password, parse_token};
pub use table::AccessTable;
