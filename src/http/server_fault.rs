//! Why the server cannot carry out a request with which nothing is wrong. One table has the status, the code and the delay
//! for each cause, so that the same cause is answered alike at every interface.

use axum::http::StatusCode;

use super::Problem;
use crate::engine::{StoreError, TooBusy};

/// A cause in the server, and not in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFault {
    /// The server is stopping.
    Stopping,
    /// Too many others ask for the same at the moment.
    Busy,
    /// No response was ready in time.
    TimedOut,
    /// There are too many subscribers.
    TooManyStreams,
    /// There are too many workers.
    TooManyWorkers,
    /// Too many large responses wait for clients that do not read them.
    TooMuchUnread,
    /// The store is not accepting writes.
    StoreUnavailable,
    /// The stored data cannot be read.
    StoreUnreadable,
    /// The system gives no random bytes.
    NoRandomness,
    /// Anything else went wrong.
    Internal,
}

impl ServerFault {
    /// All causes.
    pub const ALL: [ServerFault; 10] = [
        ServerFault::Stopping,
        ServerFault::Busy,
        ServerFault::TimedOut,
        ServerFault::TooManyStreams,
        ServerFault::TooManyWorkers,
        ServerFault::TooMuchUnread,
        ServerFault::StoreUnavailable,
        ServerFault::StoreUnreadable,
        ServerFault::Internal,
        ServerFault::NoRandomness,
    ];

    /// The status, the code, and the delay in seconds after which a client may retry. A request that has timed out may
    /// still be carried out, so only the endpoint knows whether it may be repeated.
    fn row(self) -> (StatusCode, &'static str, Option<u32>) {
        match self {
            ServerFault::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "draining", Some(2)),
            ServerFault::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", Some(1)),
            ServerFault::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "timed_out", None),
            ServerFault::TooManyStreams => {
                (StatusCode::SERVICE_UNAVAILABLE, "sockets_full", Some(10))
            }
            ServerFault::TooManyWorkers => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_many_workers", Some(10))
            }
            ServerFault::TooMuchUnread => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_much_unread", Some(1))
            }
            ServerFault::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", Some(5))
            }
            ServerFault::StoreUnreadable => {
                (StatusCode::INTERNAL_SERVER_ERROR, "store_corrupt", None)
            }
            ServerFault::NoRandomness | ServerFault::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", None)
            }
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The code of the problem.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// The cause with this code; the most general one, if several have it.
    pub fn of_code(code: &str) -> Option<ServerFault> {
        ServerFault::ALL.into_iter().find(|fault| fault.code() == code)
    }

    /// The problem, with a description of this occurrence.
    pub fn problem(self, detail: impl AsRef<str>) -> Problem {
        let (status, code, delay) = self.row();
        let problem = Problem::new(status, code, detail);
        match delay {
            Some(seconds) => problem.retry_after(seconds),
            None => problem,
        }
    }
}

impl From<&StoreError> for ServerFault {
    fn from(error: &StoreError) -> ServerFault {
        match error {
            StoreError::Closed => ServerFault::Stopping,
            // A server whose database was replaced starts again.
            StoreError::Unavailable(_) | StoreError::Replaced(_) => ServerFault::StoreUnavailable,
            StoreError::Corrupt(_) | StoreError::Newer { .. } => ServerFault::StoreUnreadable,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        ServerFault::from(&error).problem(error.to_string())
    }
}

impl From<TooBusy> for Problem {
    fn from(_: TooBusy) -> Problem {
        ServerFault::Busy.problem("too many passwords are being checked")
    }
}
