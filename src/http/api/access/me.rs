//! `GET /api/v1/me`: tells a client who it is and what it may do.

use axum::response::Response;
use serde::Serialize;

use crate::http::access::{Caller, Credential};
use crate::http::api::extract::NoQuery;
use crate::http::json;
use crate::job::{Actor, Kind, QueueName, Role};

#[derive(Serialize)]
struct MeView<'a> {
    /// Whose name the events of its changes have; null on a server that requires no credentials.
    actor: Option<&'a Actor>,
    role: &'static str,
    /// The queues that it is restricted to; null if it is not.
    queues: Option<Vec<&'a str>>,
    /// The kinds that it is restricted to; null if it is not.
    kinds: Option<Vec<&'a str>>,
    /// `session`, `token`, `password` or `environment`; null without credentials.
    credential: Option<&'static str>,
    /// The id of the session, if it is one.
    session: Option<&'a str>,
}

/// Returns `{"actor","role","queues","kinds","credential","session"}`.
pub async fn get(Caller(caller): Caller, _: NoQuery) -> Response {
    let scope = caller.as_ref().map(|caller| &caller.scope);
    let queues = scope.and_then(|scope| scope.queues.as_ref());
    let kinds = scope.and_then(|scope| scope.kinds.as_ref());
    let session = match caller.as_ref().map(|caller| &caller.credential) {
        Some(Credential::Session(id)) => Some(id.as_str()),
        Some(
            Credential::Token(_)
            | Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Environment
            | Credential::Link(_),
        )
        | None => None,
    };
    json(&MeView {
        actor: caller.as_ref().map(|caller| &caller.actor),
        role: caller.as_ref().map_or(Role::Admin, |caller| caller.role()).as_str(),
        queues: queues.map(|queues| queues.iter().map(QueueName::as_str).collect()),
        kinds: kinds.map(|kinds| kinds.iter().map(Kind::as_str).collect()),
        credential: caller.as_ref().map(|caller| caller.credential.sort()),
        session,
    })
}
