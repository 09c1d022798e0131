//! Decides whose credentials a request carries, and whether they still hold. The credentials themselves are looked up in
//! `credentials.rs`, and sessions are opened and closed in `sessions.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::credential_uses::CredentialUses;
use super::password_cache::PasswordCache;
use super::principal::{Credential, Principal};
use super::session_cookie::SessionCookie;
use crate::access::{AccessLimits, AccessTable, Scope, SecretHash, Session, SessionOwner};
use crate::engine::Engine;
use crate::http::HttpLimits;
use crate::http::external::oidc::OidcLogin;
use crate::http::external::proxy_user::ProxyUsers;
use crate::http::layers::conditions::{Access, Anonymous};
use crate::http::layers::login_limiter::LoginLimiter;
use crate::job::{Actor, Role, TokenName};

/// Who may use a server. It is in the extensions of every request that passes the layers.
#[derive(Debug)]
pub struct Authenticator {
    pub(super) engine: EngineHandle,
    table: watch::Receiver<Arc<AccessTable>>,
    /// The hash of the token of the configuration.
    pub(super) environment: Option<SecretHash>,
    anonymous: Anonymous,
    /// Slows down guessing.
    pub limiter: LoginLimiter,
    pub(super) remembered: Option<PasswordCache>,
    /// The login through an OpenID Connect provider.
    pub oidc: Option<OidcLogin>,
    pub(super) proxy_users: Option<ProxyUsers>,
    /// The cookie of the sessions of this server. The key of a store, on which its name depends, never changes.
    pub(super) cookie: Option<SessionCookie>,
    uses: CredentialUses,
    /// The URL at which people reach the server, if it is configured.
    pub(super) base_url: Option<String>,
}

/// The engine, which has no `Debug` output.
#[derive(Clone)]
pub(super) struct EngineHandle(pub(super) Engine);

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Authenticator {
    /// Creates the authenticator of a server.
    ///
    /// # Errors
    /// The login through a provider cannot be set up.
    pub fn new(
        engine: Engine,
        limits: &HttpLimits,
        access: &Access,
    ) -> Result<Authenticator, String> {
        let table = engine.access_table();
        let oidc = match &access.external.oidc {
            Some(settings) => {
                let key = table.borrow().signing_key().cloned();
                let key = key.ok_or("the store has no key that could protect logins")?;
                Some(OidcLogin::new(settings.clone(), &key.sign(b"login through a provider"))?)
            }
            None => None,
        };
        let cookie = table.borrow().signing_key().map(SessionCookie::of_store);
        let environment = access.token.as_ref().map(|token| SecretHash::of(token.expose()));
        Ok(Authenticator {
            engine: EngineHandle(engine),
            table,
            environment,
            anonymous: access.anonymous,
            limiter: LoginLimiter::new(limits),
            remembered: PasswordCache::new(),
            oidc,
            proxy_users: access.external.proxy_users.clone(),
            cookie,
            uses: CredentialUses::default(),
            base_url: limits.base_url.clone(),
        })
    }

    /// The users, tokens and sessions as of now.
    pub fn table(&self) -> Arc<AccessTable> {
        self.table.borrow().clone()
    }

    /// A receiver of the table, for those who wait for changes.
    pub fn table_receiver(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.table.clone()
    }

    /// The limits of passwords and sessions.
    pub fn limits(&self) -> &AccessLimits {
        &self.engine.0.config().access
    }

    /// Whether requests need credentials: a token is configured, users exist, somebody else authenticates people, or other
    /// machines can reach the server.
    pub fn is_required(&self) -> bool {
        match self.anonymous {
            Anonymous::Refused => true,
            Anonymous::AllowedWithoutUsers => {
                self.environment.is_some()
                    || self.oidc.is_some()
                    || self.proxy_users.is_some()
                    || self.table.borrow().users().next().is_some()
            }
        }
    }

    /// Whether the credentials of a request still allow exactly what they allowed when it came. Those of an open stream
    /// count as used as long as it is open.
    pub fn is_still(&self, principal: Option<&Principal>) -> bool {
        let Some(principal) = principal else { return !self.is_required() };
        let table = self.table();
        let scope = self.scope_of(&principal.credential, &table);
        self.note_use(&principal.credential, &table);
        scope.is_some_and(|scope| scope == principal.scope)
    }

    /// After how long the credentials of a request expire by themselves, if they do.
    pub fn expires_in(&self, principal: Option<&Principal>) -> Option<Duration> {
        let table = self.table();
        let end = match &principal?.credential {
            Credential::Session(id) => Some(table.session_end(table.session(id)?, self.limits())),
            Credential::Token(id) => table.token(id)?.expires_at,
            Credential::Link(link) => Some(table.link(&link.id)?.expires_at),
            Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Environment
            | Credential::InProcess => None,
        };
        end.map(|end| end.since(self.engine.0.now()))
    }

    /// What a credential allows now; `None` if it is no longer valid.
    fn scope_of(&self, credential: &Credential, table: &AccessTable) -> Option<Scope> {
        match credential {
            Credential::Session(id) => self.scope_of_session(table.session(id)?, table),
            Credential::Token(id) => {
                let token = table.token(id)?;
                (!token.is_expired(self.engine.0.now())).then(|| token.scope())
            }
            Credential::Password { user, fingerprint } => {
                let user = table.user(user).filter(|user| !user.disabled)?;
                user.password.fingerprint().is(fingerprint).then(|| Scope::of(user.role))
            }
            Credential::Proxy(person) => {
                let is_known = table.user_like(&person.name).is_some();
                (!is_known && self.proxy_users.is_some()).then(|| Scope::of(person.role))
            }
            Credential::Environment => self.environment.map(|_| Scope::of(Role::Admin)),
            Credential::InProcess => Some(Scope::of(Role::Admin)),
            Credential::Link(link) => {
                let link = table.link(&link.id)?;
                (!link.is_expired(self.engine.0.now())).then(|| link.scope())
            }
        }
    }

    pub(super) fn scope_of_session(&self, session: &Session, table: &AccessTable) -> Option<Scope> {
        let still_is = |current: Option<&SecretHash>| same(session.credential.as_ref(), current);
        let holds = match &session.who {
            SessionOwner::User(_) | SessionOwner::Token { .. } => true,
            // Another token may be configured now.
            SessionOwner::Environment => still_is(self.environment.as_ref()),
            // Another provider or other roles may be configured now.
            SessionOwner::External { .. } => {
                still_is(self.oidc.as_ref().map(OidcLogin::fingerprint))
            }
        };
        if !holds {
            return None;
        }
        table.scope_of(session, self.engine.0.now(), self.limits())
    }

    /// Notes the use of a credential, and has the store record it when that is due.
    pub(super) fn note_use(&self, credential: &Credential, table: &AccessTable) {
        let now = self.engine.0.now();
        let Some(command) = self.uses.note(credential, table, now) else { return };
        let engine = self.engine.0.by(None);
        let tasks = engine.shutdown().tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = engine.access(command).await {
                tracing::warn!(%error, "the last uses of sessions and tokens could not be stored");
            }
        });
    }

    pub(super) fn environment_principal(&self, credential: Credential) -> Principal {
        let actor = Actor::Token(TokenName::environment());
        Principal { actor, scope: Scope::of(Role::Admin), credential }
    }
}

/// Whether two fingerprints are there and the same.
pub(super) fn same(one: Option<&SecretHash>, other: Option<&SecretHash>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.is(other))
}
