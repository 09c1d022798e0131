//! The conditions that requests must meet, as the configuration has them.

use super::auth::Hosts;
use crate::http::external::ExternalLogins;
use crate::job::Secret;

/// The conditions that a request must meet.
#[derive(Debug, Clone)]
pub struct Access {
    /// A token of the configuration, which may do everything. There may be users and other tokens besides it.
    pub token: Option<Secret>,
    /// Whether requests need credentials although there is neither a token of the configuration nor a user.
    pub anonymous: Anonymous,
    /// The host names that requests may use.
    pub hosts: Hosts,
    /// Other origins that may make requests and open WebSockets, such as `https://jobs.example.org`.
    pub trusted_origins: Vec<String>,
    /// Who else may authenticate people.
    pub external: ExternalLogins,
}

/// Whether somebody without credentials may use the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Everybody may do everything as long as there is neither a token of the configuration nor a user.
    AllowedWithoutUsers,
    /// Nobody may, because other machines can reach the server.
    Refused,
}
