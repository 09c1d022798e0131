//! The account of the person who is logged in: their sessions, and the form that changes their password.

use askama::Template;
use axum::extract::State as Has;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::new_password::{NewPassword, PasswordError};
use super::parts::{
    ListedSession, OnlyId, end_session, end_sessions, meaning, own_session, sessions_of,
};
use crate::access::{AccessCommand, SessionOwner};
use crate::engine::Engine;
use crate::http::access::sessions::BrowserVisit;
use crate::http::access::{Acting, Principal};
use crate::job::{Actor, Role, Secret, SessionId, UserName};
use crate::ui::layout::error::UiError;
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::{Accepts, NoFields, PostedForm};
use crate::ui::layout::page::{Layout, Section, SeeOther, page, see_other};
use crate::ui::layout::visit::Visit;
use crate::ui::login::login_failure;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    name: String,
    role: Role,
    meaning: &'static str,
    sessions: Vec<ListedSession>,
    /// Whether it is a user of this server, who can change the password.
    has_password: bool,
    hint: String,
    wrong_current: String,
    wrong_new: String,
}

/// The form that changes the password. It also has the name, for the programs that keep passwords.
pub struct ChangePasswordForm;

impl Accepts for ChangePasswordForm {
    const ONCE: &'static [&'static str] = &["name", "current", "password"];
    const REQUIRED: &'static [&'static str] = &["current", "password"];
}

/// `GET /account`
pub async fn show(Has(engine): Has<Engine>, visit: Visit) -> Result<Response, UiError> {
    Ok(page(StatusCode::OK, &AccountPage::of(&engine, &visit)?))
}

impl AccountPage {
    fn of(engine: &Engine, visit: &Visit) -> Result<AccountPage, UiError> {
        let principal = known(visit)?;
        let role = principal.role();
        let of = &principal.actor;
        Ok(AccountPage {
            layout: Layout::still(visit, "Account", Section::Account, engine.now()),
            name: principal.actor.name().to_owned(),
            role,
            meaning: meaning(role),
            sessions: sessions_of(engine, visit, |session| session.who.actor() == *of),
            has_password: user(engine, principal).is_some(),
            hint: format!("At least {} characters.", engine.config().access.min_password),
            wrong_current: String::new(),
            wrong_new: String::new(),
        })
    }
}

/// Who is logged in.
fn known(visit: &Visit) -> Result<&Principal, UiError> {
    visit.principal().ok_or_else(|| UiError {
        message: "This server has no users and no token, so nobody logs in.".into(),
        advice: "Add a user to turn the login on.",
        ..UiError::not_found("You are not logged in")
    })
}

/// The user of this server whom the principal is, if it is one.
fn user(engine: &Engine, principal: &Principal) -> Option<UserName> {
    let Actor::User(name) = &principal.actor else { return None };
    engine.access_table().borrow().user(name).map(|user| user.name.clone())
}

/// `POST /account/revoke`
pub async fn revoke(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    browser: BrowserVisit,
    form: PostedForm<OnlyId>,
) -> Result<Response, UiError> {
    let id = own_session(&engine, form.value("id"), &known(&visit)?.actor)?;
    end_session(&engine, &visit, &browser, id, "account").await
}

/// `POST /account/log_out_others`
pub async fn log_out_others(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    _: PostedForm<NoFields>,
) -> Result<SeeOther, UiError> {
    let principal = known(&visit)?;
    let kept = principal.session();
    let others: Vec<SessionId> = {
        let table = engine.access_table();
        let table = table.borrow();
        let own = table.sessions().into_iter();
        let own = own.filter(|session| session.who.actor() == principal.actor);
        own.map(|session| session.id.clone()).filter(|id| Some(id) != kept).collect()
    };
    end_sessions(&engine, others).await?;
    Ok(see_other("account").with(Done::SessionsRevoked, principal.actor.name()))
}

/// `POST /account/password`. All sessions of the user end, and the browser that sent the form gets a new one.
pub async fn change_password(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    browser: BrowserVisit,
    form: PostedForm<ChangePasswordForm>,
) -> Result<Response, UiError> {
    let principal = known(&visit)?;
    let (Some(name), Some(authenticator)) = (user(&engine, principal), visit.authenticator())
    else {
        return Err(UiError {
            message: "Only users of this server have a password here.".into(),
            advice: "Change the password where you log in.",
            ..UiError::not_found("There is no password to change")
        });
    };
    let refuse = |status, wrong_current: String, wrong_new: String| {
        let account = AccountPage::of(&engine, &visit)?;
        Ok(page(status, &AccountPage { wrong_current, wrong_new, ..account }))
    };
    let current = Secret::new(form.value("current").to_owned());
    let checked = authenticator.check_password(browser.client, name.as_str(), current).await;
    let replaces = match checked {
        Ok(user) => Some(user.password.fingerprint()),
        Err(failure) => {
            let (status, wrong) = login_failure(failure, "The current password is not correct.");
            // This is no failed login: the session stays open.
            let status = if status == StatusCode::UNAUTHORIZED {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                status
            };
            return refuse(status, wrong, String::new());
        }
    };
    let hash = match NewPassword::read_typed(form.value("password"), &engine, &visit).await {
        Ok(hash) => hash,
        Err(PasswordError::NotSet(error)) => return Err(error),
        Err(PasswordError::Refused(why)) => {
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, String::new(), why);
        }
    };
    let fingerprint = hash.fingerprint();
    let command = AccessCommand::SetPassword { name: name.clone(), password: hash, replaces };
    engine.access(command).await?;
    let owner = SessionOwner::User(name.clone());
    let cookie = authenticator.open_session(&browser, owner, Some(fingerprint)).await?;
    let next = see_other("account").with(Done::UserPasswordSet, name.as_str());
    Ok(([(header::SET_COOKIE, cookie)], next).into_response())
}
