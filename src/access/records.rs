//! The records of users, tokens, sessions and share links. Their secrets are hashes, which `Debug` does not show, and they
//! cannot be serialized; stores have rows for them.

use std::str::FromStr;
use std::sync::Arc;

use super::password::PasswordHash;
use super::scope::Scope;
use super::secrets::{SecretHash, SigningKey};
use crate::job::{
    Actor, Kind, LinkId, LinkSubject, QueueName, Role, SessionId, Time, TokenId, TokenName,
    UserName,
};

/// A person who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, which never changes.
    pub name: UserName,
    /// The hash of the password.
    pub password: PasswordHash,
    /// What the user may do.
    pub role: Role,
    /// When the user was added.
    pub created_at: Time,
    /// When the password, the role or the state was last changed.
    pub changed_at: Time,
    /// Whether the user cannot log in.
    pub disabled: bool,
}

/// A token of a program. Its text was shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The public id.
    pub id: TokenId,
    /// The name, which no other token has.
    pub name: TokenName,
    /// The hash of the text.
    pub secret: SecretHash,
    /// What the program may do.
    pub role: Role,
    /// The queues that it is restricted to.
    pub queues: Option<Vec<QueueName>>,
    /// The kinds that it is restricted to.
    pub kinds: Option<Vec<Kind>>,
    /// When the token was created.
    pub created_at: Time,
    /// When it expires; `None` means never.
    pub expires_at: Option<Time>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Time>,
    /// Who created it.
    pub created_by: Option<Actor>,
}

impl Token {
    /// Whether the token has expired.
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What the token may do.
    pub fn scope(&self) -> Scope {
        let (queues, kinds) = (self.queues.clone(), self.kinds.clone());
        Scope { queues, kinds, ..Scope::of(self.role) }
    }
}

/// A token that was revoked. It opens nothing, but whoever still sends it guesses at none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedToken {
    /// The public id that the token had.
    pub id: TokenId,
    /// The hash of its text.
    pub secret: SecretHash,
    /// When it was revoked. The oldest ones are forgotten when there are too many.
    pub revoked_at: Time,
}

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The public id, which lists show.
    pub id: SessionId,
    /// The hash of the cookie.
    pub secret: SecretHash,
    /// Who is logged in.
    pub who: SessionOwner,
    /// The fingerprint of the password or token at the login. When it is no longer that of the owner, the session has
    /// ended. A session without a credential of this server has none.
    pub credential: Option<SecretHash>,
    /// When the session was opened.
    pub created_at: Time,
    /// When it was last used, to about a minute.
    pub last_used_at: Time,
    /// When it ends, however often it is used.
    pub expires_at: Time,
    /// The address of the browser at the login.
    pub client: Box<str>,
    /// What the browser called itself at the login.
    pub browser: Box<str>,
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionOwner {
    /// A user of this server.
    User(UserName),
    /// Somebody who entered a token instead of a password.
    Token {
        /// The id of the token.
        id: TokenId,
        /// The name of the token.
        name: TokenName,
    },
    /// Somebody whom another server has authenticated.
    External {
        /// The name there.
        name: UserName,
        /// The role that the groups there map to.
        role: Role,
    },
    /// Somebody who entered the token of the configuration.
    Environment,
}

impl SessionOwner {
    /// The actor of what happens in the session.
    pub fn actor(&self) -> Actor {
        match self {
            SessionOwner::User(name) | SessionOwner::External { name, .. } => {
                Actor::User(name.clone())
            }
            SessionOwner::Token { name, .. } => Actor::Token(name.clone()),
            SessionOwner::Environment => Actor::Token(TokenName::environment()),
        }
    }
}

/// Whether a share link shows the payload of its job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SharedPayload {
    /// It does.
    #[default]
    Shown,
    /// It does not, because the payload is not for everybody who has the link.
    Hidden,
}

impl SharedPayload {
    /// `shown` or `hidden`.
    pub fn as_str(self) -> &'static str {
        match self {
            SharedPayload::Shown => "shown",
            SharedPayload::Hidden => "hidden",
        }
    }
}

impl FromStr for SharedPayload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "shown" => Ok(SharedPayload::Shown),
            "hidden" => Ok(SharedPayload::Hidden),
            other => Err(format!("must be shown or hidden, but is {other:?}")),
        }
    }
}

/// A link that shows one job or one queue without login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareLink {
    /// The public id.
    pub id: LinkId,
    /// What the link shows.
    pub subject: LinkSubject,
    /// Whether it shows the payload of the job.
    pub payload: SharedPayload,
    /// When the link was created.
    pub created_at: Time,
    /// When it expires.
    pub expires_at: Time,
    /// Who created it.
    pub created_by: Option<Actor>,
}

impl ShareLink {
    /// Whether the link has expired.
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires_at <= now
    }

    /// What the holder of the link may do.
    pub fn scope(&self) -> Scope {
        Scope::shared(&self.subject)
    }
}

/// One row of the table, as stores keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessRecord {
    /// A user.
    User(Arc<User>),
    /// A token.
    Token(Arc<Token>),
    /// A session.
    Session(Arc<Session>),
    /// A share link.
    Link(Arc<ShareLink>),
    /// A token that was revoked.
    RevokedToken(Arc<RevokedToken>),
    /// The key that signs share links.
    SigningKey(SigningKey),
}
