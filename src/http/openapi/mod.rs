//! The OpenAPI document of the API, generated from the tables of the code: `GET /api/openapi.json`. Each topic describes
//! its operations and schemas; tests compare them with the router and validate what a server answers.

use std::sync::LazyLock;

use axum::response::Response;
use utoipa::openapi::path::{PathItem, PathsBuilder};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApiBuilder};

use super::json::json_of;
use super::view::to_json;
use crate::http::api::extract::NoQuery;
use crate::http::layers::base_path::Address;

mod access;
mod bulk;
pub mod errors;
pub mod examples;
mod job_schemas;
mod jobs;
mod kinds;
pub mod messages;
mod operation;
mod queues;
mod schedules;
mod schema;
mod schemas;
mod server;
mod stream;
mod worker_schemas;
mod workers;

const ABOUT: &str = "Cortado is a durable job server. Every answer has an `x-request-id`. Every error is a problem document \
(RFC 9457) with a stable `code`; an error means that nothing was changed, except for `timed_out` and `internal`. A server \
without users and tokens on a loopback address needs no credentials. Later versions may add members to answers and types to \
events: ignore those that you do not know. The pages in `docs` describe everything at length.";

/// A group of operations.
struct ApiTopic {
    name: &'static str,
    about: &'static str,
    endpoints: Vec<operation::Endpoint>,
}

/// All operations, by topic.
fn topics() -> Vec<ApiTopic> {
    let topic = |name, about, endpoints| ApiTopic { name, about, endpoints };
    vec![
        topic("Jobs", "Submit, find, read and change jobs.", jobs::endpoints()),
        topic("Bulk runs", "Act on many jobs at once.", bulk::endpoints()),
        topic(
            "Queues",
            "Pause queues, and limit how much and how fast they run.",
            queues::endpoints(),
        ),
        topic("Schedules", "Enqueue jobs at recurring times.", schedules::endpoints()),
        topic("Kinds", "What jobs do, and which payloads they take.", kinds::endpoints()),
        topic("Failures", "Failed jobs, grouped by their errors.", kinds::failures()),
        topic("Workers", "Run jobs in other processes.", workers::endpoints()),
        topic("Events", "Follow everything that happens.", stream::endpoints()),
        topic("Figures", "Counters, metrics and nodes.", server::figures()),
        topic("Access", "Users, tokens, sessions and share links.", access::endpoints()),
        topic("Shared", "What a share link opens.", access::shared()),
        topic("Server", "Health checks and exports.", server::endpoints()),
        topic("Documents", "What the API and its messages look like.", server::documents()),
    ]
}

/// The document as JSON, without the address of the server.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| to_json(&document()));

/// The document as JSON, without the address of the server.
pub fn text() -> &'static str {
    &DOCUMENT
}

fn document() -> utoipa::openapi::OpenApi {
    let mut paths = PathsBuilder::new().build();
    let mut tags = Vec::new();
    for ApiTopic { name, about, endpoints } in topics() {
        tags.push(TagBuilder::new().name(name).description(Some(about)).build());
        for endpoint in endpoints {
            let (path, method) = (endpoint.path, endpoint.http_method());
            let item = PathItem::new(method, endpoint.into_operation(name));
            match paths.paths.get_mut(path) {
                Some(known) => known.merge_operations(item),
                None => drop(paths.paths.insert(path.to_owned(), item)),
            }
        }
    }
    let license =
        LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Cortado")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    let ways = ["bearer", "basic", "session"];
    let mut security: Vec<SecurityRequirement> =
        ways.map(|way| SecurityRequirement::new(way, Vec::<String>::new())).into();
    // On a server that needs no credentials.
    security.push(SecurityRequirement::default());
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components().build()))
        .tags(Some(tags))
        .security(Some(security))
        .build()
}

fn components() -> ComponentsBuilder {
    let http = |scheme, text: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build())
    };
    let cookie = ApiKeyValue::with_description(
        "cortado-session-*",
        "The cookie of a login on the pages. Its name ends with a part that differs from server to server.",
    );
    let mut components = ComponentsBuilder::new()
        .security_scheme("bearer", http(HttpAuthScheme::Bearer, "A token: `cortado_…`."))
        .security_scheme(
            "basic",
            http(HttpAuthScheme::Basic, "A user with a password, or any name with a token."),
        )
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    for (name, response) in operation::common_problems() {
        components = components.response(name, response);
    }
    for (name, schema) in schemas::schemas() {
        components = components.schema(name, schema);
    }
    components
}

/// `GET /api/openapi.json`
pub async fn get(address: Address, _: NoQuery) -> Response {
    let base = address.url("");
    let server = if base == "/" { "/" } else { base.trim_end_matches('/') };
    let document = text().trim_start_matches('{');
    json_of(format!(r#"{{"servers":[{{"url":{}}}],{document}"#, to_json(&server)))
}

/// `GET /api/asyncapi.json`
pub async fn get_messages(_: NoQuery) -> Response {
    json_of(messages::text_of_document().to_owned())
}
