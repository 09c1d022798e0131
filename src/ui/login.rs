//! The login page. A person enters a name and a password, or a token, and the response opens a session and leads back to
//! the page that they wanted.

use askama::Template;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::http::access::principal::Credential;
use crate::http::access::sessions::{BrowserVisit, LogInError};
use crate::http::access::{Authenticator, Principal};
use crate::http::external::oidc::{OidcLogin, ProviderLabel};
use crate::http::layers::base_path::Address;
use crate::http::layers::login_limiter::{LoginFailure, TooManyFailures};
use crate::job::Secret;

use super::layout::error::UiError;
use super::layout::form_fields::{Accepts, NoFields, PostedForm};
use super::layout::page::{Layout, Section, page, see_other};
use super::layout::visit::Visit;
use super::submit::form_value::cut;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    /// The page to open afterwards, relative to the base path.
    next: String,
    note: String,
    choices: LoginChoices,
    /// The name as it was typed.
    name: String,
    /// Why the last login failed; empty when nothing was entered yet.
    wrong: String,
    /// Who is logged in already.
    logged_in: Option<LoggedIn>,
}

/// Somebody who opens the login page although they are logged in.
struct LoggedIn {
    name: String,
    /// How they can log out.
    way_out: WayOut,
}

/// How somebody logs out.
enum WayOut {
    /// By the button, which ends the session.
    Button,
    /// Somewhere else, as this sentence says.
    Elsewhere(&'static str),
}

impl LoggedIn {
    fn of(principal: &Principal) -> LoggedIn {
        let way_out = match &principal.credential {
            Credential::Session(_) => WayOut::Button,
            Credential::Proxy(_) => WayOut::Elsewhere(
                "The proxy in front of this server logged you in, so log out there.",
            ),
            Credential::Token(_)
            | Credential::Password { .. }
            | Credential::Environment
            | Credential::Link(_)
            | Credential::InProcess => WayOut::Elsewhere(
                "Your browser sends your credentials with each request. Close it to log out.",
            ),
        };
        LoggedIn { name: principal.actor.name().to_owned(), way_out }
    }
}

/// How people can log in besides the form.
#[derive(Debug, Clone, Default)]
pub struct LoginChoices {
    /// The OpenID Connect provider.
    pub provider: Option<ProviderLabel>,
}

impl LoginChoices {
    /// Those of a server.
    pub fn of(auth: &Authenticator) -> LoginChoices {
        LoginChoices { provider: auth.oidc.as_ref().map(OidcLogin::label) }
    }

    /// The login page with a message.
    pub fn page(self, status: StatusCode, address: &Address, next: &str, note: String) -> Response {
        page(status, &LoginPage { note, ..LoginPage::of(address, next, self) })
    }
}

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoginQuery {
    pub next: String,
}

/// The form, which sends the name, the password or a token in its place, and the page to open afterwards.
pub struct LoginForm;

impl Accepts for LoginForm {
    const ONCE: &'static [&'static str] = &["name", "password", "next"];
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
    choices.page(StatusCode::UNAUTHORIZED, address, next, note.to_owned())
}

/// `GET /login`
pub async fn show(visit: Visit, Query(query): Query<LoginQuery>) -> Response {
    let next = own_page(&query.next);
    match (visit.authenticator(), visit.principal()) {
        (Some(authenticator), None) if !authenticator.is_required() => {
            see_other(next).into_response()
        }
        (None, _) => see_other(next).into_response(),
        (Some(authenticator), principal) => {
            let mut view = LoginPage::of(&visit, next, LoginChoices::of(authenticator));
            view.logged_in = principal.map(LoggedIn::of);
            view.layout = view.layout.with_notices(&visit);
            page(StatusCode::OK, &view)
        }
    }
}

/// `POST /login`
pub async fn sign_in(
    visit: Visit,
    browser: BrowserVisit,
    form: PostedForm<LoginForm>,
) -> Result<Response, UiError> {
    let next = own_page(form.value("next"));
    let Some(authenticator) = visit.authenticator().filter(|known| known.is_required()) else {
        return Ok(see_other(next).into_response());
    };
    let (name, password) = (form.value("name").trim(), form.value("password"));
    let refused = |status, wrong: String| {
        let empty = LoginPage::of(&visit, next, LoginChoices::of(authenticator));
        let mut view = LoginPage { wrong, name: name.to_owned(), ..empty };
        cut([&mut view.name]);
        page(status, &view)
    };
    if password.is_empty() {
        let wrong = if name.is_empty() {
            "Enter a name and a password, or a token."
        } else {
            "Enter the password."
        };
        return Ok(refused(StatusCode::UNAUTHORIZED, wrong.to_owned()));
    }
    // A token that was copied may have spaces around it; a password may begin with one.
    let secret = if name.is_empty() { password.trim() } else { password };
    let wrong = if name.is_empty() {
        "This token is not correct."
    } else {
        "The name or the password is not correct."
    };
    match authenticator.log_in(&browser, name, Secret::new(secret.to_owned())).await {
        Ok(cookie) => Ok(([(header::SET_COOKIE, cookie)], see_other(next)).into_response()),
        Err(LogInError::NoSession(error)) => Err(error.into()),
        Err(LogInError::Failed(failure)) => {
            let (status, wrong) = login_failure(failure, wrong);
            let page = refused(status, wrong);
            Ok(match failure {
                LoginFailure::TooMany(failures) => with_retry_after(failures, page),
                LoginFailure::Wrong | LoginFailure::Busy(_) => page,
            })
        }
    }
}

/// The status and the words for credentials that were not accepted.
pub fn login_failure(failure: LoginFailure, wrong: &str) -> (StatusCode, String) {
    match failure {
        LoginFailure::Wrong => (StatusCode::UNAUTHORIZED, wrong.to_owned()),
        LoginFailure::TooMany(failures) => (StatusCode::TOO_MANY_REQUESTS, when_to_retry(failures)),
        LoginFailure::Busy(_) => {
            let wrong = "Too many people are logging in. Try again in a few seconds.";
            (StatusCode::SERVICE_UNAVAILABLE, wrong.to_owned())
        }
    }
}

/// The login page for a client that has failed too often.
pub fn too_many_failures(
    address: &Address,
    next: &str,
    choices: LoginChoices,
    failures: TooManyFailures,
) -> Response {
    let wrong = when_to_retry(failures);
    let view = LoginPage { wrong, ..LoginPage::of(address, next, choices) };
    with_retry_after(failures, page(StatusCode::TOO_MANY_REQUESTS, &view))
}

fn when_to_retry(failures: TooManyFailures) -> String {
    let seconds = failures.seconds();
    let unit = if seconds == 1 { "second" } else { "seconds" };
    format!("Too many failed logins. Try again in {seconds} {unit}.")
}

fn with_retry_after(failures: TooManyFailures, page: Response) -> Response {
    ([(header::RETRY_AFTER, failures.seconds().to_string())], page).into_response()
}

/// `POST /logout`
pub async fn sign_out(
    visit: Visit,
    browser: BrowserVisit,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    log_out(&visit, &browser).await
}

/// Ends the session of a request, makes the browser forget its cookie, and leads to the login page.
pub async fn log_out(visit: &Visit, browser: &BrowserVisit) -> Result<Response, UiError> {
    let Some(authenticator) = visit.authenticator() else {
        return Ok(see_other("").into_response());
    };
    let cookie = authenticator.log_out(browser, visit.principal()).await?;
    Ok(([(header::SET_COOKIE, cookie)], see_other("login")).into_response())
}

impl LoginPage {
    fn of(address: &Address, next: &str, choices: LoginChoices) -> LoginPage {
        let layout = Layout { section: Section::Login, ..Layout::error(address, "Log in") };
        LoginPage {
            layout,
            next: next.to_owned(),
            note: String::new(),
            choices,
            name: String::new(),
            wrong: String::new(),
            logged_in: None,
        }
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
    use crate::access::Scope;
    use crate::http::external::ExternalPerson;
    use crate::job::{Actor, Role, SessionId, UserName};

    #[test]
    fn whoever_is_logged_in_learns_how_to_log_out() {
        let anna: UserName = "anna".parse().unwrap();
        let person = ExternalPerson { name: anna.clone(), role: Role::Viewer };
        for (credential, says, has_button) in [
            (
                Credential::Session(SessionId::stored("s1").unwrap()),
                "until you log out or the session expires.",
                true,
            ),
            (Credential::Proxy(person), "The proxy in front of this server logged you in", false),
            (Credential::Environment, "Close it to log out.", false),
        ] {
            let scope = Scope::of(Role::Viewer);
            let principal = Principal { actor: Actor::User(anna.clone()), scope, credential };
            let view = LoginPage::of(&Address::default(), "", LoginChoices::default());
            let view = LoginPage { logged_in: Some(LoggedIn::of(&principal)), ..view };
            let html = view.render().unwrap();
            assert!(html.contains(says), "{html}");
            assert_eq!(html.contains("id=\"log-out\""), has_button, "{html}");
            assert_eq!(html.contains("until you log out"), has_button, "{html}");
        }
    }

    #[test]
    fn a_login_leads_only_to_pages_of_this_server() {
        for own in
            ["", "jobs", "jobs?state=discarded&q=a%20b", "jobs/7#main", "queues/a..b", "?range=6h"]
        {
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
