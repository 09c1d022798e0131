//! The verbs of users, tokens, sessions and share links, and the name in which an engine acts.

use std::sync::Arc;

use tokio::sync::watch;

use super::{AccessError, Engine};
use crate::access::{
    AccessApplied, AccessCommand, AccessTable, PasswordHash, PasswordProblem, User,
};
use crate::job::{Actor, Secret, UserName};

impl Engine {
    /// The same engine for operations in the name of an actor, who is in the events that they make. It is cheap.
    #[must_use]
    pub fn by(&self, actor: Option<Actor>) -> Engine {
        Engine { parts: self.parts.clone(), actor }
    }

    /// In whose name the operations of this engine are.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// Changes users, tokens, sessions or share links. The call returns when the change is durable.
    ///
    /// # Errors
    /// The rules refuse the change, or the store failed.
    pub async fn access(&self, command: AccessCommand) -> Result<AccessApplied, AccessError> {
        self.parts.store.access(command, self.actor.clone()).await
    }

    /// The table of users, tokens, sessions and share links, and its later versions.
    pub fn access_table(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.parts.store.access_table()
    }

    /// Checks and hashes a new password, when it is its turn.
    ///
    /// # Errors
    /// Says why the password is not accepted.
    pub async fn hash_password(&self, password: Secret) -> Result<PasswordHash, PasswordProblem> {
        let limits = self.parts.config.access;
        let hashed = self.parts.hashing.run(move || PasswordHash::of(&password, &limits)).await;
        hashed.unwrap_or_else(|| Err(PasswordProblem::NotHashed("the server is stopping".into())))
    }

    /// The user with this name and password; `None` when there is none, when the user is disabled, or when the password is
    /// wrong. All three take equally long.
    pub async fn check_password(&self, name: &UserName, password: Secret) -> Option<Arc<User>> {
        let user = self.access_table().borrow().user(name).filter(|user| !user.disabled).cloned();
        let known =
            user.as_ref().map_or_else(PasswordHash::of_nobody, |user| user.password.clone());
        let is_right = self.parts.hashing.run(move || known.verify(&password)).await;
        user.filter(|_| is_right == Some(true))
    }
}
