//! Looks up the credentials of a request: the header of a trusted proxy, the cookie of a session, a token as Bearer or as the password of HTTP Basic, or
//! the name and the password of a user by HTTP Basic.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::authenticator::{Authenticator, same};
use super::in_process::by_program;
use super::principal::{Credential, Principal};
use super::session_cookie::{CookiePlace, has_session_cookie};
use crate::access::{Scope, SecretHash, User, parse_token};
use crate::http::Problem;
use crate::http::layers::base_path::Address;
use crate::http::layers::header_list::at_most_one;
use crate::http::layers::login_limiter::{LoginFailure, WrongToken};
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::job::{Actor, Secret, UserName};

/// What a client has to send.
const EXPECTED: &str =
    "send a token as `Authorization: Bearer`, or a token or a password by HTTP Basic";
/// What was wrong with what it has sent.
const NOT_ACCEPTED: &str = "the credentials in `Authorization` are not accepted: the token or the password is wrong, or they \
                            were not sent as `Bearer` or by HTTP Basic";

/// The longest name of a user, in bytes.
const MAX_NAME: usize = 64;

/// The credentials of an `Authorization` header.
enum Given {
    /// `Bearer TOKEN` (RFC 6750)
    Bearer(Secret),
    /// `Basic base64(NAME:PASSWORD)` (RFC 7617)
    Basic { name: String, password: Secret },
}

impl Authenticator {
    /// Whose credentials a request carries, or who makes it without any. `None` means that it carries none and needs none.
    ///
    /// # Errors
    /// 401 if they are missing or wrong, 403 if a proxy names somebody without access, 429 or 503 if they were not checked.
    pub async fn authenticate(
        &self,
        parts: &Parts,
        client: IpAddr,
    ) -> Result<Option<Principal>, Problem> {
        if let Some(principal) = by_program(parts) {
            return Ok(Some(principal));
        }
        if let Some(principal) = self.by_proxy(parts)? {
            return Ok(Some(principal));
        }
        if let Some(principal) = self.by_cookie(parts) {
            return Ok(Some(principal));
        }
        let is_required = self.is_required();
        if !parts.headers.contains_key(AUTHORIZATION) {
            return if is_required { Err(unauthorized(EXPECTED)) } else { Ok(None) };
        }
        // Repeated credentials are wrong, even if one of them is right.
        let value = at_most_one(&parts.headers, AUTHORIZATION).ok().flatten();
        let given = value.and_then(|value| value.to_str().ok()).and_then(given);
        if !is_required {
            // Those of something in front of the server are nothing to it.
            let token = given.as_ref().map(Given::secret);
            return Ok(token.and_then(|token| self.by_token(token).ok()));
        }
        match self.check(given, client).await {
            Ok(principal) => Ok(Some(principal)),
            Err(LoginFailure::Wrong) => Err(unauthorized(NOT_ACCEPTED)),
            Err(LoginFailure::TooMany(failures)) => Err(failures.into()),
            Err(LoginFailure::Busy(busy)) => Err(busy.into()),
        }
    }

    /// The principal of the session whose cookie a request carries.
    pub fn by_cookie(&self, parts: &Parts) -> Option<Principal> {
        if !has_session_cookie(&parts.headers) {
            return None;
        }
        let path = cookie_path(parts.extensions.get::<Address>());
        let place = CookiePlace { path: &path, scheme: ConnectionScheme::of(&parts.extensions) };
        let secret = SecretHash::of(self.cookie.as_ref()?.secret_of(&parts.headers, place)?);
        let table = self.table();
        let session = table.session_of(&secret)?;
        let scope = self.scope_of_session(session, &table)?;
        let credential = Credential::Session(session.id.clone());
        self.note_use(&credential, &table);
        Some(Principal { actor: session.who.actor(), scope, credential })
    }

    /// The principal of a token.
    ///
    /// # Errors
    /// No token has this text, or it has ended.
    pub(super) fn by_token(&self, token: &Secret) -> Result<Principal, WrongToken> {
        let hash = SecretHash::of(token.expose());
        if same(Some(&hash), self.environment.as_ref()) {
            return Ok(self.environment_principal(Credential::Environment));
        }
        let hash = parse_token(token.expose()).ok_or(WrongToken::Unknown)?;
        let (table, now) = (self.table(), self.engine.0.now());
        let Some(token) = table.live_token(&hash, now) else {
            let ended = table.ended_token(&hash, now);
            return Err(ended.cloned().map_or(WrongToken::Unknown, WrongToken::Ended));
        };
        let (actor, credential) =
            (Actor::Token(token.name.clone()), Credential::Token(token.id.clone()));
        self.note_use(&credential, &table);
        Ok(Principal { actor, scope: token.scope(), credential })
    }

    async fn check(&self, given: Option<Given>, client: IpAddr) -> Result<Principal, LoginFailure> {
        match given {
            Some(Given::Basic { name, password }) if self.is_for_password(&name, &password) => {
                let user = self.check_password(client, &name, password).await?;
                let actor = Actor::User(user.name.clone());
                let fingerprint = user.password.fingerprint();
                let credential = Credential::Password { user: user.name.clone(), fingerprint };
                Ok(Principal { actor, scope: Scope::of(user.role), credential })
            }
            Some(given) => self.limiter.attempt(client, || self.by_token(given.secret())),
            None => self.limiter.attempt(client, || Err(WrongToken::Unknown)),
        }
    }

    /// Whether a name and a password are those of a user, and not any name with a token. Without users, nobody's password is
    /// checked.
    fn is_for_password(&self, name: &str, password: &Secret) -> bool {
        let is_token = parse_token(password.expose()).is_some()
            || same(Some(&SecretHash::of(password.expose())), self.environment.as_ref());
        !name.is_empty() && !is_token && self.table().users().next().is_some()
    }

    /// Checks the password of a user. A name that no user has takes as much work as one with a wrong password.
    ///
    /// # Errors
    /// It is wrong, or was not checked.
    pub async fn check_password(
        &self,
        client: IpAddr,
        name: &str,
        password: Secret,
    ) -> Result<Arc<User>, LoginFailure> {
        let key = self.remembered.as_ref().map(|cache| cache.key(name, password.expose()));
        let check = self.remembered.as_ref().zip(key).map(|(cache, key)| cache.lock_of(&key));
        let _only_one = match check {
            Some(check) => Some(check.lock_owned().await),
            None => None,
        };
        // No user has a name of more than 64 bytes, so all of these count as one, and take no more memory.
        let counted = if name.len() <= MAX_NAME { name } else { "" };
        let attempt = self.limiter.begin(client, counted).await?;
        let known = UserName::stored(name).ok();
        let known = known.and_then(|name| self.table().user(&name).cloned());
        let user = known.clone().filter(|user| !user.disabled);
        if let (Some(cache), Some(key), Some(user)) = (&self.remembered, &key, &user)
            && cache.is_right(key, &user.name, &user.password, Instant::now())
        {
            return Ok(user.clone());
        }
        let hash = user.as_ref().map(|user| user.password.clone());
        let checked = self.engine.0.verify_password(hash, password).await;
        let is_right = checked.map_err(LoginFailure::Busy)?;
        match user.filter(|_| is_right).and_then(|user| self.unless_changed(&user)) {
            Some(user) => {
                if let (Some(cache), Some(key)) = (&self.remembered, key) {
                    let (name, hash) = (user.name.clone(), user.password.clone());
                    cache.remember(key, name, hash, Instant::now());
                }
                Ok(user)
            }
            None => Err(attempt.fail(known.as_ref().map(|user| user.name.as_str()))),
        }
    }

    /// The user as of now, whose password was right a moment ago: a check waits for its turn, and the user may have been
    /// disabled or deleted meanwhile, or have got another password or role.
    fn unless_changed(&self, checked: &User) -> Option<Arc<User>> {
        let user = self.table().user(&checked.name).cloned();
        user.filter(|user| !user.disabled && user.password == checked.password)
    }
}

impl Given {
    /// The token, or what may be a token in the place of the password.
    fn secret(&self) -> &Secret {
        match self {
            Given::Bearer(token) => token,
            Given::Basic { name: _, password } => password,
        }
    }
}

/// Reads the value of an `Authorization` header.
fn given(value: &str) -> Option<Given> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Given::Bearer(rest.trim().into()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        return Some(Given::Basic { name: name.to_owned(), password: password.into() });
    }
    None
}

fn unauthorized(detail: &str) -> Problem {
    let challenge = HeaderValue::from_static("Basic realm=\"cortado\", charset=\"UTF-8\"");
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).challenge(challenge)
}

/// The base path without its final slash, so that a cookie also covers the base path itself.
pub fn cookie_path(address: Option<&Address>) -> String {
    let base = address.map(|address| address.url("")).unwrap_or_default();
    let path = base.trim_end_matches('/');
    if path.is_empty() { "/".into() } else { path.into() }
}
