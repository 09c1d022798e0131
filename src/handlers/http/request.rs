//! The payload of an `http` job, and the request that is built from it.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::Signer;
use crate::handlers::guard::parse_url;
use crate::job::fields::text;
use crate::job::schema::Violation;
use crate::job::{FieldErrors, Fields, JobId, Json, Time};

/// The payload of an `http` job. Only `url` is required.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpPayload {
    /// The method; `POST` by default if there is a body, else `GET`.
    method: Option<String>,
    /// The URL.
    pub(super) url: String,
    /// Headers in addition to the default ones.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body. A string is sent as is, any other JSON as `application/json`.
    body: Option<Box<RawValue>>,
    /// The timeout of the whole request.
    pub(super) timeout_ms: Option<u64>,
}

/// Headers that frame the message or belong to the connection; only the client may set them.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

/// Builds the request, and signs it if `signing` is given.
///
/// # Errors
/// Which part of the payload cannot be sent.
pub(super) fn build(
    client: &Client,
    url: Url,
    payload: HttpPayload,
    signing: Option<(&Signer, JobId, Time)>,
) -> Result<Request, String> {
    let (body, content_type) = match &payload.body {
        None => (None, None),
        Some(raw) => match serde_json::from_str::<String>(raw.get()) {
            Ok(text) => (Some(text), Some("text/plain; charset=utf-8")),
            Err(_) => (Some(raw.get().to_owned()), Some("application/json")),
        },
    };
    let usual = if body.is_some() { Method::POST } else { Method::GET };
    let method = payload.method.as_deref().map_or(Ok(usual), method)?;
    let mut headers = headers(&payload.headers)?;
    if let Some(value) = content_type {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(value));
    }
    if let Some((signer, id, at)) = signing {
        signer.sign(&mut headers, id, at, body.as_deref().unwrap_or_default())?;
    }
    let mut request = client.request(method, url).headers(headers);
    if let Some(body) = body {
        request = request.body(body);
    }
    request.build().map_err(|error| format!("the request cannot be made: {error}"))
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes())
        .map_err(|_| format!("{text:?} is not an HTTP method"))?;
    if method == Method::CONNECT {
        return Err("the method CONNECT is not accepted: it opens a tunnel".to_owned());
    }
    Ok(method)
}

/// Most servers refuse more headers, and a map with tens of thousands cannot be built.
const MAX_HEADERS: usize = 100;

fn headers(wanted: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    if wanted.len() > MAX_HEADERS {
        return Err(too_many_headers(wanted.len()));
    }
    let mut headers = HeaderMap::with_capacity(wanted.len() + 4);
    for (name, value) in wanted {
        let (name, value) = header(name, value)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn too_many_headers(count: usize) -> String {
    format!("there are {count} headers; at most {MAX_HEADERS} are accepted")
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed: HeaderName = name.parse().map_err(|_| format!("{name:?} is not a header name"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(format!("the header {name:?} is set by the server itself"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| {
        format!("the value of header {name:?} has characters that are not allowed in headers")
    })?;
    Ok((parsed, value))
}

/// The reasons why no request could be built from a payload that matches the schema.
pub(super) fn check(payload: &Json) -> Vec<Violation> {
    let mut errors = FieldErrors::default();
    let Some(mut fields) = Fields::read("", payload.as_str(), &mut errors) else {
        return violations(errors);
    };
    if let Some(url) = fields.text("url", &mut errors) {
        errors.take("url", parse_url(&url));
    }
    if let Some(text) = fields.text("method", &mut errors) {
        errors.take("method", method(&text));
    }
    let headers = fields.object("headers", &mut errors).into_iter().flat_map(Fields::into_members);
    let headers: Vec<_> = headers.collect();
    if headers.len() > MAX_HEADERS {
        errors.add("headers", too_many_headers(headers.len()));
        return violations(errors);
    }
    for (name, value) in headers {
        let checked = text(value).and_then(|value| header(&name, &value));
        errors.take(format!("headers.{name}"), checked);
    }
    violations(errors)
}

fn violations(errors: FieldErrors) -> Vec<Violation> {
    let errors = errors.into_errors().into_iter();
    errors.map(|error| Violation { field: error.field.into(), message: error.message }).collect()
}
