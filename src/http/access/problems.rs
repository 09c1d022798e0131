//! The problems of changes of users, tokens, sessions and links.

use axum::http::StatusCode;

use crate::access::{AccessRefusal, NoRandomness, PasswordProblem};
use crate::engine::AccessError;
use crate::http::Problem;
use crate::http::server_fault::ServerFault;

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Problem {
        match error {
            AccessError::Refused(refusal) => refusal.into(),
            AccessError::Store(error) => error.into(),
        }
    }
}

impl From<AccessRefusal> for Problem {
    fn from(refusal: AccessRefusal) -> Problem {
        let (status, code) = match refusal {
            AccessRefusal::Exists { .. } => (StatusCode::CONFLICT, "already_exists"),
            AccessRefusal::NotFound { what: "user" } => (StatusCode::NOT_FOUND, "no_such_user"),
            AccessRefusal::NotFound { what: "token" } => (StatusCode::NOT_FOUND, "no_such_token"),
            AccessRefusal::NotFound { what: "session" } => {
                (StatusCode::NOT_FOUND, "no_such_session")
            }
            AccessRefusal::NotFound { .. } => (StatusCode::NOT_FOUND, "no_such_link"),
            AccessRefusal::PasswordChanged => (StatusCode::CONFLICT, "password_changed"),
            AccessRefusal::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
            AccessRefusal::FirstUserNotAdmin => {
                return Problem::invalid_field("role", refusal.to_string());
            }
            AccessRefusal::TooMany { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "too_many_credentials")
            }
        };
        Problem::new(status, code, refusal.to_string())
    }
}

impl From<PasswordProblem> for Problem {
    fn from(problem: PasswordProblem) -> Problem {
        match problem {
            PasswordProblem::TooShort { .. } | PasswordProblem::TooLong { .. } => {
                Problem::invalid_field("password", problem.to_string())
            }
            PasswordProblem::NoRandomness(error) => error.into(),
            PasswordProblem::Stopping => ServerFault::Stopping.problem(problem.to_string()),
            PasswordProblem::NotHashed(_) => ServerFault::Internal.problem(problem.to_string()),
        }
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Problem {
        ServerFault::NoRandomness.problem(error.to_string())
    }
}
