//! A new password from a form. An empty field asks for a generated one, which the next page shows once.

use axum::http::StatusCode;

use crate::access::{PasswordHash, PasswordProblem, generate_password};
use crate::engine::Engine;
use crate::http::server_fault::ServerFault;
use crate::job::Secret;
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::visit::Visit;

/// The hash of a new password.
pub struct NewPassword {
    /// The hash, which is stored.
    pub hash: PasswordHash,
    /// The text, if it was generated and nobody knows it yet.
    pub generated: Option<String>,
}

/// Why there is no new password.
pub enum PasswordError {
    /// It is not acceptable; the reason is shown beside the field.
    Refused(String),
    /// It could not be hashed now, or the access of the reader has ended while it was.
    NotSet(UiError),
}

impl NewPassword {
    /// Hashes the password of a field.
    ///
    /// # Errors
    /// [`PasswordError`] says what the page shows.
    pub async fn read(
        typed: &str,
        engine: &Engine,
        visit: &Visit,
    ) -> Result<NewPassword, PasswordError> {
        let generated = typed.is_empty().then(generate_password).transpose();
        let generated = generated.map_err(|error| PasswordError::NotSet(error.into()))?;
        let password = generated.clone().unwrap_or_else(|| Secret::new(typed.to_owned()));
        let hash = engine.hash_password(password).await.map_err(refused)?;
        check_access(visit)?;
        Ok(NewPassword { hash, generated: generated.map(|secret| secret.expose().clone()) })
    }

    /// Hashes a password that must not be empty.
    ///
    /// # Errors
    /// [`PasswordError`] says what the page shows.
    pub async fn read_typed(
        typed: &str,
        engine: &Engine,
        visit: &Visit,
    ) -> Result<PasswordHash, PasswordError> {
        let hash = engine.hash_password(Secret::new(typed.to_owned())).await.map_err(refused)?;
        check_access(visit)?;
        Ok(hash)
    }

    /// What the field says about passwords.
    pub fn hint(engine: &Engine) -> String {
        let least = engine.config().access.min_password;
        format!("At least {least} characters. Leave it empty to generate one.")
    }
}

/// Checks that the reader may still do what they could do when the request came: a hash waits for its turn.
fn check_access(visit: &Visit) -> Result<(), PasswordError> {
    if visit.authenticator().is_none_or(|auth| auth.is_still(visit.principal())) {
        return Ok(());
    }
    Err(PasswordError::NotSet(UiError {
        status: StatusCode::UNAUTHORIZED,
        title: "Your access has ended".into(),
        message: "It was revoked, has expired or has changed.".into(),
        advice: "Nothing was changed. Log in again.",
    }))
}

fn refused(problem: PasswordProblem) -> PasswordError {
    match &problem {
        PasswordProblem::TooShort { .. } | PasswordProblem::TooLong { .. } => {
            PasswordError::Refused(sentence(&problem.to_string()))
        }
        PasswordProblem::NoRandomness(error) => PasswordError::NotSet((*error).into()),
        PasswordProblem::Stopping => {
            PasswordError::NotSet(UiError::of_fault(ServerFault::Stopping, &problem.to_string()))
        }
        PasswordProblem::NotHashed(_) => {
            PasswordError::NotSet(UiError::of_fault(ServerFault::Internal, &problem.to_string()))
        }
    }
}
