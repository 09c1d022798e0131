//! What an error of PostgreSQL means: whether the statement had an effect, and whether it may work later.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::StoreError;

/// Why a statement has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementFailure {
    /// The statement had no effect, and would fail in the same way again.
    Refused(StoreError),
    /// The answer was lost, so the statement may have had its effect, or may yet have it.
    Unanswered(String),
}

impl StatementFailure {
    /// No answer came in time.
    pub fn timeout(limit: Duration) -> StatementFailure {
        StatementFailure::Unanswered(format!("no answer within {limit:?}"))
    }

    /// No connection was opened in time.
    pub fn connect_timeout(limit: Duration) -> StatementFailure {
        StatementFailure::Unanswered(format!("no connection within {limit:?}"))
    }

    /// The error for a caller to whom it makes no difference.
    pub fn into_store_error(self, location: &str) -> StoreError {
        match self {
            StatementFailure::Refused(error) => error,
            StatementFailure::Unanswered(why) => unavailable(location, why),
        }
    }

    /// The failure that an error of a statement means.
    pub fn of(error: &Error, location: &str) -> StatementFailure {
        let why = describe(error);
        let Some(refusal) = error.as_db_error() else {
            // A parameter that cannot be encoded never reaches the server.
            return StatementFailure::Unanswered(why);
        };
        if is_unanswered(refusal) {
            return StatementFailure::Unanswered(why);
        }
        let is_damage = [
            SqlState::DATA_CORRUPTED,
            SqlState::INDEX_CORRUPTED,
            // The first chunk of a batch is new, but one of the others is there.
            SqlState::UNIQUE_VIOLATION,
        ];
        StatementFailure::Refused(if is_damage.contains(refusal.code()) {
            StoreError::Corrupt(format!("{location}: {why}"))
        } else {
            unavailable(location, why)
        })
    }
}

/// Whether the server has ended the session, in which the statement may have been committed before, or asks to try
/// again.
fn is_unanswered(refusal: &DbError) -> bool {
    let code = refusal.code();
    let ends_session = matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    let is_of_connection = code.code().starts_with("08");
    let try_again = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    ends_session || is_of_connection || try_again.contains(code)
}

/// The error of a server that may work later.
pub fn unavailable(location: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{location}: {why}"))
}

/// An error with its causes. The driver puts no password into them.
pub fn describe(error: &Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return format!("{} ({})", refusal.message(), refusal.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Whether a notice says that a commit did not wait for the synchronous standby: the statement's rows were returned and
/// others see them, but a failover may lose them. The server sends it when the statement is cancelled, or its session
/// ended, while it waits. Its text may be translated, so the function of the server that sends it decides.
pub fn is_unreplicated_commit(notice: &DbError) -> bool {
    let codes = [SqlState::WARNING, SqlState::ADMIN_SHUTDOWN];
    codes.contains(notice.code())
        && notice.routine().is_none_or(|routine| routine.starts_with("SyncRep"))
}
