//! Extracts bodies and path parameters from requests. Every rejection is a problem document; clients never see the
//! plain-text rejections of axum.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;

use super::query;
use crate::engine::run_blocking;
use crate::http::layers::request_body::too_long;
use crate::http::{Api, Problem};
use crate::job::{FieldErrors, Fields, JobId, QueueName, ScheduleName};

/// A JSON body as bytes. Its content type has been checked, and it is within the limits of length, depth and values.
pub struct JsonBody(pub Bytes);

impl FromRequest<Api> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let (within, limit) = (api.limits.body_timeout, api.limits.max_body);
        match tokio::time::timeout(within, Bytes::from_request(request, api)).await {
            Ok(Ok(bytes)) => {
                let checked = run_blocking(bytes.len(), || api.limits.json.check_body(&bytes));
                checked.map_err(|(at, why)| Problem::too_complex(at, why))?;
                Ok(JsonBody(bytes))
            }
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(too_long(limit))
            }
            Ok(Err(rejection)) => {
                let detail = rejection.body_text();
                Err(Problem::new(StatusCode::BAD_REQUEST, "broken_body", detail))
            }
            Err(_) => {
                let detail = format!("the request body did not arrive within {within:?}");
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
            }
        }
    }
}

/// Returns the one JSON value in a body as text. Malformed JSON is answered with 400; the caller reads the value.
pub fn json_text(body: &[u8]) -> Result<&str, Problem> {
    let malformed =
        |detail: String| Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail);
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed(format!("the body is not valid UTF-8: see byte {}", error.valid_up_to()))
    })?;
    match run_blocking(body.len(), || serde_json::from_str::<&RawValue>(text)) {
        Ok(value) => Ok(value.get()),
        Err(_) if text.trim().is_empty() => Err(malformed("the body is empty".into())),
        Err(error) if error.is_eof() => {
            Err(malformed("the body ends before its JSON is complete".into()))
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(malformed(format!("the body is not valid JSON: see line {line}, column {column}")))
        }
    }
}

/// Reads the fields of an object in a body. Everything that is wrong with them is answered with 422.
pub fn read_fields<T>(
    body: &[u8],
    read: impl FnOnce(&mut Fields<'_>, &mut FieldErrors) -> T,
) -> Result<T, Problem> {
    let text = json_text(body)?;
    let mut errors = FieldErrors::default();
    let value = Fields::read("", text, &mut errors).map(|mut fields| {
        let value = read(&mut fields, &mut errors);
        fields.finish(&mut errors);
        value
    });
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        Some(_) | None => Err(Problem::invalid_fields(errors.into_errors())),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = match given {
        Some(given) => format!("expected content-type application/json, not {given:?}"),
        None => "expected content-type application/json".to_owned(),
    };
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", detail))
}

/// The job id in the path. A malformed id is answered with 404, as there is no such job.
pub struct PathId(pub JobId);

impl FromRequestParts<Api> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = path_param(parts, api).await?;
        text.parse().map(PathId).map_err(|_| Problem::no_such_job(&format!("{text:?}")))
    }
}

/// The queue name in the path. A path cannot hold `.` and `..`, which older versions accepted as names, so a `~` before
/// a name is ignored: `~..` is the queue `..`.
pub struct PathQueue(pub QueueName);

impl FromRequestParts<Api> for PathQueue {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = path_param(parts, api).await?;
        let name = without_escape(&text);
        let invalid = match QueueName::parse(name) {
            Ok(queue) => return Ok(PathQueue(queue)),
            Err(invalid) => invalid,
        };
        if let Ok(queue) = QueueName::stored(name)
            && api.engine.stats().await?.queues.contains_key(&queue)
        {
            return Ok(PathQueue(queue));
        }
        Err(Problem::invalid_parameter(invalid.to_string()))
    }
}

/// The schedule name in the path, which may have a `~` in front, too.
pub struct PathSchedule(pub ScheduleName);

impl FromRequestParts<Api> for PathSchedule {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = path_param(parts, api).await?;
        let name = without_escape(&text);
        let invalid = match ScheduleName::parse(name) {
            Ok(name) => return Ok(PathSchedule(name)),
            Err(invalid) => invalid,
        };
        if let Ok(name) = ScheduleName::stored(name)
            && api.engine.schedules().await?.0.iter().any(|stored| stored.name == name)
        {
            return Ok(PathSchedule(name));
        }
        Err(Problem::invalid_parameter(invalid.to_string()))
    }
}

/// The name in a segment of a path.
pub fn without_escape(segment: &str) -> &str {
    segment.strip_prefix('~').unwrap_or(segment)
}

/// Refuses every query parameter: a misspelled or misplaced one must not be ignored.
pub struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        query::no_query(parts.uri.query()).map(|()| NoQuery)
    }
}

/// The path parameter of the route; no route has more than one.
async fn path_param(parts: &mut Parts, api: &Api) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, api).await;
    let params = params.map_err(|error| Problem::invalid_parameter(error.body_text()))?;
    Ok(params.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default())
}
