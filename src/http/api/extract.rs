//! Extracts bodies and path parameters from requests. Every rejection is a problem document; clients never see the
//! plain-text rejections of axum.

use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;

use super::query;
use crate::engine::run_blocking;
use crate::http::layers::whole_body::{BodyLimits, whole_body};
use crate::http::{Api, Problem};
use crate::job::{FieldErrors, Fields, JobId, Kind, QueueName, ScheduleName, parse_value};

/// A JSON body as bytes. Its content type has been checked, and it is within the limits of length, depth and values.
pub struct JsonBody(pub Bytes);

impl FromRequest<Api> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let bytes = read_body(request, api).await?;
        let checked = run_blocking(bytes.len(), || api.limits.json.check_body(&bytes));
        checked.map_err(|(at, why)| Problem::too_complex(at, why))?;
        Ok(JsonBody(bytes))
    }
}

/// A JSON body as bytes, whose depth was not checked: its endpoint checks the parts that may be deep, so that one of them
/// does not spoil the others.
pub struct UncheckedJson(pub Bytes);

impl FromRequest<Api> for UncheckedJson {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        read_body(request, api).await.map(UncheckedJson)
    }
}

/// Refuses a body at an address that has no fields, because the client expects it to have an effect. An empty object and
/// `null`, which some clients always send, are accepted. Like every body, it must arrive completely.
pub struct NoBody;

impl FromRequest<Api> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(NoBody);
        }
        let bytes = read_body(request, api).await?;
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return Ok(NoBody);
        }
        let checked = run_blocking(bytes.len(), || api.limits.json.check_body(&bytes));
        checked.map_err(|(at, why)| Problem::too_complex(at, why))?;
        read_fields(&bytes, |_, _| NoBody)
    }
}

async fn read_body(request: Request, api: &Api) -> Result<Bytes, Problem> {
    whole_body(request, api, BodyLimits::new(&api.limits)).await
}

/// Returns the one JSON value in a body as text. Malformed JSON is answered with 400; the caller reads the value.
pub fn json_text(body: &[u8]) -> Result<&str, Problem> {
    let malformed =
        |detail: String| Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail);
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed(format!("the body is not valid UTF-8: see byte {}", error.valid_up_to()))
    })?;
    let value = run_blocking(body.len(), || parse_value("the body", text));
    value.map(RawValue::get).map_err(malformed)
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

/// Refuses a body that is not declared as JSON, or as text in another encoding than UTF-8 (RFC 8259 §8.1).
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let mut parts = given.unwrap_or_default().split(';').map(str::trim);
    let is_json =
        parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    if is_json && parts.all(is_utf8_or_no_charset) {
        return Ok(());
    }
    let detail = match given {
        Some(given) => format!("expected content-type application/json, not {given:?}"),
        None => "expected content-type application/json".to_owned(),
    };
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", detail))
}

/// Whether a parameter of a media type declares UTF-8, or declares no encoding.
fn is_utf8_or_no_charset(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        }
        Some(_) | None => true,
    }
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
        Err(Problem::invalid_parameter("queue", invalid.to_string()))
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
        Err(Problem::invalid_parameter("schedule", invalid.to_string()))
    }
}

/// The kind in the path, which may have a `~` in front, too.
pub struct PathKind(pub Kind);

impl FromRequestParts<Api> for PathKind {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = path_param(parts, api).await?;
        let kind = Kind::parse(without_escape(&text));
        kind.map(PathKind).map_err(|error| Problem::invalid_parameter("kind", error.to_string()))
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

/// How long to wait for the end of a job; zero without a query. It is read before the body, so that a client is not asked
/// for the body of a request that is refused.
pub struct WaitQuery(pub Duration);

impl<S: Sync> FromRequestParts<S> for WaitQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        query::wait_query(parts.uri.query()).map(WaitQuery)
    }
}

/// The id of a bulk run in the path, as it was sent.
pub struct PathBulkRun(pub String);

impl FromRequestParts<Api> for PathBulkRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        path_param(parts, api).await.map(PathBulkRun)
    }
}

/// The path parameter of the route; no route has more than one.
pub async fn path_param(parts: &mut Parts, api: &Api) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, api).await;
    let params = params.map_err(|_| {
        Problem::invalid_parameter("path", "the path is not valid UTF-8 when decoded")
    })?;
    Ok(params.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default())
}
