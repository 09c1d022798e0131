//! The commands that change the table, and their answers.

use std::sync::Arc;

use super::password::PasswordHash;
use super::records::{AccessRecord, Session, SessionOwner, ShareLink, SharedPayload, Token, User};
use super::secrets::{NoRandomness, SecretHash, fresh_id, fresh_secret, fresh_token};
use crate::job::{
    AccessChange, AccessSubject, Kind, LinkId, LinkSubject, QueueName, Role, Secret, SessionId,
    Time, TokenId, TokenName, UserName,
};

/// A change of users, tokens, sessions or share links.
#[derive(Debug, Clone)]
pub enum AccessCommand {
    /// Add a user.
    AddUser {
        /// The name, which must be new.
        name: UserName,
        /// The hash of the password.
        password: PasswordHash,
        /// What the user may do. The first user must be an admin.
        role: Role,
    },
    /// Set the password of a user, and end the user's sessions.
    SetPassword {
        /// The user.
        name: UserName,
        /// The hash of the new password.
        password: PasswordHash,
        /// The fingerprint of the password that it replaces, if the caller has shown that it knows that one. If the user
        /// has another one by now, the command is refused.
        replaces: Option<SecretHash>,
    },
    /// Give a user another role.
    SetRole {
        /// The user.
        name: UserName,
        /// The new role.
        role: Role,
    },
    /// Disable a user, who cannot log in until enabled again, and end the user's sessions.
    DisableUser(UserName),
    /// Enable a user.
    EnableUser(UserName),
    /// Delete a user, and end the user's sessions.
    DeleteUser(UserName),
    /// Create a token.
    AddToken(NewToken),
    /// Revoke a token, and end the sessions that were opened with it.
    RevokeToken(TokenId),
    /// Log in.
    OpenSession(NewSession),
    /// End a session.
    CloseSession(SessionId),
    /// End all sessions of a user, also those that another server has authenticated.
    CloseSessionsOf(UserName),
    /// Create a share link.
    AddLink(NewLink),
    /// Revoke a share link.
    RevokeLink(LinkId),
    /// Record when tokens and sessions were last used. What no longer exists is ignored, and there is no event.
    Touch {
        /// The uses of tokens.
        tokens: Vec<(TokenId, Time)>,
        /// The uses of sessions.
        sessions: Vec<(SessionId, Time)>,
    },
}

/// A token to create.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The public id.
    pub id: TokenId,
    /// The hash of the text.
    pub secret: SecretHash,
    /// The name, which must be new.
    pub name: TokenName,
    /// What the program may do.
    pub role: Role,
    /// The queues that it is restricted to.
    pub queues: Option<Vec<QueueName>>,
    /// The kinds that it is restricted to.
    pub kinds: Option<Vec<Kind>>,
    /// When it expires; `None` means never.
    pub expires_at: Option<Time>,
}

impl NewToken {
    /// Generates a token without restrictions. Returns it with its text, which is not stored.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate(name: TokenName, role: Role) -> Result<(NewToken, Secret), NoRandomness> {
        let (id, text) = (fresh_id()?, fresh_token()?);
        let secret = SecretHash::of(text.expose());
        let token =
            NewToken { id, secret, name, role, queues: None, kinds: None, expires_at: None };
        Ok((token, text))
    }
}

/// A session to open.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The public id.
    pub id: SessionId,
    /// The hash of the cookie.
    pub secret: SecretHash,
    /// Who has logged in.
    pub who: SessionOwner,
    /// The fingerprint of the password or token with which the login was checked.
    pub credential: Option<SecretHash>,
    /// The address of the browser.
    pub client: Box<str>,
    /// What the browser calls itself.
    pub browser: Box<str>,
}

impl NewSession {
    /// Generates a session. Returns it with the value of its cookie, which is not stored.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate(
        who: SessionOwner,
        credential: Option<SecretHash>,
        client: &str,
        browser: &str,
    ) -> Result<(NewSession, Secret), NoRandomness> {
        let (id, cookie) = (fresh_id()?, fresh_secret()?);
        let secret = SecretHash::of(cookie.expose());
        let (client, browser) = (client.into(), browser.into());
        Ok((NewSession { id, secret, who, credential, client, browser }, cookie))
    }
}

/// A share link to create.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// The public id.
    pub id: LinkId,
    /// What the link shows.
    pub subject: LinkSubject,
    /// Whether it shows the payload of the job.
    pub payload: SharedPayload,
    /// When it expires.
    pub expires_at: Time,
}

impl NewLink {
    /// Generates the id of a link, which shows the payload.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate(subject: LinkSubject, expires_at: Time) -> Result<NewLink, NoRandomness> {
        Ok(NewLink { id: fresh_id()?, subject, payload: SharedPayload::Shown, expires_at })
    }
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessApplied {
    /// The user as it is now, or was before it was deleted.
    User(Arc<User>),
    /// The token, or the one that was revoked.
    Token(Arc<Token>),
    /// The session, or the one that was ended.
    Session(Arc<Session>),
    /// The share link, or the one that was revoked.
    Link(Arc<ShareLink>),
    /// How many sessions were ended.
    Closed(usize),
    /// The uses were recorded.
    Touched,
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    /// There is one with this name already.
    #[error("there is already a {what} with this name")]
    Exists {
        /// `user`, `token`, `session` or `share link`.
        what: &'static str,
    },
    /// There is none.
    #[error("there is no such {what}")]
    NotFound {
        /// `user`, `token`, `session` or `share link`.
        what: &'static str,
    },
    /// The user has another password than the one to replace.
    #[error("the password has been changed in the meantime")]
    PasswordChanged,
    /// Nobody could manage users any more.
    #[error("this is the only user with the role admin who is not disabled")]
    LastAdmin,
    /// Nobody could manage users.
    #[error("the first user must have the role admin")]
    FirstUserNotAdmin,
    /// There would be too many.
    #[error("the limit of {limit} {what}s is reached")]
    TooMany {
        /// `user`, `token`, `session` or `share link`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// What one command has done: the answer, and what a store writes.
#[derive(Debug, Clone)]
pub struct AccessStep {
    /// The answer.
    pub applied: AccessApplied,
    /// The events, in order.
    pub changes: Vec<(AccessSubject, AccessChange)>,
    /// The changes of rows, in order.
    pub records: Vec<RecordChange>,
}

/// A change of one row.
#[derive(Debug, Clone)]
pub enum RecordChange {
    /// The record is new or has changed.
    Put(AccessRecord),
    /// The record is gone. This is what it was.
    Remove(AccessRecord),
}

impl AccessStep {
    /// A step that has changed nothing so far.
    pub(super) fn of(applied: AccessApplied) -> AccessStep {
        AccessStep { applied, changes: Vec::new(), records: Vec::new() }
    }

    pub(super) fn put(mut self, record: AccessRecord) -> AccessStep {
        self.records.push(RecordChange::Put(record));
        self
    }

    pub(super) fn remove(mut self, record: AccessRecord) -> AccessStep {
        self.records.push(RecordChange::Remove(record));
        self
    }

    pub(super) fn event(mut self, subject: AccessSubject, change: AccessChange) -> AccessStep {
        self.changes.push((subject, change));
        self
    }
}
