//! The login page. A person enters a name and a password, or a token, and the response opens a session and leads back to
//! the page that they wanted.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::engine::AccessError;
use crate::http::access::sessions::{BrowserVisit, LogInError};
use crate::http::access::{Authenticator, Caller};
use crate::http::external::oidc::{OidcLogin, ProviderLabel};
use crate::http::layers::base_path::Address;
use crate::http::layers::login_limiter::{LoginFailure, TooManyFailures};

use super::layout::error::UiError;
use super::layout::form_fields::{Accepts, NoFields, PostedForm};
use super::layout::page::{Layout, Section, page, see_other};
use super::layout::visit::Visit;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    /// The page to open afterwards, relative to the base path.
    next: String,
    note: String,
    choices: LoginChoices,
    /// The error of the field; empty when nothing was entered yet.
    wrong: String,
    is_signed_in: bool,
}

/// How people can log in besides the form.
#[derive(Debug, Clone, Default)]
pub struct LoginChoices {
    /// The OpenID Connect provider.
    pub provider: Option<ProviderLabel>,
}

impl LoginChoices {
    fn of(auth: &Authenticator) -> LoginChoices {
        LoginChoices { provider: auth.oidc.as_ref().map(OidcLogin::label) }
    }

    /// The login page with a message.
    pub fn page(self, status: StatusCode, address: &Address, next: &str, note: String) -> Response {
        page(status, &LoginPage::of(address, next, note, String::new(), self))
    }
}

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoginQuery {
    pub next: String,
}

/// The form, which sends the token and the page to open afterwards.
pub struct LoginForm;

impl Accepts for LoginForm {
    const ONCE: &'static [&'static str] = &["token", "next"];
}

/// The longest page address that is returned to, in bytes.
const MAX_NEXT: usize = 2_000;

/// The page in the place of one that requires the token.
pub fn required(address: &Address, choices: LoginChoices) -> Response {
    let (next, note) = if address.can_be_reloaded() {
        (address.relative(), "")
    } else {
        (
            "",
            "Your last action was not carried out because you were not logged in. Log in and repeat it.",
        )
    };
    let view = LoginPage::of(address, next, note.to_owned(), String::new(), choices);
    page(StatusCode::UNAUTHORIZED, &view)
}

/// `GET /login`
pub async fn show(
    auth: Option<Extension<Arc<Authenticator>>>,
    Caller(caller): Caller,
    visit: Visit,
    Query(query): Query<LoginQuery>,
) -> Response {
    let next = own_page(&query.next);
    let Some(Extension(auth)) = auth.filter(|auth| auth.is_required()) else {
        return see_other(next).into_response();
    };
    let choices = LoginChoices::of(&auth);
    let mut view = LoginPage::of(&visit, next, String::new(), String::new(), choices);
    view.is_signed_in = caller.is_some();
    view.layout = view.layout.with_notices(&visit);
    page(StatusCode::OK, &view)
}

/// `POST /login`
pub async fn sign_in(
    auth: Option<Extension<Arc<Authenticator>>>,
    address: Address,
    visit: BrowserVisit,
    form: PostedForm<LoginForm>,
) -> Response {
    let next = own_page(form.value("next"));
    let Some(Extension(auth)) = auth.filter(|auth| auth.is_required()) else {
        return see_other(next).into_response();
    };
    let choices = LoginChoices::of(&auth);
    let refused = |status, wrong: &str| {
        let choices = choices.clone();
        page(status, &LoginPage::of(&address, next, String::new(), wrong.to_owned(), choices))
    };
    let token = form.value("token").trim();
    if token.is_empty() {
        return refused(StatusCode::UNAUTHORIZED, "Enter the token.");
    }
    let failure = match auth.log_in(&visit, "", token.into()).await {
        Ok(cookie) => return ([(header::SET_COOKIE, cookie)], see_other(next)).into_response(),
        Err(LogInError::NotStored(error)) => return not_stored(error),
        Err(LogInError::Failed(failure)) => failure,
    };
    match failure {
        LoginFailure::Wrong => refused(StatusCode::UNAUTHORIZED, "This token is not correct."),
        LoginFailure::TooMany(failures) => too_many_failures(&address, next, choices, failures),
        LoginFailure::Busy(_) => {
            let wrong = "Many people are logging in. Try again in a moment.";
            refused(StatusCode::SERVICE_UNAVAILABLE, wrong)
        }
    }
}

/// `POST /logout`
pub async fn sign_out(
    auth: Option<Extension<Arc<Authenticator>>>,
    Caller(caller): Caller,
    visit: BrowserVisit,
    _: PostedForm<NoFields>,
) -> Response {
    let Some(Extension(auth)) = auth else { return see_other("").into_response() };
    match auth.log_out(&visit, caller.as_ref()).await {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], see_other("login")).into_response(),
        Err(error) => not_stored(error),
    }
}

/// The page of a session that could not be opened or closed.
pub fn not_stored(error: AccessError) -> Response {
    match error {
        AccessError::Store(error) => UiError::from(error),
        AccessError::Refused(refusal) => UiError::of(
            &refusal,
            StatusCode::SERVICE_UNAVAILABLE,
            "Nobody was logged in",
            "Try again, or ask whoever runs the server.",
        ),
    }
    .into_response()
}

/// The login page for a client that has failed too often.
pub fn too_many_failures(
    address: &Address,
    next: &str,
    choices: LoginChoices,
    failures: TooManyFailures,
) -> Response {
    let seconds = failures.seconds();
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let wrong = format!("Too many failed logins. Try again in {seconds} {unit}.");
    let view = LoginPage::of(address, next, String::new(), wrong, choices);
    let page = page(StatusCode::TOO_MANY_REQUESTS, &view);
    ([(header::RETRY_AFTER, seconds.to_string())], page).into_response()
}

impl LoginPage {
    fn of(
        address: &Address,
        next: &str,
        note: String,
        wrong: String,
        choices: LoginChoices,
    ) -> LoginPage {
        let layout = Layout { section: Section::Login, ..Layout::error(address, "Log in") };
        LoginPage { layout, next: next.to_owned(), note, choices, wrong, is_signed_in: false }
    }
}

/// The page to return to, or the home page if the address could lead to another server or out of the base path.
pub fn own_page(next: &str) -> &str {
    let path = next.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let is_dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let stays = !next.starts_with('/') && !path.split('/').any(is_dots);
    if is_plain && stays && next.len() <= MAX_NEXT { next } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_pages_of_this_server() {
        for own in [
            "",
            "jobs",
            "jobs?state=discarded&q=a%20b",
            "jobs/7#main",
            "queues/a..b",
            "?span=hours",
        ] {
            assert_eq!(own_page(own), own);
        }
        let long = "x".repeat(MAX_NEXT + 1);
        for other in [
            "//evil.example",
            "/evil.example",
            "\\\\evil.example",
            "/\\evil.example",
            "../admin",
            "jobs/../../admin",
            "%2e%2e/admin",
            "jobs/.%2E/admin",
            "./jobs",
            "a b",
            "a\r\nb",
            "größe",
            &long,
        ] {
            assert_eq!(own_page(other), "", "{other:?}");
        }
        // A scheme is a path below the base, because the address is put behind it.
        assert_eq!(
            Address::default().url(own_page("https://evil.example")),
            "/https://evil.example"
        );
    }
}
