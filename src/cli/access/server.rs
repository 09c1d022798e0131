//! Users, tokens and sessions of a running server, over its API.

use reqwest::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{AccessClient, CreatedToken, SessionLine, TokenLine, TokenRequest, UserEdit, UserLine};
use crate::cli::CliError;
use crate::cli::api::ApiClient;
use crate::job::{Role, Secret, SessionId, UserName, causes};

/// A server whose users, tokens and sessions are changed.
pub struct ServerAccess {
    api: ApiClient,
}

#[derive(Deserialize)]
struct ReceivedUsers {
    users: Vec<UserLine>,
}

#[derive(Deserialize)]
struct ReceivedTokens {
    tokens: Vec<TokenLine>,
}

#[derive(Deserialize)]
struct ReceivedSessions {
    sessions: Vec<SessionLine>,
}

impl ServerAccess {
    /// A server with this API.
    pub fn of(api: ApiClient) -> ServerAccess {
        ServerAccess { api }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        received(self.api.get(path).await?).await
    }
}

/// Reads an answer.
///
/// # Errors
/// It cannot be read.
pub(super) async fn received<T: DeserializeOwned>(response: Response) -> Result<T, CliError> {
    let body = response.bytes().await.map_err(|error| causes(&error))?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("cannot read the response of the server: {error}"))
}

impl AccessClient for ServerAccess {
    type Error = CliError;

    async fn users(&self) -> Result<Vec<UserLine>, CliError> {
        Ok(self.read::<ReceivedUsers>("/api/v1/users").await?.users)
    }

    async fn add_user(
        &self,
        name: &UserName,
        role: Role,
        password: &Secret,
    ) -> Result<(), CliError> {
        let user =
            json!({ "name": name.as_str(), "role": role.as_str(), "password": password.expose() });
        self.api.post("/api/v1/users", &user).await.map(drop)
    }

    async fn change_user(&self, name: &UserName, edit: UserEdit) -> Result<(), CliError> {
        let change = match edit {
            UserEdit::Role(role) => json!({ "role": role.as_str() }),
            UserEdit::Password(password) => json!({ "password": password.expose() }),
            UserEdit::Disable => json!({ "disabled": true }),
            UserEdit::Enable => json!({ "disabled": false }),
        };
        self.api.put(&format!("/api/v1/users/{name}"), &change).await.map(drop)
    }

    async fn delete_user(&self, name: &UserName) -> Result<(), CliError> {
        self.api.delete(&format!("/api/v1/users/{name}")).await.map(drop)
    }

    async fn tokens(&self) -> Result<Vec<TokenLine>, CliError> {
        Ok(self.read::<ReceivedTokens>("/api/v1/tokens").await?.tokens)
    }

    async fn create_token(&self, token: TokenRequest) -> Result<CreatedToken, CliError> {
        let TokenRequest { name, role, expires, queues, kinds } = token;
        let mut body = Map::new();
        body.insert("name".into(), name.as_str().into());
        body.insert("role".into(), role.as_str().into());
        if let Some(expires) = expires {
            // The clock of the server decides, because that of this machine may differ.
            body.insert("expires_in".into(), format!("{}ms", expires.as_millis()).into());
        }
        if !queues.is_empty() {
            let names: Vec<&str> = queues.iter().map(|queue| queue.as_str()).collect();
            body.insert("queues".into(), names.into());
        }
        if !kinds.is_empty() {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            body.insert("kinds".into(), names.into());
        }
        received(self.api.post("/api/v1/tokens", &Value::Object(body)).await?).await
    }

    async fn revoke_token(&self, id: &str) -> Result<(), CliError> {
        self.api.delete(&format!("/api/v1/tokens/{id}")).await.map(drop)
    }

    async fn sessions(&self) -> Result<Vec<SessionLine>, CliError> {
        Ok(self.read::<ReceivedSessions>("/api/v1/sessions").await?.sessions)
    }

    async fn revoke_session(&self, id: &SessionId) -> Result<(), CliError> {
        self.api.delete(&format!("/api/v1/sessions/{id}")).await.map(drop)
    }
}
