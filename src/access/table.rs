//! The table of users, tokens, sessions and share links, and how a secret is looked up in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{AccessCommand, AccessRefusal, AccessStep};
use super::limits::AccessLimits;
use super::records::{AccessRecord, RevokedToken, Session, SessionOwner, ShareLink, Token, User};
use super::scope::Scope;
use super::secrets::{SecretHash, SigningKey};
use crate::job::{Actor, LinkId, Role, SessionId, Time, TokenId, TokenName, UserName};

/// All users, tokens, sessions and share links of a store. A clone shares the records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessTable {
    pub(super) users: BTreeMap<UserName, Arc<User>>,
    pub(super) tokens: BTreeMap<TokenId, Arc<Token>>,
    pub(super) sessions: BTreeMap<SessionId, Arc<Session>>,
    pub(super) links: BTreeMap<LinkId, Arc<ShareLink>>,
    pub(super) revoked_tokens: BTreeMap<TokenId, Arc<RevokedToken>>,
    signing_key: Option<SigningKey>,
    token_secrets: BTreeMap<SecretHash, TokenId>,
    session_secrets: BTreeMap<SecretHash, SessionId>,
    revoked_secrets: BTreeMap<SecretHash, TokenId>,
}

impl AccessTable {
    /// Carries out a command at a time, in the name of an actor. When it is refused, nothing has changed.
    ///
    /// # Errors
    /// Says why it is refused.
    pub fn apply(
        &mut self,
        command: AccessCommand,
        by: Option<&Actor>,
        now: Time,
        limits: &AccessLimits,
    ) -> Result<AccessStep, AccessRefusal> {
        match command {
            AccessCommand::AddUser { name, password, role } => {
                self.add_user(name, password, role, now, limits)
            }
            AccessCommand::SetPassword { name, password, replaces } => {
                self.set_password(&name, password, replaces, now)
            }
            AccessCommand::SetRole { name, role } => self.set_role(&name, role, now),
            AccessCommand::DisableUser(name) => self.disable_user(&name, now),
            AccessCommand::EnableUser(name) => self.enable_user(&name, now),
            AccessCommand::DeleteUser(name) => self.delete_user(&name),
            AccessCommand::AddToken(token) => self.add_token(token, by, now, limits),
            AccessCommand::RevokeToken(id) => self.revoke_token(&id, now),
            AccessCommand::OpenSession(session) => self.open_session(session, now, limits),
            AccessCommand::CloseSession(id) => self.close_session(&id),
            AccessCommand::CloseSessionsOf(name) => self.close_sessions_of(&name),
            AccessCommand::AddLink(link) => self.add_link(link, by, now, limits),
            AccessCommand::RevokeLink(id) => self.revoke_link(&id),
            AccessCommand::Touch { tokens, sessions } => {
                Ok(self.touch(&tokens, &sessions, now, limits))
            }
        }
    }

    /// Adds a record, or replaces the one with the same name or id.
    pub fn put(&mut self, record: AccessRecord) {
        match record {
            AccessRecord::User(user) => drop(self.users.insert(user.name.clone(), user)),
            AccessRecord::Token(token) => {
                self.token_secrets.insert(token.secret, token.id.clone());
                self.tokens.insert(token.id.clone(), token);
            }
            AccessRecord::Session(session) => {
                self.session_secrets.insert(session.secret, session.id.clone());
                self.sessions.insert(session.id.clone(), session);
            }
            AccessRecord::Link(link) => drop(self.links.insert(link.id.clone(), link)),
            AccessRecord::RevokedToken(token) => {
                self.revoked_secrets.insert(token.secret, token.id.clone());
                self.revoked_tokens.insert(token.id.clone(), token);
            }
            AccessRecord::SigningKey(key) => self.signing_key = Some(key),
        }
    }

    pub(super) fn remove(&mut self, record: &AccessRecord) {
        match record {
            AccessRecord::User(user) => drop(self.users.remove(&user.name)),
            AccessRecord::Token(token) => {
                self.token_secrets.remove(&token.secret);
                self.tokens.remove(&token.id);
            }
            AccessRecord::Session(session) => {
                self.session_secrets.remove(&session.secret);
                self.sessions.remove(&session.id);
            }
            AccessRecord::Link(link) => drop(self.links.remove(&link.id)),
            AccessRecord::RevokedToken(token) => {
                self.revoked_secrets.remove(&token.secret);
                self.revoked_tokens.remove(&token.id);
            }
            AccessRecord::SigningKey(_) => self.signing_key = None,
        }
    }

    /// Adds or replaces a record as a part of a step.
    pub(super) fn put_in(&mut self, step: AccessStep, record: AccessRecord) -> AccessStep {
        self.put(record.clone());
        step.put(record)
    }

    /// Removes a record as a part of a step.
    pub(super) fn remove_in(&mut self, step: AccessStep, record: AccessRecord) -> AccessStep {
        self.remove(&record);
        step.remove(record)
    }

    /// All records, in a fixed order.
    pub fn records(&self) -> impl Iterator<Item = AccessRecord> {
        let users = self.users.values().cloned().map(AccessRecord::User);
        let tokens = self.tokens.values().cloned().map(AccessRecord::Token);
        let sessions = self.sessions.values().cloned().map(AccessRecord::Session);
        let links = self.links.values().cloned().map(AccessRecord::Link);
        let revoked = self.revoked_tokens.values().cloned().map(AccessRecord::RevokedToken);
        let key = self.signing_key.clone().map(AccessRecord::SigningKey);
        users.chain(tokens).chain(sessions).chain(links).chain(revoked).chain(key)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// The user with a name.
    pub fn user(&self, name: &UserName) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// The user whose name differs from another one in nothing but case, if it differs at all.
    pub fn user_like(&self, name: &UserName) -> Option<&Arc<User>> {
        let is_like = |user: &&Arc<User>| user.name.as_str().eq_ignore_ascii_case(name.as_str());
        self.users.get(name).or_else(|| self.users.values().find(is_like))
    }

    /// All tokens, by name.
    pub fn tokens(&self) -> Vec<&Arc<Token>> {
        let mut tokens: Vec<&Arc<Token>> = self.tokens.values().collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    /// The token with an id.
    pub fn token(&self, id: &TokenId) -> Option<&Arc<Token>> {
        self.tokens.get(id)
    }

    /// The token with a name.
    pub fn token_named(&self, name: &TokenName) -> Option<&Arc<Token>> {
        self.tokens.values().find(|token| token.name == *name)
    }

    /// The token whose text has this hash, if it has not expired.
    pub fn live_token(&self, secret: &SecretHash, now: Time) -> Option<&Arc<Token>> {
        let token = self.tokens.get(self.token_secrets.get(secret)?)?;
        (token.secret.is(secret) && !token.is_expired(now)).then_some(token)
    }

    /// The id of the token whose text has this hash and which was valid once: it has expired or was revoked. One that
    /// nobody has had is a guess.
    pub fn ended_token(&self, secret: &SecretHash, now: Time) -> Option<&TokenId> {
        let of_token = self.token_secrets.get(secret).and_then(|id| self.tokens.get(id));
        if let Some(token) = of_token {
            return token.is_expired(now).then_some(&token.id);
        }
        let revoked = self.revoked_tokens.get(self.revoked_secrets.get(secret)?)?;
        revoked.secret.is(secret).then_some(&revoked.id)
    }

    /// All sessions, the last used first. Some of them may have ended; see [`AccessTable::scope_of`].
    pub fn sessions(&self) -> Vec<&Arc<Session>> {
        let mut sessions: Vec<&Arc<Session>> = self.sessions.values().collect();
        sessions.sort_by(|a, b| b.last_used_at.cmp(&a.last_used_at).then(a.id.cmp(&b.id)));
        sessions
    }

    /// The session with an id.
    pub fn session(&self, id: &SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(id)
    }

    /// The session whose cookie has this hash. It may have ended; see [`AccessTable::scope_of`].
    pub fn session_of(&self, secret: &SecretHash) -> Option<&Arc<Session>> {
        let session = self.sessions.get(self.session_secrets.get(secret)?)?;
        session.secret.is(secret).then_some(session)
    }

    /// What may be done in a session now; `None` when it has ended: it has expired, its owner is gone or disabled, the
    /// password or token with which it was opened has changed, or a user of this server has the name of an owner whom
    /// another server has authenticated. The caller compares what the configuration decides: the credential of a session
    /// that was opened with its token or through its provider.
    pub fn scope_of(&self, session: &Session, now: Time, limits: &AccessLimits) -> Option<Scope> {
        if self.session_end(session, limits) <= now {
            return None;
        }
        let is_current = |credential: &SecretHash| {
            session.credential.as_ref().is_some_and(|known| known.is(credential))
        };
        match &session.who {
            SessionOwner::User(name) => {
                let user = self.users.get(name).filter(|user| !user.disabled)?;
                is_current(&user.password.fingerprint()).then(|| Scope::of(user.role))
            }
            SessionOwner::Token { id, .. } => {
                let token = self.tokens.get(id)?;
                is_current(&token.secret).then(|| token.scope())
            }
            // A user of this server who got the name later must not be mistaken for the owner.
            SessionOwner::External { name, role } => {
                self.user_like(name).is_none().then(|| Scope::of(*role))
            }
            SessionOwner::Environment => Some(Scope::of(Role::Admin)),
        }
    }

    /// All share links, by id. Some of them may have expired.
    pub fn links(&self) -> impl Iterator<Item = &Arc<ShareLink>> {
        self.links.values()
    }

    /// The share link with an id.
    pub fn link(&self, id: &LinkId) -> Option<&Arc<ShareLink>> {
        self.links.get(id)
    }

    /// The key that signs share links. Every open store has one.
    pub fn signing_key(&self) -> Option<&SigningKey> {
        self.signing_key.as_ref()
    }
}
