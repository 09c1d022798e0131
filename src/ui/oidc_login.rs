//! Login through an OpenID Connect provider. A button of the login page leads to [`begin`], which sends the browser to the
//! provider, and the provider sends it back to [`finish`].

use std::sync::Arc;

use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};

use crate::access::SessionOwner;
use crate::engine::Engine;
use crate::http::access::Authenticator;
use crate::http::access::sessions::BrowserVisit;
use crate::http::external::ExternalPerson;
use crate::http::external::oidc::error::OidcError;
use crate::http::external::oidc::{OidcEnd, OidcLogin, OidcReturn, ProviderLabel};
use crate::http::layers::base_path::Address;

use super::layout::error::{UiError, not_found};
use super::layout::page::see_other;
use super::login::{LoginChoices, LoginQuery, own_page, too_many_failures};

type Auth = Option<Extension<Arc<Authenticator>>>;

/// `GET /login/oidc`
pub async fn begin(
    State(engine): State<Engine>,
    auth: Auth,
    address: Address,
    visit: BrowserVisit,
    Query(query): Query<LoginQuery>,
) -> Response {
    let Some(login) = auth.as_ref().and_then(|auth| auth.oidc.as_ref()) else {
        return not_found().await;
    };
    let next = own_page(&query.next);
    match login.begin(next, engine.now()).await {
        Ok(start) => {
            let headers = [
                (header::LOCATION, start.location),
                (header::SET_COOKIE, start.cookie),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(error) => failed(&address, next, &visit, login, &error),
    }
}

/// `GET /login/oidc/callback`
pub async fn finish(
    State(engine): State<Engine>,
    auth: Auth,
    address: Address,
    visit: BrowserVisit,
    headers: HeaderMap,
    Query(answer): Query<OidcReturn>,
) -> Response {
    let Some(Extension(auth)) = auth else { return not_found().await };
    let Some(login) = &auth.oidc else { return not_found().await };
    let choices = LoginChoices::of(&auth);
    if let Err(failures) = auth.limiter.check_client(visit.client) {
        return too_many_failures(&address, "", choices, failures);
    }
    let used = login.end_cookie(&answer);
    let next = login.wanted_page(&answer, &headers, engine.now());
    let response = match login.finish(answer, &headers, engine.now()).await {
        Ok(end) => open_session(&auth, login, &address, &visit, end).await,
        Err(error) => {
            if error.is_suspicious() {
                auth.limiter.reject_external(visit.client);
            }
            failed(&address, own_page(&next), &visit, login, &error)
        }
    };
    let cookies = AppendHeaders(used.map(|cookie| (header::SET_COOKIE, cookie)));
    (cookies, [(header::CACHE_CONTROL, "no-store")], response).into_response()
}

async fn open_session(
    auth: &Authenticator,
    login: &OidcLogin,
    address: &Address,
    visit: &BrowserVisit,
    end: OidcEnd,
) -> Response {
    let ExternalPerson { name, role } = end.person;
    if let Some(user) = auth.table().user_like(&name) {
        let local = &user.name;
        let ProviderLabel(label) = login.label();
        let client = visit.client;
        tracing::warn!(%client, user = %local, "login through the provider refused: a user has this name");
        let note = format!(
            "You are {name} at {label}, but {local} is also a user of this server. Log in with the password of this \
             user, or ask the administrator."
        );
        let choices = LoginChoices { provider: Some(login.label()) };
        return choices.page(StatusCode::FORBIDDEN, address, own_page(&end.next), note);
    }
    let owner = SessionOwner::External { name, role };
    match auth.open_session(visit, owner, Some(*login.fingerprint())).await {
        Ok(cookie) => {
            let cookie = AppendHeaders([(header::SET_COOKIE, cookie)]);
            (cookie, see_other(own_page(&end.next))).into_response()
        }
        Err(error) => UiError::from(error).into_response(),
    }
}

/// The login page with what a person can do about a login that failed. The log has the reason.
fn failed(
    address: &Address,
    next: &str,
    visit: &BrowserVisit,
    login: &OidcLogin,
    error: &OidcError,
) -> Response {
    let client = visit.client;
    match error {
        // Whoever opens the address a second time, or without a login, gets here.
        OidcError::Expired => tracing::debug!(%client, %error, "login through the provider failed"),
        OidcError::Mismatch(_)
        | OidcError::Refused(_)
        | OidcError::Unavailable(_)
        | OidcError::Unverified(_)
        | OidcError::Name(_)
        | OidcError::NoRole(_) => {
            tracing::warn!(%client, %error, "login through the provider failed");
        }
    }
    let ProviderLabel(label) = login.label();
    let (status, note) = match error {
        OidcError::Expired | OidcError::Mismatch(_) => (
            StatusCode::BAD_REQUEST,
            format!(
                "This login at {label} took too long, was completed already, or began in another browser. Start again."
            ),
        ),
        OidcError::Refused(_) => {
            (StatusCode::FORBIDDEN, format!("{label} did not log you in. You can try again."))
        }
        OidcError::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "{label} is not available at the moment. Try again later, or log in with a password or a token."
            ),
        ),
        OidcError::Unverified(_) => (
            StatusCode::FORBIDDEN,
            format!(
                "What {label} said about you could not be verified. Try again. If this happens again, tell the \
                 administrator: the server’s log has the reason."
            ),
        ),
        OidcError::Name(_) => (
            StatusCode::FORBIDDEN,
            format!(
                "{label} gave you a name that this server does not accept. Tell the administrator."
            ),
        ),
        OidcError::NoRole(name) => (
            StatusCode::FORBIDDEN,
            format!(
                "You are {name} at {label}, but no group of yours has access to this server. Ask the administrator for \
                 access."
            ),
        ),
    };
    LoginChoices { provider: Some(login.label()) }.page(status, address, next, note)
}
