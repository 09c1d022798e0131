//! The verbs of users, tokens, sessions and share links, and the name in which an engine acts.

use std::sync::Arc;

use tokio::sync::watch;

use super::{AccessError, Engine, TooBusy};
use crate::access::{
    AccessApplied, AccessCommand, AccessTable, PasswordHash, PasswordProblem, Scope,
};
use crate::job::{Actor, Secret};

impl Engine {
    /// The same engine for operations in the name of an actor, who is in the events that they make. It is cheap.
    #[must_use]
    pub fn by(&self, actor: Option<Actor>) -> Engine {
        Engine { parts: self.parts.clone(), actor, restriction: None }
    }

    /// The same engine for credentials that are restricted to a scope, if they are: they act only as workers of their own.
    #[must_use]
    pub fn restricted_to(mut self, restriction: Option<Arc<Scope>>) -> Engine {
        self.restriction = restriction;
        self
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
        hashed.unwrap_or(Err(PasswordProblem::Stopping))
    }

    /// Checks a password against the hash of a user, when it is its turn. Without a hash, because there is no such user, the
    /// answer is no, after the same work.
    ///
    /// # Errors
    /// Too many others are being checked.
    pub async fn verify_password(
        &self,
        known: Option<PasswordHash>,
        password: Secret,
    ) -> Result<bool, TooBusy> {
        self.parts.hashing.verify(known, password).await
    }

    /// Takes all permits to hash, so that nothing is hashed until they are dropped.
    #[cfg(test)]
    pub async fn hold_hash_permits(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.parts.hashing.hold().await
    }

    /// The number of passwords that were checked.
    #[cfg(test)]
    pub fn checked_passwords(&self) -> u64 {
        self.parts.hashing.checked()
    }
}
