//! Who makes a request: the actor that its changes are attributed to, what it may do, and the credential it came with.

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;

use super::need::{Need, Restricted};
use crate::access::{Scope, SecretHash, ShareLink};
use crate::http::Problem;
use crate::http::external::ExternalPerson;
use crate::job::{Actor, Role, SessionId, TokenId, UserName};

/// The one who makes a request. It is in the extensions of every request with valid credentials; a request without
/// it comes from somebody on a server that requires none, and may do everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who causes the events of what the request changes.
    pub actor: Actor,
    /// What the request may do.
    pub scope: Scope,
    /// The credential that it came with.
    pub credential: Credential,
}

/// The credential of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The session of a browser, by its public id.
    Session(SessionId),
    /// A stored token, by its public id.
    Token(TokenId),
    /// The name and the password of a user, by HTTP Basic.
    Password {
        /// The user.
        user: UserName,
        /// The fingerprint of the password.
        fingerprint: SecretHash,
    },
    /// The header of a reverse proxy that names this person.
    Proxy(ExternalPerson),
    /// The token of the configuration or of the environment.
    Environment,
    /// The address of a share link.
    Link(Arc<ShareLink>),
    /// None: the program that contains the server makes the request.
    InProcess,
}

impl Credential {
    /// The name of this sort of credential in answers of the API.
    pub fn sort(&self) -> &'static str {
        match self {
            Credential::Session(_) => "session",
            Credential::Token(_) => "token",
            Credential::Password { .. } => "password",
            Credential::Proxy(_) => "proxy",
            Credential::Environment => "environment",
            Credential::Link(_) => "link",
            Credential::InProcess => "in_process",
        }
    }
}

impl Principal {
    /// The role.
    pub fn role(&self) -> Role {
        self.scope.role
    }

    /// The share link, if it is one.
    pub fn link(&self) -> Option<&Arc<ShareLink>> {
        match &self.credential {
            Credential::Link(link) => Some(link),
            Credential::Session(_)
            | Credential::Token(_)
            | Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Environment
            | Credential::InProcess => None,
        }
    }

    /// The session of a browser, if it is one.
    pub fn session(&self) -> Option<&SessionId> {
        match &self.credential {
            Credential::Session(id) => Some(id),
            Credential::Token(_)
            | Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Environment
            | Credential::Link(_)
            | Credential::InProcess => None,
        }
    }

    /// Checks what a route or a message needs.
    ///
    /// # Errors
    /// 403 with the role that is needed and the one held.
    pub fn check(&self, need: Need, restricted: Restricted) -> Result<(), Problem> {
        match need {
            Need::Everybody | Need::AnyRole => {}
            Need::ShareLink if self.link().is_some() => {}
            Need::ShareLink => return Err(forbidden("this needs a share link")),
            Need::Role(needed) if self.role().allows(needed) => {}
            Need::Role(needed) => {
                return Err(forbidden(format!(
                    "this needs the role {}; {self} has the role {}",
                    needed.as_str(),
                    self.role().as_str()
                )));
            }
        }
        match restricted {
            Restricted::Refused if self.scope.is_restricted() => Err(forbidden(format!(
                "this needs credentials without restrictions; {self} is restricted to {}",
                Restrictions(&self.scope)
            ))),
            Restricted::Allowed | Restricted::Refused => Ok(()),
        }
    }
}

/// The problem of a request whose credentials are valid but do not allow it.
pub fn forbidden(detail: impl AsRef<str>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

/// `user anna` or `token ci`, for messages.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.actor {
            Actor::User(name) => write!(f, "user {name}"),
            Actor::Token(name) => write!(f, "token {name}"),
            Actor::Schedule(name) => write!(f, "schedule {name}"),
            Actor::Link(_) => f.write_str("this link"),
        }
    }
}

/// What a scope is restricted to, for messages.
pub struct Restrictions<'a>(pub &'a Scope);

impl fmt::Display for Restrictions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: Vec<&str>| names.join(", ");
        let Scope { role: _, queues, kinds, jobs } = self.0;
        let queues = queues.as_ref().map(|queues| {
            format!("queues: {}", names(queues.iter().map(|name| name.as_str()).collect()))
        });
        let kinds = kinds.as_ref().map(|kinds| {
            format!("kinds: {}", names(kinds.iter().map(|name| name.as_str()).collect()))
        });
        let jobs = jobs.as_ref().map(|jobs| format!("jobs: {}", jobs.len()));
        let parts: Vec<String> = [queues, kinds, jobs].into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}
