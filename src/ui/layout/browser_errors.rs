//! Error pages for browsers. The layers and endpoints around the pages answer errors with problem documents, which are
//! for programs. A person who meets one in a browser gets a page instead, with the same status.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::http::Problem;
use crate::http::access::Principal;
use crate::http::access::need::Need;
use crate::http::access::principal::Credential;
use crate::http::external::oidc::ProviderLabel;
use crate::http::layers::base_path::Address;
use crate::http::layers::sender::Sender;
use crate::http::server_fault::ServerFault;
use crate::ui::access::parts::meaning;
use crate::ui::login::{self, LoginChoices};

use super::error::{UiError, sentence};
use super::page::is_shared;
use super::viewer::Viewer;

/// Browsers ask for a user and a password themselves when a response has a `Basic` challenge. This one they ignore, so
/// the person sees the login page.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"cortado\"");

/// Replaces the body of an error that a browser shows, and the challenge of one that its scripts receive.
pub fn error_page(address: &Address, sender: Sender, mut response: Response) -> Response {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    if sender == Sender::Script || is_page(response.headers()) {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    let page = if status == StatusCode::UNAUTHORIZED {
        let provider = response.extensions_mut().remove::<ProviderLabel>();
        login::required(address, LoginChoices { provider })
    } else {
        let reader = response.extensions_mut().remove::<Principal>();
        let need = response.extensions_mut().remove::<Need>();
        let error = explain(status, problem.as_ref().map(Problem::detail));
        let fault = problem.as_ref().and_then(|problem| {
            let fault = ServerFault::of_code(problem.code())?;
            Some(UiError { status, ..UiError::of_fault(fault, problem.detail()) })
        });
        let error = fault.unwrap_or(error);
        let error = match problem.as_ref().map(Problem::code) {
            Some("too_many_failed_logins") => slowed_down(error),
            Some("no_such_link") if is_shared(address) => ended(),
            Some("forbidden") => not_allowed(error, reader.as_ref(), need),
            Some(_) | None => error,
        };
        error.page(address, reader.map_or(Viewer::Unknown, |known| Viewer::of(Some(&known))))
    };
    replace(response, page)
}

/// Whether a response is a page already.
pub fn is_page(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content.is_some_and(|content| content.starts_with("text/html"))
}

/// Puts a page in the place of a body. All other headers stay: `Retry-After`, `Allow`, and those of the layers.
pub fn replace(response: Response, page: Response) -> Response {
    let (mut head, _) = response.into_parts();
    let (head_of_page, body) = page.into_parts();
    for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    for (name, value) in &head_of_page.headers {
        if *name != header::RETRY_AFTER || !head.headers.contains_key(name) {
            head.headers.insert(name, value.clone());
        }
    }
    Response::from_parts(head, body)
}

/// The page of a share link that opens nothing. It is the same for links that have expired, were revoked or never existed.
fn ended() -> UiError {
    UiError {
        status: StatusCode::NOT_FOUND,
        title: "This link has ended".into(),
        message: "It has expired or was revoked, or its address is incomplete.".into(),
        advice: "Ask the person who sent it to you for a new link.",
    }
}

/// The page of a browser that sends wrong passwords or tokens by itself.
fn slowed_down(error: UiError) -> UiError {
    let title = "Too many failed logins".into();
    UiError { title, advice: "Wait, and log in with the right password or token.", ..error }
}

/// The page of somebody who may not do what they tried: what it needs, what they have, and whom to ask.
fn not_allowed(error: UiError, reader: Option<&Principal>, need: Option<Need>) -> UiError {
    let title = "This is not allowed".into();
    let Some(reader) = reader else {
        let advice = "Nothing was changed. Ask an admin of this server for access.";
        return UiError { title, advice, ..error };
    };
    match need {
        Some(Need::Role(needed)) if !reader.role().allows(needed) => UiError {
            title,
            message: format!(
                "You need the role {needed} for this. You are logged in as {} with the role {}, which {}.",
                reader.actor.name(),
                reader.role(),
                meaning(reader.role()),
            ),
            advice: who_gives_roles(&reader.credential),
            ..error
        },
        Some(Need::Role(_) | Need::AnyRole | Need::Everybody | Need::ShareLink) | None => UiError {
            title,
            advice: "Nothing was changed. Ask an admin of this server for credentials without this restriction.",
            ..error
        },
    }
}

/// Whom to ask for another role, which depends on where the role comes from.
fn who_gives_roles(credential: &Credential) -> &'static str {
    match credential {
        Credential::Session(_) | Credential::Password { .. } => {
            "Nothing was changed. Ask an admin of this server for the role."
        }
        Credential::Token(_)
        | Credential::Environment
        | Credential::Link(_)
        | Credential::InProcess => {
            "Nothing was changed. Ask an admin of this server for a token with the role."
        }
        Credential::Proxy(_) => {
            "Nothing was changed. Your role depends on your groups, so ask whoever manages them."
        }
    }
}

/// The page of an error that did not come from a page. `detail` is what a program would be told.
pub fn explain(status: StatusCode, detail: Option<&str>) -> UiError {
    let (title, message, advice) = match status {
        StatusCode::NOT_FOUND => return UiError::not_found("Page not found"),
        StatusCode::BAD_REQUEST => (
            "The request is not valid",
            "The server could not read it.",
            "Check the URL, or go back and try again.",
        ),
        StatusCode::FORBIDDEN => (
            "The request was refused",
            "It came from another site.",
            "Open the page on this server and try again there.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "This page does not accept that request",
            "This URL does not support what the browser tried to do.",
            "Nothing was changed. Open the page and use its buttons.",
        ),
        StatusCode::REQUEST_TIMEOUT => (
            "The request took too long",
            "The server stopped waiting for the rest of it.",
            "Check the connection and try again.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "The form is too large",
            "It contains more data than the server accepts in one request.",
            "Nothing was changed. Store the data elsewhere and submit a reference to it.",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "The server cannot read this type of data",
            "It expects a form.",
            "Nothing was changed. Open the page and use its form.",
        ),
        StatusCode::MISDIRECTED_REQUEST => (
            "Unknown host name",
            "The server only accepts requests for host names that it knows.",
            "Use 127.0.0.1 or localhost, or set base_url in the server’s configuration to the URL that you use.",
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            "Too many connections",
            "The server has reached a limit.",
            "Close other tabs that show this dashboard and try again in a few seconds.",
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            "The server is busy or stopping",
            "It did not answer in time.",
            "Try again in a few seconds.",
        ),
        _ if status.is_server_error() => (
            "Internal server error",
            "The server could not complete the request.",
            "Try again. If the problem persists, see the server log for details.",
        ),
        _ => {
            ("The request was refused", "The server does not accept it.", "Go back and try again.")
        }
    };
    let message = detail.map_or_else(|| message.to_owned(), sentence);
    UiError { status, title: title.into(), message, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_page_that_says_what_to_do() {
        for code in 400..600 {
            let status = StatusCode::from_u16(code).unwrap();
            let error = explain(status, None);
            assert_eq!(error.status, status);
            for text in [error.title.as_str(), &error.message, error.advice] {
                assert!(text.len() > 10 && text.starts_with(char::is_uppercase), "{code}: {text}");
            }
        }
        assert_eq!(explain(StatusCode::FORBIDDEN, Some("no entry")).message, "No entry.");
    }
}
