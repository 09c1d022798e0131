//! Requests of the program that contains the server. They reach the routes without a connection, and need no credentials:
//! the program could do the same with the server's memory.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::principal::{Credential, Principal};
use crate::access::Scope;
use crate::job::{Actor, Role, TokenName};

/// Marks a request of the program that contains the server, in its extensions. Nothing that arrives over a connection can
/// set it.
#[derive(Debug, Clone, Copy)]
pub struct InProcessRequest;

/// The principal of a request of this program, which may do everything. One with credentials is what they make it.
pub fn by_program(parts: &Parts) -> Option<Principal> {
    let is_in_process = parts.extensions.get::<InProcessRequest>().is_some();
    (is_in_process && !parts.headers.contains_key(AUTHORIZATION)).then(|| Principal {
        actor: Actor::Token(TokenName::in_process()),
        scope: Scope::of(Role::Admin),
        credential: Credential::InProcess,
    })
}
