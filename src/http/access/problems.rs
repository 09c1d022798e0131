//! The problems of changes of users, tokens, sessions and links.

use axum::http::StatusCode;

use crate::access::{AccessRefusal, NoRandomness, PasswordProblem};
use crate::engine::{AccessError, TooBusy};
use crate::http::Problem;

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
            PasswordProblem::NotHashed(_) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "unavailable", problem.to_string()).retry_after(1)
            }
        }
    }
}

impl From<TooBusy> for Problem {
    fn from(_: TooBusy) -> Problem {
        let detail = "too many passwords are being checked";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    }
}
