//! What the pages about access have in common: roles in words, rows of sessions, new passwords, and the errors of changes.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::access::{AccessCommand, AccessRefusal, Session};
use crate::engine::{AccessError, Engine};
use crate::http::access::sessions::{BrowserVisit, SessionError, open_sessions};
use crate::job::{Actor, Role, SessionId, Time, UserName};
use crate::ui::layout::error::UiError;
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::Accepts;
use crate::ui::layout::page::see_other;
use crate::ui::layout::visit::Visit;
use crate::ui::login::log_out;
use crate::ui::parts::time_format::TimeText;

use super::browser_name::browser_name;

/// A role in a list of choices.
pub struct RoleChoice {
    /// Its name.
    pub name: &'static str,
    /// What it allows.
    pub meaning: &'static str,
    /// Whether it is the current or the typed one.
    pub chosen: bool,
}

/// The roles to choose from.
pub fn role_choices(roles: &[Role], chosen: Role) -> Vec<RoleChoice> {
    let choice = |role: &Role| RoleChoice {
        name: role.as_str(),
        meaning: meaning(*role),
        chosen: *role == chosen,
    };
    roles.iter().map(choice).collect()
}

/// The roles of people. That of a worker is for programs.
pub const USER_ROLES: [Role; 4] = [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin];

/// What a role allows, in words.
pub fn meaning(role: Role) -> &'static str {
    match role {
        Role::Viewer => "sees everything",
        Role::Submitter => "sees everything and submits jobs",
        Role::Worker => "runs jobs and sees nothing else",
        Role::Operator => "acts on jobs, queues and schedules",
        Role::Admin => "does everything and manages users and tokens",
    }
}

/// A secret that was just generated, for the page that shows it once.
pub struct NewSecret {
    /// What it is.
    pub title: String,
    /// Its text.
    pub text: String,
}

/// A session as a row.
pub struct ListedSession {
    /// The public id.
    pub id: String,
    /// The name of the browser.
    pub program: String,
    /// What the browser calls itself.
    pub browser: String,
    /// The address of the browser.
    pub client: String,
    /// When it was opened.
    pub opened: TimeText,
    /// When it was used last.
    pub used: TimeText,
    /// When it ends if it is not used again.
    pub expires: TimeText,
    /// Whether the page is shown in it.
    pub is_current: bool,
}

/// The open sessions that meet a condition, the last used first.
pub fn sessions_of(
    engine: &Engine,
    visit: &Visit,
    is_wanted: impl Fn(&Session) -> bool,
) -> Vec<ListedSession> {
    let (limits, now) = (engine.config().access, engine.now());
    let open = open_sessions(engine, visit.authenticator().map(|auth| &**auth), is_wanted);
    let table = engine.access_table().borrow().clone();
    let listed = open.iter().map(|session| {
        let end = table.session_end(session, &limits);
        ListedSession::of(session, visit, end, now)
    });
    listed.collect()
}

impl ListedSession {
    fn of(session: &Session, visit: &Visit, end: Time, now: Time) -> ListedSession {
        let current = visit.session();
        ListedSession {
            id: session.id.to_string(),
            program: browser_name(&session.browser),
            browser: session.browser.to_string(),
            client: session.client.to_string(),
            opened: TimeText::new(session.created_at, now),
            used: TimeText::new(session.last_used_at, now),
            expires: TimeText::new(end, now),
            is_current: current == Some(&session.id),
        }
    }
}

/// A button that names what it is about by its id.
pub struct OnlyId;

impl Accepts for OnlyId {
    const ONCE: &'static [&'static str] = &["id"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
}

/// The id of a session of an actor.
pub fn own_session(engine: &Engine, id: &str, of: &Actor) -> Result<SessionId, UiError> {
    let table = engine.access_table();
    let table = table.borrow();
    let id = SessionId::stored(id).ok();
    let session = id.and_then(|id| table.session(&id).cloned());
    let own = session.filter(|session| session.who.actor() == *of);
    own.map(|session| session.id.clone()).ok_or_else(|| UiError {
        message: "It has ended in the meantime.".into(),
        advice: "Look at the list of open sessions.",
        ..UiError::not_found("Session not found")
    })
}

/// Ends a session and leads back to a page. The browser that ends its own session logs out.
pub async fn end_session(
    engine: &Engine,
    visit: &Visit,
    browser: &BrowserVisit,
    id: SessionId,
    page: &str,
) -> Result<Response, UiError> {
    if visit.session() == Some(&id) {
        return log_out(visit, browser).await;
    }
    end_sessions(engine, vec![id.clone()]).await?;
    Ok(see_other(page).with(Done::SessionRevoked, id.as_str()).into_response())
}

/// Ends sessions. Those that have ended meanwhile do not keep the others open.
pub async fn end_sessions(engine: &Engine, ids: Vec<SessionId>) -> Result<(), UiError> {
    for id in ids {
        match engine.access(AccessCommand::CloseSession(id)).await {
            Ok(_) | Err(AccessError::Refused(AccessRefusal::NotFound { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The name of a user in an address. A name that nobody can have is answered like one that nobody has.
pub fn known_name(engine: &Engine, text: &str) -> Result<UserName, UiError> {
    let name = UserName::stored(crate::http::api::extract::without_escape(text)).ok();
    let table = engine.access_table();
    name.filter(|name| table.borrow().user(name).is_some()).ok_or_else(no_such_user)
}

/// The error for a user who does not exist.
pub fn no_such_user() -> UiError {
    UiError {
        message: "No user of this server has this name.".into(),
        advice: "Look for the user in the list of users.",
        ..UiError::not_found("User not found")
    }
}

impl From<SessionError> for UiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NoRandomness(error) => error.into(),
            SessionError::Access(error) => error.into(),
        }
    }
}

impl From<AccessError> for UiError {
    fn from(error: AccessError) -> Self {
        let refusal = match error {
            AccessError::Refused(refusal) => refusal,
            AccessError::Store(error) => return error.into(),
        };
        let (status, title, advice) = match &refusal {
            AccessRefusal::Exists { .. } => (
                StatusCode::CONFLICT,
                "The name is taken",
                "Nothing was changed. Choose another name.",
            ),
            AccessRefusal::NotFound { .. } => (
                StatusCode::NOT_FOUND,
                "Not found",
                "It may have been deleted or revoked in the meantime.",
            ),
            AccessRefusal::PasswordChanged => (
                StatusCode::CONFLICT,
                "The password has been changed",
                "Nothing was changed now. Log in with the new password, or ask an admin.",
            ),
            AccessRefusal::LastAdmin => (
                StatusCode::CONFLICT,
                "The last admin has to stay",
                "Nothing was changed. Add another admin first.",
            ),
            AccessRefusal::FirstUserNotAdmin => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The first user must be an admin",
                "Nothing was changed. Add an admin first.",
            ),
            AccessRefusal::TooMany { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Limit reached",
                "Nothing was changed. Delete what is no longer needed, or raise the limit in the configuration.",
            ),
        };
        UiError::of(&refusal, status, title, advice)
    }
}
