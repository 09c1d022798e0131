//! Problem details (RFC 9457), the form of every error response, with a stable `code`.
//! This file maps each error of the engine to a status and a code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::engine::{
    BulkError, ControlError, DeclareKindError, EnqueueError, JobActionError, JobControlError,
    KindError, PayloadError, ReusedKey, ScheduleError, SetScheduleError, SubmitError,
    TooManyQueues,
};
use crate::job::schema::Violation;
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, MAX_NAME, shorten};
use crate::job::{FieldError, JobId, Kind, QueueName, ScheduleName, TooComplex};

/// An error response:
/// `{"type","title","status","detail","code","errors":[{"field","message"}]?}`.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    /// The delay in seconds after which a client may retry.
    retry_after: Option<u32>,
    /// The `WWW-Authenticate` header, if the response asks for credentials.
    challenge: Option<HeaderValue>,
}

/// One invalid field.
#[derive(Debug, Clone, Serialize)]
struct FieldProblem {
    /// The name of the field, such as `[3].kind` for the fourth job of a batch.
    field: String,
    message: String,
}

/// The JSON of a problem document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[FieldProblem]>::is_empty")]
    errors: &'a [FieldProblem],
}

impl Problem {
    /// Creates a problem with a status, a stable code and a description of this occurrence. The description is
    /// shortened, so that no response grows with what the request contained.
    pub fn new(status: StatusCode, code: &'static str, detail: impl AsRef<str>) -> Self {
        let detail = shorten(detail.as_ref(), MAX_MESSAGE);
        Problem { status, code, detail, errors: Vec::new(), retry_after: None, challenge: None }
    }

    /// The problem of a response that has only a status, because it does not come from this crate.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("no_such_path", "there is no such path"),
            StatusCode::METHOD_NOT_ALLOWED => return Problem::wrong_method(),
            StatusCode::REQUEST_TIMEOUT => {
                ("request_timeout", "the request did not arrive in time")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is too long"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("wrong_content_type", "the content type of the body is not supported")
            }
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "the server cannot respond now"),
            _ if status.is_server_error() => {
                ("internal", "the request failed inside the server; see the server's log")
            }
            _ => ("invalid_request", "the path, the query or the body of the request is not valid"),
        };
        Problem::new(status, code, detail)
    }

    /// The path does not support the method. The header `allow` lists those that it supports.
    pub fn wrong_method() -> Self {
        let detail = "this path does not support the method; the `allow` header lists those that it supports";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
    }

    /// Adds `Retry-After` (RFC 9110) with a delay in seconds.
    pub fn retry_after(self, seconds: u32) -> Self {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// Asks for credentials with `WWW-Authenticate` (RFC 9110).
    pub fn challenge(self, challenge: HeaderValue) -> Self {
        Problem { challenge: Some(challenge), ..self }
    }

    /// A payload or a document around it that is nested too deeply or has too many values; `at` is the index of the job
    /// in a batch.
    pub fn too_complex(at: Option<usize>, why: TooComplex) -> Self {
        let field = field_of_job(at, "payload");
        let detail = format!("the payload is invalid: {why}");
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why.code(), detail);
        problem.with_errors(std::iter::once((field, why.to_string())))
    }

    /// Adds the first errors, and the number of the others.
    fn with_errors(self, mut all: impl Iterator<Item = (String, String)>) -> Self {
        let listed = all.by_ref().take(MAX_ERRORS).map(|(field, message)| FieldProblem {
            field: shorten(&field, MAX_NAME),
            message: shorten(&message, MAX_MESSAGE),
        });
        let mut errors: Vec<FieldProblem> = listed.collect();
        let more = all.count();
        if more > 0 {
            let message = format!("and {more} more errors");
            errors.push(FieldProblem { field: String::new(), message });
        }
        Problem { errors, ..self }
    }

    /// The invalid fields of a body.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        Problem::of_fields(errors.into_iter().map(|error| (error.field.into(), error.message)))
    }

    /// There is no queue with this name.
    pub fn no_such_queue(name: &QueueName) -> Self {
        let detail = format!("no such queue: {name}");
        Problem::new(StatusCode::NOT_FOUND, "no_such_queue", detail)
    }

    /// There is no schedule with this name.
    pub fn no_such_schedule(name: &ScheduleName) -> Self {
        let detail = format!("no such schedule: {name}");
        Problem::new(StatusCode::NOT_FOUND, "no_such_schedule", detail)
    }

    /// There is no kind with this name.
    pub fn no_such_kind(kind: &Kind) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "no_such_kind", format!("no such kind: {kind}"))
    }

    /// The invalid fields of the jobs of a batch, with the index of each job.
    pub fn invalid_batch(errors: Vec<(usize, FieldError)>) -> Self {
        let errors = errors
            .into_iter()
            .map(|(at, error)| (field_of_job(Some(at), &error.field), error.message));
        Problem::of_fields(errors)
    }

    /// One invalid field of a body.
    pub fn invalid_field(field: &'static str, message: impl Into<String>) -> Self {
        Problem::of_fields(std::iter::once((field.to_owned(), message.into())))
    }

    /// The properties of a payload that violate the schema of its kind; `at` is the index of the job in a batch.
    fn invalid_payload(at: Option<usize>, wrong: &[Violation], detail: String) -> Self {
        let payload = field_of_job(at, "payload");
        let errors = wrong.iter().map(|one| {
            let dot = if one.field.is_empty() { "" } else { "." };
            (format!("{payload}{dot}{}", one.field), one.message.clone())
        });
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
        problem.with_errors(errors)
    }

    /// The detail repeats the first errors, for clients that show nothing else.
    fn of_fields(errors: impl Iterator<Item = (String, String)>) -> Self {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", "");
        problem.with_errors(errors).with_detail_of_errors()
    }

    fn with_detail_of_errors(self) -> Self {
        let words = self.errors.iter().map(|error| match error.field.as_str() {
            "" => error.message.clone(),
            field => format!("{field}: {}", error.message),
        });
        let detail = shorten(&words.collect::<Vec<String>>().join("; "), MAX_MESSAGE);
        Problem { detail, ..self }
    }

    /// There is no job with this id.
    pub fn no_such_job(id: &str) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "no_such_job", format!("no such job: {id}"))
    }

    /// Parameters of the query are invalid: their names, and what is wrong with each.
    pub fn invalid_parameters(errors: impl Iterator<Item = (String, String)>) -> Self {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", "");
        problem.with_errors(errors).with_detail_of_errors()
    }

    /// A parameter of the query or the path, or a field of a message, is invalid. The detail names it in its own words.
    pub fn invalid_parameter(name: &'static str, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref();
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail);
        problem.with_errors(std::iter::once((name.to_owned(), detail.to_owned())))
    }

    /// An action on a job was not carried out.
    pub fn job_action(id: JobId, error: JobActionError) -> Self {
        match error {
            JobActionError::Job(JobControlError::NotFound) => Problem::no_such_job(&id.to_string()),
            JobActionError::Job(JobControlError::Refused(refused)) => {
                Problem::new(StatusCode::CONFLICT, "not_allowed", refused.to_string())
            }
            JobActionError::Control(error) => error.into(),
        }
    }

    /// The address has reached its limit of connections.
    pub fn too_many_connections(held: usize) -> Self {
        let detail = format!("your address has {held} open connections, which is the limit");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail);
        problem.retry_after(10)
    }

    /// Too many wrong tokens or passwords were sent.
    pub fn too_many_failed_logins(seconds: u32) -> Self {
        let detail =
            format!("too many wrong tokens or passwords were sent; try again in {seconds} seconds");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failed_logins", detail);
        problem.retry_after(seconds)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The name of the first invalid field, if the problem is about fields.
    pub fn first_field(&self) -> Option<&str> {
        self.errors.first().map(|error| error.field.as_str())
    }

    /// The JSON of the problem (RFC 9457).
    pub(super) fn document(&self) -> Document<'_> {
        Document {
            r#type: format!("urn:cortado:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            errors: &self.errors,
        }
    }

    /// The description of this occurrence, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The name of a field of a job in an error: `payload`, or `[0].payload` in the first job of a batch.
fn field_of_job(at: Option<usize>, field: &str) -> String {
    match at {
        Some(at) if field.is_empty() => format!("[{at}]"),
        Some(at) => format!("[{at}].{field}"),
        None => field.to_owned(),
    }
}

impl From<TooManyQueues> for Problem {
    fn from(error: TooManyQueues) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_queues", error.to_string())
    }
}

impl From<PayloadError> for Problem {
    fn from(error: PayloadError) -> Self {
        let detail = error.to_string();
        let (status, code, at, field) = match error {
            PayloadError::UnknownKind { at, .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unknown_kind", at, "kind")
            }
            PayloadError::TooLarge { at, .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", at, "payload")
            }
            PayloadError::Invalid { at, wrong, .. } => {
                return Problem::invalid_payload(at, &wrong, detail);
            }
            PayloadError::TooComplex { at, why } => return Problem::too_complex(at, why),
        };
        let problem = Problem::new(status, code, &detail);
        problem.with_errors(std::iter::once((field_of_job(at, field), detail)))
    }
}

impl From<ReusedKey> for Problem {
    fn from(reused: ReusedKey) -> Self {
        let (field, detail) = (field_of_job(reused.at, "idempotency_key"), reused.to_string());
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = Problem::new(status, "idempotency_key_reused", &detail);
        problem.with_errors(std::iter::once((field, detail)))
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Payload(error) => error.into(),
            SubmitError::Enqueue(EnqueueError::Full { .. }) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Problem::new(status, "backlog_full", error.to_string()).retry_after(1)
            }
            SubmitError::Enqueue(EnqueueError::KeyReused(reused)) => reused.into(),
            SubmitError::Enqueue(EnqueueError::TooManyQueues(error)) => error.into(),
            SubmitError::Enqueue(EnqueueError::Store(error)) => error.into(),
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::TooManyQueues(error) => error.into(),
            ControlError::Store(error) => error.into(),
        }
    }
}

impl From<BulkError> for Problem {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::TooManyRuns { .. } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Problem::new(status, "too_many_bulk_runs", error.to_string()).retry_after(5)
            }
            BulkError::Store(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        let (status, code) = match error {
            ScheduleError::NotFound => (StatusCode::NOT_FOUND, "no_such_schedule"),
            ScheduleError::TooMany { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "too_many_schedules")
            }
            ScheduleError::Declared => (StatusCode::CONFLICT, "declared_schedule"),
            ScheduleError::Store(error) => return error.into(),
        };
        Problem::new(status, code, error.to_string())
    }
}

impl From<KindError> for Problem {
    fn from(error: KindError) -> Self {
        let (status, code) = match error {
            KindError::NotFound => (StatusCode::NOT_FOUND, "no_such_kind"),
            KindError::TooMany { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_kinds"),
            KindError::Store(error) => return error.into(),
        };
        Problem::new(status, code, error.to_string())
    }
}

impl From<DeclareKindError> for Problem {
    fn from(error: DeclareKindError) -> Self {
        let (status, code) = match error {
            DeclareKindError::BuiltIn => (StatusCode::CONFLICT, "built_in_kind"),
            DeclareKindError::Configured => (StatusCode::CONFLICT, "declared_kind"),
            DeclareKindError::Kind(error) => return error.into(),
        };
        Problem::new(status, code, error.to_string())
    }
}

impl From<SetScheduleError> for Problem {
    fn from(error: SetScheduleError) -> Self {
        match error {
            SetScheduleError::Payload(error) => error.into(),
            SetScheduleError::Schedule(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // 503 is not logged for each request: the store and the health checks report that state.
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = self.code, detail = self.detail, "a request failed");
        }
        let body = super::view::to_json(&self.document());
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = &self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if self.code == "wrong_content_encoding" {
            // The encodings that are accepted (RFC 9110 §15.5.16).
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // The protocol and the version to upgrade to (RFC 9110 §15.5.22, RFC 6455 §4.4).
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        // The pages render it for browsers.
        response.extensions_mut().insert(self);
        response
    }
}
