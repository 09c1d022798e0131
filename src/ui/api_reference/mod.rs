//! The page that makes the OpenAPI document readable: every operation with its parameters, examples as commands, answers
//! and errors, and every schema.

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use self::reference::{ApiOperation, ApiReference, REFERENCE};
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::curl::{CurlTarget, JSON_HEADER, quoted};
use super::parts::unknown_parameters::{ignored, note_unknown};
use crate::engine::Engine;
use crate::http::layers::base_path::Address;

mod reference;

#[derive(Template)]
#[template(path = "api_reference.html")]
struct ApiPage {
    layout: Layout,
    reference: &'static ApiReference,
    target: CurlTarget,
    ignored: Option<String>,
}

impl ApiPage {
    /// The command of an operation, with a body or without one.
    fn curl(&self, operation: &ApiOperation, body: Option<&String>) -> String {
        let mut command = "curl".to_owned();
        if operation.method != "GET" {
            command += &format!(" -X {}", operation.method);
        }
        command += &format!(" {}", self.target.url(&operation.example_path));
        if operation.needs_credentials {
            command += self.target.token_header();
        }
        match body {
            Some(body) => command + &format!("{JSON_HEADER} \\\n  -d {}", quoted(body)),
            None => command,
        }
    }
}

/// `GET /api`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    address: Address,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let mut unknown = Vec::new();
    for (name, _) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        note_unknown(&mut unknown, &name);
    }
    let target = CurlTarget::of(&headers, &address, visit.principal());
    let layout = Layout::still(&visit, "API", Section::Api, engine.now());
    let reference = &*REFERENCE;
    page(StatusCode::OK, &ApiPage { layout, reference, target, ignored: ignored(&unknown) })
}
