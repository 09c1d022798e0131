//! Events about users, tokens, sessions and share links. They contain no secret.

use serde::{Deserialize, Serialize};

use crate::job::{
    Actor, EventType, JobId, LinkId, QueueName, Role, SessionId, Time, TokenId, TokenName, UserName,
};

/// The user, token, session or share link that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccessSubject {
    /// A user.
    User(UserName),
    /// A token.
    Token {
        /// Its id.
        id: TokenId,
        /// Its name.
        name: TokenName,
    },
    /// The session of a browser.
    Session {
        /// Its id.
        id: SessionId,
        /// Who is logged in.
        of: Actor,
    },
    /// A share link.
    Link {
        /// Its id.
        id: LinkId,
        /// What it shows.
        to: LinkSubject,
    },
}

/// What a share link shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LinkSubject {
    /// One job.
    Job(JobId),
    /// One queue.
    Queue(QueueName),
}

/// What happened to a user, a token, a session or a share link. Stores write the position of a variant, so new ones are
/// added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccessChange {
    /// Somebody added the user.
    UserAdded {
        /// The role.
        role: Role,
    },
    /// Somebody gave the user another role.
    UserRoleSet {
        /// The new role.
        role: Role,
    },
    /// The password of the user was set.
    UserPasswordSet,
    /// Somebody disabled the user, who cannot log in any more.
    UserDisabled,
    /// Somebody enabled the user again.
    UserEnabled,
    /// Somebody deleted the user.
    UserDeleted,
    /// Somebody created the token.
    TokenAdded {
        /// The role.
        role: Role,
        /// The time at which it expires, if it does.
        expires_at: Option<Time>,
    },
    /// Somebody revoked the token.
    TokenRevoked,
    /// Somebody logged in.
    SessionOpened,
    /// The session was ended before it expired.
    SessionClosed,
    /// Somebody created the share link.
    LinkAdded {
        /// The time at which it expires.
        expires_at: Time,
    },
    /// Somebody revoked the share link.
    LinkRevoked,
}

impl AccessChange {
    /// The type of the event that carries this change.
    pub fn event_type(self) -> EventType {
        match self {
            AccessChange::UserAdded { .. } => EventType::UserAdded,
            AccessChange::UserRoleSet { .. } => EventType::UserRoleSet,
            AccessChange::UserPasswordSet => EventType::UserPasswordSet,
            AccessChange::UserDisabled => EventType::UserDisabled,
            AccessChange::UserEnabled => EventType::UserEnabled,
            AccessChange::UserDeleted => EventType::UserDeleted,
            AccessChange::TokenAdded { .. } => EventType::TokenAdded,
            AccessChange::TokenRevoked => EventType::TokenRevoked,
            AccessChange::SessionOpened => EventType::SessionOpened,
            AccessChange::SessionClosed => EventType::SessionClosed,
            AccessChange::LinkAdded { .. } => EventType::LinkAdded,
            AccessChange::LinkRevoked => EventType::LinkRevoked,
        }
    }
}
