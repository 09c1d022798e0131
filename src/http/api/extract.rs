//! Extracts bodies and path parameters from requests. Every rejection is a problem document; clients never see the
//! plain-text rejections of axum.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::engine::run_blocking;
use crate::http::layers::request_body::too_long;
use crate::http::{Api, Problem};
use crate::job::{JobId, Object, QueueName, ScheduleName};

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
            Ok(Err(_)) => {
                let detail = "the body ended early, or its chunks are malformed";
                Err(Problem::new(StatusCode::BAD_REQUEST, "broken_body", detail))
            }
            Err(_) => {
                let detail = format!("the request body did not arrive within {within:?}");
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
            }
        }
    }
}

/// Parses an object. Malformed JSON is answered with 400, JSON of another shape with 422 and `code`.
pub fn parse<T: DeserializeOwned>(body: &[u8], code: &'static str) -> Result<T, Problem> {
    parse_any::<Object<T>>(body, code).map(|object| object.0)
}

/// Parses an array of objects.
pub fn parse_many<T: DeserializeOwned>(body: &[u8], code: &'static str) -> Result<Vec<T>, Problem> {
    let objects: Vec<Object<T>> = parse_any(body, code)?;
    Ok(objects.into_iter().map(|object| object.0).collect())
}

fn parse_any<T: DeserializeOwned>(body: &[u8], code: &'static str) -> Result<T, Problem> {
    let parsed = run_blocking(body.len(), || serde_json::from_slice(body));
    parsed.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string())
        }
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => {
            Problem::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string())
        }
    })
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

/// The queue name in the path.
pub struct PathQueue(pub QueueName);

impl FromRequestParts<Api> for PathQueue {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = path_param(parts, api).await?;
        let queue = QueueName::parse(&text);
        queue.map(PathQueue).map_err(|error| Problem::invalid_parameter(error.to_string()))
    }
}

/// The schedule name in the path.
pub struct PathSchedule(pub ScheduleName);

impl FromRequestParts<Api> for PathSchedule {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = path_param(parts, api).await?;
        let name = ScheduleName::parse(&text);
        name.map(PathSchedule).map_err(|error| Problem::invalid_parameter(error.to_string()))
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

/// The address of the client. In a server that does not provide it, it is unspecified (`0.0.0.0`), and no limit of an
/// address applies.
pub struct ClientAddress(pub SocketAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0);
        Ok(ClientAddress(known.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())))
    }
}

/// The path parameter of the route; no route has more than one.
async fn path_param(parts: &mut Parts, api: &Api) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, api).await;
    let params = params
        .map_err(|_| Problem::invalid_parameter("the path is not valid UTF-8 when decoded"))?;
    Ok(params.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default())
}
