//! What a route or a message needs of the one who uses it.

use std::fmt;

use crate::job::Role;

/// The credentials that something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// None: it is open to everybody who can reach the server.
    Everybody,
    /// Any valid ones, whatever their role.
    AnyRole,
    /// A role that allows this one.
    Role(Role),
    /// A share link, which is in the path; no other credentials count.
    ShareLink,
}

/// Whether credentials may use something that are restricted to some queues, kinds or jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restricted {
    /// They may: the endpoint shows and changes only what they are for.
    Allowed,
    /// They may not, because the endpoint would show or change more.
    Refused,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Everybody => f.pad("everybody"),
            Need::AnyRole => f.pad("any role"),
            Need::Role(role) => f.pad(role.as_str()),
            Need::ShareLink => f.pad("share link"),
        }
    }
}

impl fmt::Display for Restricted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Restricted::Allowed => f.pad("allowed"),
            Restricted::Refused => f.pad("refused"),
        }
    }
}
