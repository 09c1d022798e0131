//! The limits of users, tokens, sessions and share links. Each is a setting.

use std::time::Duration;

/// The limits of users, tokens, sessions and share links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessLimits {
    /// How many users there may be.
    pub max_users: usize,
    /// How many tokens there may be.
    pub max_tokens: usize,
    /// How many sessions there may be altogether.
    pub max_sessions: usize,
    /// How many sessions one user or token may have. A login beyond it ends the session that was not used for longest.
    pub sessions_per_user: usize,
    /// How many share links there may be.
    pub max_links: usize,
    /// The longest time after which a share link expires.
    pub max_link_lifetime: Duration,
    /// The fewest characters of a password.
    pub min_password: usize,
    /// How long a session lasts, however often it is used.
    pub session_lifetime: Duration,
    /// After how long without a request a session ends.
    pub session_idle: Duration,
}

impl AccessLimits {
    /// The most bytes of a password: hashing reads all of them.
    pub const MAX_PASSWORD_BYTES: usize = 1_024;
    /// The least that `access.min_password` can be, in characters.
    pub const LEAST_PASSWORD: usize = 8;
}

impl Default for AccessLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        AccessLimits {
            max_users: 1_000,
            max_tokens: 1_000,
            max_sessions: 10_000,
            sessions_per_user: 20,
            max_links: 10_000,
            max_link_lifetime: 30 * DAY,
            min_password: 12,
            session_lifetime: 30 * DAY,
            session_idle: 7 * DAY,
        }
    }
}
