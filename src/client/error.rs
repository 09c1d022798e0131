//! The errors of the client, with the problem documents of the server (RFC 9457).

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::job::JobInfo;

/// A request or a worker failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not the `http://` or `https://` URL of a server.
    #[error("the address of the server is not valid: {0}")]
    InvalidAddress(String),
    /// The token has characters that cannot be sent in a header.
    #[error("the token contains characters that cannot be sent in a header")]
    InvalidToken,
    /// The TLS library could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(#[source] reqwest::Error),
    /// There was no answer. The server may have carried the request out all the same.
    #[error("the server cannot be reached: {why}")]
    Unreachable {
        /// The reason with its causes.
        why: String,
        /// What the HTTP client or the connection reported, if it did.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The server refused the request.
    #[error("{0}")]
    Refused(Box<ServerProblem>),
    /// The server's answer is not what its API promises.
    #[error("the answer of the server cannot be read: {0}")]
    InvalidAnswer(String),
    /// A payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    InvalidPayload(#[source] serde_json::Error),
    /// The job was not final when the time to wait for it was over.
    #[error("job {} is {} and did not end in time", .0.id, .0.state)]
    StillRunning(Box<JobInfo>),
    /// The job has no result, because it has not completed.
    #[error("job {} has no result: {}", .0.id, no_result(.0))]
    NotCompleted(Box<JobInfo>),
    /// A payload or a result is not of the type that was asked for.
    #[error("the {what} of job {job} is not of the expected type: {source}")]
    WrongType {
        /// `payload` or `result`.
        what: &'static str,
        /// The id of the job.
        job: String,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// A setting of a worker is not valid.
    #[error("the worker cannot run: {0}")]
    InvalidWorker(String),
    /// Another worker has connected under the same name.
    #[error("another worker has connected under the name {0}")]
    Replaced(String),
    /// The server, which was in this process, has stopped. It may have carried out a request that had no answer yet.
    #[error("the server in this process has stopped")]
    ServerStopped,
    /// A handler asked for the server of its job in a test that has none.
    #[error("this job has no server, because its context was made for a test")]
    NoServer,
}

impl ClientError {
    /// A short name for the error: the server's code (`docs/errors.md`), or one of `invalid_address`, `invalid_token`,
    /// `setup_failed`, `unreachable`, `invalid_answer`, `invalid_payload`, `still_running`, `not_completed`,
    /// `wrong_type`, `invalid_worker`, `replaced`, `server_stopped` and `no_server`.
    pub fn code(&self) -> &str {
        match self {
            ClientError::InvalidAddress(_) => "invalid_address",
            ClientError::InvalidToken => "invalid_token",
            ClientError::Setup(_) => "setup_failed",
            ClientError::Unreachable { .. } => "unreachable",
            ClientError::Refused(problem) => &problem.code,
            ClientError::InvalidAnswer(_) => "invalid_answer",
            ClientError::InvalidPayload(_) => "invalid_payload",
            ClientError::StillRunning(_) => "still_running",
            ClientError::NotCompleted(_) => "not_completed",
            ClientError::WrongType { .. } => "wrong_type",
            ClientError::InvalidWorker(_) => "invalid_worker",
            ClientError::Replaced(_) => "replaced",
            ClientError::ServerStopped => "server_stopped",
            ClientError::NoServer => "no_server",
        }
    }

    /// What the server said when it refused the request.
    pub fn problem(&self) -> Option<&ServerProblem> {
        match self {
            ClientError::Refused(problem) => Some(problem),
            ClientError::InvalidAddress(_)
            | ClientError::InvalidToken
            | ClientError::Setup(_)
            | ClientError::Unreachable { .. }
            | ClientError::InvalidAnswer(_)
            | ClientError::InvalidPayload(_)
            | ClientError::StillRunning(_)
            | ClientError::NotCompleted(_)
            | ClientError::WrongType { .. }
            | ClientError::InvalidWorker(_)
            | ClientError::Replaced(_)
            | ClientError::ServerStopped
            | ClientError::NoServer => None,
        }
    }

    /// The connection failed, or the answer did not arrive.
    pub(super) fn unreachable(error: impl Error + Send + Sync + 'static) -> ClientError {
        ClientError::Unreachable { why: causes(&error), source: Some(Box::new(error)) }
    }

    /// The connection ended for a reason that no library reported.
    pub(super) fn broken(why: impl Into<String>) -> ClientError {
        ClientError::Unreachable { why: why.into(), source: None }
    }

    /// How long the server wants its clients to wait; zero if it did not say.
    pub(super) fn retry_after(&self) -> Duration {
        self.problem().and_then(|problem| problem.retry_after).unwrap_or_default()
    }

    /// Whether the server refused who asked, and not what was asked.
    pub(super) fn is_access_refused(&self) -> bool {
        self.problem().is_some_and(|problem| {
            matches!(problem.status, 401 | 403)
                || matches!(&*problem.code, "unauthorized" | "forbidden")
        })
    }

    /// Whether something in the message itself is wrong. After any other refusal, such as `store_unavailable`, the same
    /// message may succeed later.
    pub(super) fn is_content_refused(&self) -> bool {
        self.problem().is_some_and(|problem| match problem.status {
            0 => REFUSED_CONTENT.contains(&&*problem.code),
            status => matches!(status, 413 | 422),
        })
    }

    /// Whether the refusal will not go away by itself, so that a worker that has never been connected gives up.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            ClientError::Refused(problem) => match problem.status {
                0 => problem.code != "draining",
                408 | 429 => false,
                status => status < 500,
            },
            ClientError::Unreachable { why, .. } => why.contains("invalid peer certificate"),
            ClientError::InvalidAnswer(_) => false,
            ClientError::InvalidAddress(_)
            | ClientError::InvalidToken
            | ClientError::Setup(_)
            | ClientError::InvalidPayload(_)
            | ClientError::StillRunning(_)
            | ClientError::NotCompleted(_)
            | ClientError::WrongType { .. }
            | ClientError::InvalidWorker(_)
            | ClientError::Replaced(_)
            | ClientError::ServerStopped
            | ClientError::NoServer => true,
        }
    }
}

/// A problem document of the server: why it refused a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerProblem {
    /// The status of the response; 0 if a message on a WebSocket was refused.
    pub status: u16,
    /// The stable name of the problem, such as `invalid_fields`; `http_502` and the like if the answer did not come from
    /// Cortado.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
    /// The fields that are wrong.
    pub errors: Vec<ProblemField>,
    /// How long to wait before the next attempt (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// A field that the server refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProblemField {
    /// The path of the field, such as `backoff.base_ms`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ServerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused the request ({}): {}", self.code, self.detail)
    }
}

impl Error for ServerProblem {}

/// The codes of errors on a WebSocket that are about the content of a message.
const REFUSED_CONTENT: [&str; 6] = [
    "body_too_large",
    "invalid_fields",
    "json_too_deep",
    "json_too_many_values",
    "malformed_message",
    "payload_too_large",
];

/// The longest beginning of an unknown answer that an error quotes.
const MAX_QUOTE: usize = 200;

impl ServerProblem {
    /// Reads a response that is not a success.
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> ServerProblem {
        #[derive(Deserialize)]
        struct Body {
            code: String,
            detail: Option<String>,
            title: Option<String>,
            #[serde(default)]
            errors: Vec<ProblemField>,
        }
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { code, detail, title, errors }) => {
                let detail = detail.or(title).unwrap_or_else(|| code.clone());
                ServerProblem { status, code, detail, errors, retry_after }
            }
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let quote: String = text.trim().chars().take(MAX_QUOTE).collect();
                let detail = if quote.is_empty() { format!("status {status}") } else { quote };
                let code = format!("http_{status}");
                ServerProblem { status, code, detail, errors: Vec::new(), retry_after }
            }
        }
    }

    /// A message on a WebSocket was refused, maybe because of one of its fields.
    pub(super) fn of_message(code: &str, field: Option<&str>, detail: String) -> ServerProblem {
        let of_field = |field: &str| ProblemField { field: field.into(), message: detail.clone() };
        let errors = field.map(of_field).into_iter().collect();
        ServerProblem { status: 0, code: code.to_owned(), detail, errors, retry_after: None }
    }
}

/// Why a job has no result.
fn no_result(job: &JobInfo) -> String {
    match &job.error {
        Some(failure) => format!("it is {}, {}: {}", job.state, failure.class, failure.message),
        None => format!("it is {}", job.state),
    }
}

/// Formats an error with its causes on one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
