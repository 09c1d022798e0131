//! The page that makes the OpenAPI document readable: every operation with its parameters, examples as commands, answers
//! and errors, and every schema.

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use self::reference::{ApiOperation, ApiReference, REFERENCE};
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::curl::quoted;
use super::parts::unknown_parameters::{ignored, note_unknown};
use crate::engine::Engine;
use crate::http::layers::base_path::Address;

mod reference;

#[derive(Template)]
#[template(path = "api_reference.html")]
struct ApiPage {
    layout: Layout,
    reference: &'static ApiReference,
    commands: CommandTarget,
    ignored: Option<String>,
}

/// Where the commands on the page send their requests.
struct CommandTarget {
    /// The address of the server, as the reader reaches it, without a slash at its end.
    origin: String,
    /// Whether the reader had to log in, so that commands need a token.
    needs_token: bool,
}

impl CommandTarget {
    fn of(headers: &HeaderMap, address: &Address, visit: &Visit) -> CommandTarget {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or("127.0.0.1:8080");
        let (scheme, base) = (address.scheme().as_str(), address.url(""));
        let origin = format!("{scheme}://{host}{}", base.trim_end_matches('/'));
        CommandTarget { origin, needs_token: visit.principal().is_some() }
    }

    /// The command of an operation, with a body or without one.
    fn curl(&self, operation: &ApiOperation, body: Option<&String>) -> String {
        let mut command = "curl".to_owned();
        if operation.method != "GET" {
            command += &format!(" -X {}", operation.method);
        }
        command += &format!(" {}", quoted(&format!("{}{}", self.origin, operation.example_path)));
        if self.needs_token && operation.needs_credentials {
            // Double quotes let the shell insert its variable, so that the secret is on no page.
            command += " \\\n  -H \"authorization: Bearer $CORTADO_AUTH_TOKEN\"";
        }
        match body {
            Some(body) => {
                command
                    + &format!(
                        " \\\n  -H 'content-type: application/json' \\\n  -d {}",
                        quoted(body)
                    )
            }
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
    let commands = CommandTarget::of(&headers, &address, &visit);
    let layout = Layout::still(&visit, "API", Section::Api, engine.now());
    let reference = &*REFERENCE;
    page(StatusCode::OK, &ApiPage { layout, reference, commands, ignored: ignored(&unknown) })
}
