//! Opens and ends the sessions of browsers.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use super::authenticator::Authenticator;
use super::credentials::cookie_path;
use super::principal::{Credential, Principal};
use super::session_cookie::CookiePlace;
use crate::access::{AccessCommand, NewSession, NoRandomness, SecretHash, Session, SessionOwner};
use crate::engine::{AccessError, Engine};
use crate::http::layers::base_path::Address;
use crate::http::layers::login_limiter::{LoginFailure, WrongToken};
use crate::http::server::client_address::client_of;
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::job::Secret;

/// The browser that logs in or out.
#[derive(Debug, Clone)]
pub struct BrowserVisit {
    /// The address of the client.
    pub client: IpAddr,
    /// What the browser calls itself.
    pub browser: String,
    path: String,
    scheme: ConnectionScheme,
}

impl BrowserVisit {
    /// The browser that sends a request.
    pub fn of(parts: &Parts) -> BrowserVisit {
        let browser = parts.headers.get(USER_AGENT).and_then(|name| name.to_str().ok());
        BrowserVisit {
            client: client_of(&parts.extensions).ip(),
            browser: browser.unwrap_or_default().to_owned(),
            path: cookie_path(parts.extensions.get::<Address>()),
            scheme: ConnectionScheme::of(&parts.extensions),
        }
    }

    /// Where the browser sends the cookie of the session.
    pub fn place(&self) -> CookiePlace<'_> {
        CookiePlace { path: &self.path, scheme: self.scheme }
    }
}

impl<S: Sync> FromRequestParts<S> for BrowserVisit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(BrowserVisit::of(parts))
    }
}

/// Why nobody was logged in.
#[derive(Debug, Clone, PartialEq)]
pub enum LogInError {
    /// The name, the password or the token is wrong, or was not checked.
    Failed(LoginFailure),
    /// No session was opened.
    NoSession(SessionError),
}

/// Why no session was opened for somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There are no random bytes for its secret.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// It could not be stored.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// The `Set-Cookie` header that a login or a logout answers with.
pub type SetCookie = String;

impl Authenticator {
    /// Logs in a user with a password, or with an empty name whoever has a token. Returns the cookie of the session.
    ///
    /// # Errors
    /// The credentials are not accepted, or the session could not be stored.
    pub async fn log_in(
        &self,
        visit: &BrowserVisit,
        name: &str,
        password: Secret,
    ) -> Result<SetCookie, LogInError> {
        let (owner, credential) = if name.is_empty() {
            self.limiter
                .attempt(visit.client, || self.owner_of_token(&password))
                .map_err(LogInError::Failed)?
        } else {
            let checked = self.check_password(visit.client, name, password).await;
            let user = checked.map_err(LogInError::Failed)?;
            (SessionOwner::User(user.name.clone()), user.password.fingerprint())
        };
        let opened = self.open_session(visit, owner, Some(credential)).await;
        opened.map_err(LogInError::NoSession)
    }

    /// Opens a session for somebody whose identity was checked. `credential` is the fingerprint of the password or token
    /// that was checked; a change of it ends the session.
    ///
    /// # Errors
    /// The session could not be stored.
    pub async fn open_session(
        &self,
        visit: &BrowserVisit,
        owner: SessionOwner,
        credential: Option<SecretHash>,
    ) -> Result<SetCookie, SessionError> {
        let actor = owner.actor();
        let client = visit.client.to_canonical().to_string();
        let (session, secret) = NewSession::generate(owner, credential, &client, &visit.browser)?;
        let engine = self.engine.0.by(Some(actor));
        engine.access(AccessCommand::OpenSession(session)).await?;
        let max_age = self.limits().session_lifetime.as_secs();
        let cookie =
            self.cookie.as_ref().map(|cookie| cookie.opening(&secret, max_age, visit.place()));
        Ok(cookie.unwrap_or_default())
    }

    /// Ends the session of a request, if it has one, and returns the cookie that makes the browser forget it.
    ///
    /// # Errors
    /// The end could not be stored.
    pub async fn log_out(
        &self,
        visit: &BrowserVisit,
        principal: Option<&Principal>,
    ) -> Result<SetCookie, AccessError> {
        if let Some(principal) = principal
            && let Some(id) = principal.session()
        {
            let engine = self.engine.0.by(Some(principal.actor.clone()));
            match engine.access(AccessCommand::CloseSession(id.clone())).await {
                // Somebody else has ended it meanwhile.
                Ok(_) | Err(AccessError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let cookie = self.cookie.as_ref().map(|cookie| cookie.closing(visit.place()));
        Ok(cookie.unwrap_or_default())
    }

    fn owner_of_token(&self, token: &Secret) -> Result<(SessionOwner, SecretHash), WrongToken> {
        let hash = SecretHash::of(token.expose());
        match self.by_token(token)?.credential {
            Credential::Token(id) => {
                let name = self.table().token(&id).map(|token| token.name.clone());
                let name = name.ok_or_else(|| WrongToken::Ended(id.clone()))?;
                Ok((SessionOwner::Token { id, name }, hash))
            }
            Credential::Environment => Ok((SessionOwner::Environment, hash)),
            Credential::Session(_)
            | Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Link(_)
            | Credential::InProcess => Err(WrongToken::Unknown),
        }
    }
}

/// The open sessions that meet a condition, the last used first. Those that no request could use any more are left out; a
/// router without an authenticator knows only the rule of the table.
pub fn open_sessions(
    engine: &Engine,
    auth: Option<&Authenticator>,
    is_wanted: impl Fn(&Session) -> bool,
) -> Vec<Arc<Session>> {
    let table = engine.access_table().borrow().clone();
    let is_open = |session: &Session| match auth {
        Some(auth) => auth.scope_of_session(session, &table).is_some(),
        None => table.scope_of(session, engine.now(), &engine.config().access).is_some(),
    };
    let sessions = table.sessions().into_iter();
    sessions.filter(|session| is_wanted(session) && is_open(session)).cloned().collect()
}
