//! `/api/v1/sessions`: lists and ends the sessions of browsers. An admin has those of everybody, and all others their own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::fields::PathName;
use crate::access::{AccessCommand, AccessRefusal, Session};
use crate::http::access::authenticator::Authenticator;
use crate::http::access::sessions::open_sessions;
use crate::http::access::{Acting, Caller, Principal};
use crate::http::api::extract::{NoBody, NoQuery};
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::{Actor, Role, SessionId, Time};

#[derive(Serialize)]
struct SessionsView<'a> {
    sessions: Vec<SessionView<'a>>,
}

#[derive(Serialize)]
struct SessionView<'a> {
    id: &'a str,
    /// Who is logged in.
    of: Actor,
    created_at: Displayed<Time>,
    /// To about a minute.
    last_used_at: Displayed<Time>,
    /// When it ends, however often it is used.
    expires_at: Displayed<Time>,
    /// The address from which somebody logged in.
    client: &'a str,
    /// What the browser called itself.
    browser: &'a str,
    /// Whether it is that of this request.
    current: bool,
}

impl<'a> SessionView<'a> {
    fn of(session: &'a Session, caller: Option<&Principal>) -> SessionView<'a> {
        SessionView {
            id: session.id.as_str(),
            of: session.who.actor(),
            created_at: Displayed(session.created_at),
            last_used_at: Displayed(session.last_used_at),
            expires_at: Displayed(session.expires_at),
            client: &session.client,
            browser: &session.browser,
            current: is_current(caller, session),
        }
    }
}

/// Lists the open sessions, the last used first.
pub async fn list(
    State(api): State<Api>,
    auth: Option<Extension<Arc<Authenticator>>>,
    Caller(caller): Caller,
    _: NoQuery,
) -> Response {
    let auth = auth.as_ref().map(|Extension(auth)| &**auth);
    let open = open_sessions(&api.engine, auth, |session| may_see(caller.as_ref(), session));
    let sessions = open.iter().map(|session| SessionView::of(session, caller.as_ref()));
    json(&SessionsView { sessions: sessions.collect() })
}

/// Ends a session. Answers 204.
pub async fn end(
    Acting(api): Acting<Api>,
    Caller(caller): Caller,
    _: NoQuery,
    PathName(id): PathName,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let not_found = || Problem::from(AccessRefusal::NotFound { what: "session" });
    let id = SessionId::stored(&id).map_err(|_| not_found())?;
    let table = api.engine.access_table().borrow().clone();
    let session = table.session(&id).ok_or_else(not_found)?;
    if !may_see(caller.as_ref(), session) {
        return Err(not_found());
    }
    api.engine.access(AccessCommand::CloseSession(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether somebody may see and end a session: an admin, or whose session it is.
fn may_see(caller: Option<&Principal>, session: &Session) -> bool {
    caller.is_none_or(|caller| caller.role() == Role::Admin || caller.actor == session.who.actor())
}

fn is_current(caller: Option<&Principal>, session: &Session) -> bool {
    caller.and_then(Principal::session) == Some(&session.id)
}
