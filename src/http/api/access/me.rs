//! `GET /api/v1/me`: tells a client who it is and what it may do.

use axum::response::Response;
use serde::Serialize;

use crate::http::access::{Caller, Principal};
use crate::http::api::extract::NoQuery;
use crate::http::json;
use crate::job::{Actor, Kind, QueueName, Role, SessionId};

#[derive(Serialize)]
struct MeView<'a> {
    /// Whose name the events of its changes have; null on a server that requires no credentials.
    actor: Option<&'a Actor>,
    role: &'static str,
    /// The queues that it is restricted to; null if it is not.
    queues: Option<&'a [QueueName]>,
    /// The kinds that it is restricted to; null if it is not.
    kinds: Option<&'a [Kind]>,
    /// `session`, `token`, `password`, `proxy`, `environment` or `in_process`; null without credentials.
    credential: Option<&'static str>,
    /// The id of the session, if it is one.
    session: Option<&'a str>,
}

/// Returns `{"actor","role","queues","kinds","credential","session"}`.
pub async fn get(Caller(caller): Caller, _: NoQuery) -> Response {
    let scope = caller.as_ref().map(|caller| &caller.scope);
    let session = caller.as_ref().and_then(Principal::session).map(SessionId::as_str);
    json(&MeView {
        actor: caller.as_ref().map(|caller| &caller.actor),
        role: caller.as_ref().map_or(Role::Admin, |caller| caller.role()).as_str(),
        queues: scope.and_then(|scope| scope.queues.as_deref()),
        kinds: scope.and_then(|scope| scope.kinds.as_deref()),
        credential: caller.as_ref().map(|caller| caller.credential.sort()),
        session,
    })
}
