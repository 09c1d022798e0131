//! Roles: what a user or a token may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// What a user or a token may do. Stores write the position of a variant, so new ones are added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and submits jobs.
    Submitter,
    /// Claims jobs and settles them, and nothing else.
    Worker,
    /// Does what a submitter does, and acts on jobs, queues and schedules.
    Operator,
    /// Does everything: also manages users and tokens, and decides what runs.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] =
        [Role::Viewer, Role::Submitter, Role::Worker, Role::Operator, Role::Admin];

    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Submitter => "submitter",
            Role::Worker => "worker",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// Whether this role may do what needs the role `needed`.
    pub fn allows(self, needed: Role) -> bool {
        match self {
            Role::Admin => true,
            Role::Operator => matches!(needed, Role::Viewer | Role::Submitter | Role::Operator),
            Role::Submitter => matches!(needed, Role::Viewer | Role::Submitter),
            Role::Viewer | Role::Worker => self == needed,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let accepted = "use viewer, submitter, worker, operator or admin";
        let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| Invalid::new("role", text, accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_allows_what_the_table_says() {
        // viewer, submitter, worker, operator, admin
        let table = [
            (Role::Viewer, [true, false, false, false, false]),
            (Role::Submitter, [true, true, false, false, false]),
            (Role::Worker, [false, false, true, false, false]),
            (Role::Operator, [true, true, false, true, false]),
            (Role::Admin, [true, true, true, true, true]),
        ];
        for (role, allowed) in table {
            assert_eq!(Role::ALL.map(|needed| role.allows(needed)), allowed, "{role}");
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!("root".parse::<Role>().unwrap_err().to_string().contains("operator"));
    }
}
