//! A person whom somebody else has authenticated.

use crate::access::Role;
use crate::job::UserName;

/// A person whom somebody else has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalPerson {
    /// The name that the events of this person show.
    pub name: UserName,
    /// The role that the person's groups give.
    pub role: Role,
}
