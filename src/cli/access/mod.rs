//! `cortado user`, `cortado token` and `cortado session`. The commands are the same for a running server and for the data
//! directory of a stopped one; an [`AccessClient`] does what they ask.

pub mod links;
pub mod password;
pub mod server;
pub mod sessions;
pub mod table;
pub mod tokens;
pub mod users;

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CliError;
use crate::job::{Actor, Kind, QueueName, Role, Secret, SessionId, TokenName, UserName};

/// What changes users, tokens and sessions, and lists them.
pub trait AccessClient {
    /// An error of it, which knows the exit code of the command.
    type Error: From<CliError>;

    /// All users, by name.
    fn users(&self) -> impl Future<Output = Result<Vec<UserLine>, Self::Error>>;

    /// Adds a user.
    fn add_user(
        &self,
        name: &UserName,
        role: Role,
        password: &Secret,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Changes a user.
    fn change_user(
        &self,
        name: &UserName,
        edit: UserEdit,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Deletes a user.
    fn delete_user(&self, name: &UserName) -> impl Future<Output = Result<(), Self::Error>>;

    /// All tokens, by name.
    fn tokens(&self) -> impl Future<Output = Result<Vec<TokenLine>, Self::Error>>;

    /// Creates a token.
    fn create_token(
        &self,
        token: TokenRequest,
    ) -> impl Future<Output = Result<CreatedToken, Self::Error>>;

    /// Revokes the token with this id.
    fn revoke_token(&self, id: &str) -> impl Future<Output = Result<(), Self::Error>>;

    /// All open sessions.
    fn sessions(&self) -> impl Future<Output = Result<Vec<SessionLine>, Self::Error>>;

    /// Revokes a session.
    fn revoke_session(&self, id: &SessionId) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A change of a user.
#[derive(Debug, Clone)]
pub enum UserEdit {
    /// Gives the user a role.
    Role(Role),
    /// Sets the password.
    Password(Secret),
    /// Keeps the user from logging in.
    Disable,
    /// Lets the user log in again.
    Enable,
}

/// The token to create.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// After which time it expires; `None` for never.
    pub expires: Option<Duration>,
    /// The queues that it is restricted to; empty for all.
    pub queues: Vec<QueueName>,
    /// The kinds that it is restricted to; empty for all.
    pub kinds: Vec<Kind>,
}

/// A user as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserLine {
    /// The name.
    pub name: String,
    /// The role.
    pub role: String,
    /// Whether the user cannot log in.
    pub disabled: bool,
    /// When the user was added.
    pub created_at: String,
    /// When the role, the password or the status was changed last.
    pub changed_at: String,
}

/// A token as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenLine {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The role.
    pub role: String,
    /// The queues that it is restricted to; `None` for all.
    pub queues: Option<Vec<String>>,
    /// The kinds that it is restricted to; `None` for all.
    pub kinds: Option<Vec<String>>,
    /// When it was created.
    pub created_at: String,
    /// When it expires; `None` for never.
    pub expires_at: Option<String>,
    /// When it was used last; `None` for never.
    pub last_used_at: Option<String>,
    /// Who created it.
    pub created_by: Option<Actor>,
}

/// A new token with its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// The token as lists show it.
    #[serde(flatten)]
    pub line: TokenLine,
    /// The text to send, which nothing shows again.
    pub token: String,
}

/// A session as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionLine {
    /// The id.
    pub id: String,
    /// Who is logged in.
    pub of: Actor,
    /// The address of the browser.
    pub client: String,
    /// The browser as it calls itself.
    pub browser: String,
    /// When it was opened.
    pub created_at: String,
    /// When it was used last.
    pub last_used_at: String,
    /// When it expires.
    pub expires_at: String,
    /// Whether it is that of the request.
    pub current: bool,
}
