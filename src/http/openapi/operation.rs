//! One operation of the API: what it is called, what it takes, and how it may be answered. What all operations have in
//! common is added here, and the role that an operation needs is that of the table of routes.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{
    Operation, OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, Header, HttpMethod, Ref, RefOr, Required, Response, ResponseBuilder,
};

use super::errors::{self, code};
use super::schema::{ApiSchema, about, integer, some};
use crate::http::access::need::{Need, Restricted};
use crate::http::access::routes::{ROUTES, RouteRule};
use crate::job::IntegerRange;

/// The media type of most requests and answers.
pub const JSON: &str = "application/json";

/// A request that the tests send, and that the page shows as a command.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Its name in the document.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Its body.
    pub body: &'static str,
}

/// One operation.
pub struct Endpoint {
    /// The method.
    pub method: &'static str,
    /// The path as the router has it.
    pub path: &'static str,
    /// The name by which generated clients call it.
    pub id: &'static str,
    summary: &'static str,
    about: String,
    parameters: Vec<ParameterBuilder>,
    body: Option<(ApiSchema, &'static [Example])>,
    answers: BTreeMap<u16, ResponseBuilder>,
    codes: Vec<&'static str>,
}

impl Endpoint {
    /// An operation that is answered with problems only, until answers are added.
    pub fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Endpoint {
        Endpoint {
            method,
            path,
            id,
            summary,
            about: String::new(),
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            codes: errors::EVERYWHERE.to_vec(),
        }
    }

    /// Describes it.
    pub fn about(self, text: &str) -> Endpoint {
        Endpoint { about: text.to_owned(), ..self }
    }

    /// Adds the parameter in the path.
    pub fn segment(self, name: &str, shape: ApiSchema, example: &str, text: &str) -> Endpoint {
        let parameter = parameter(name, ParameterIn::Path, shape, text);
        self.with(parameter.required(Required::True).example(Some(example.into())))
    }

    /// Adds a parameter of the query.
    pub fn query(self, name: &str, shape: ApiSchema, text: &str) -> Endpoint {
        self.with(parameter(name, ParameterIn::Query, shape, text))
    }

    /// Adds a parameter of the query that takes several values, repeated or with commas.
    pub fn queries(self, name: &str, items: ApiSchema, text: &str) -> Endpoint {
        let parameter = parameter(name, ParameterIn::Query, some(items), text);
        self.with(parameter.style(Some(ParameterStyle::Form)).explode(Some(false)))
    }

    /// Adds `limit`.
    pub fn limit(self, most: usize, usual: usize) -> Endpoint {
        let range = IntegerRange::new(1, i64::try_from(most).unwrap_or(i64::MAX));
        self.query("limit", integer(range), &format!("The most items, by default {usual}."))
    }

    /// Adds a header of the request.
    pub fn header(self, name: &str, shape: ApiSchema, text: &str) -> Endpoint {
        self.with(parameter(name, ParameterIn::Header, shape, text))
    }

    fn with(mut self, parameter: ParameterBuilder) -> Endpoint {
        self.parameters.push(parameter);
        self
    }

    /// Adds the body that it takes.
    pub fn body(self, shape: ApiSchema, examples: &'static [Example]) -> Endpoint {
        Endpoint { body: Some((shape, examples)), ..self }.may_fail(errors::WITH_BODY)
    }

    /// Says that it changes something and takes no fields.
    pub fn without_fields(self) -> Endpoint {
        self.may_fail(errors::WITHOUT_FIELDS)
    }

    /// Adds an answer in JSON.
    pub fn answer(self, status: u16, text: &str, shape: ApiSchema) -> Endpoint {
        self.answer_as(status, JSON, text, shape)
    }

    /// Adds an answer of another media type, beside those of the same status.
    pub fn answer_as(mut self, status: u16, media: &str, text: &str, shape: ApiSchema) -> Endpoint {
        let content = ContentBuilder::new().schema(Some(shape)).build();
        let known = self.answers.remove(&status).unwrap_or_default().description(text);
        self.answers.insert(status, known.content(media, content));
        self
    }

    /// Adds an answer without a body.
    pub fn answer_empty(mut self, status: u16, text: &str) -> Endpoint {
        self.answers.insert(status, ResponseBuilder::new().description(text));
        self
    }

    /// Says that an answer has the address of what was created.
    pub fn locating(mut self, status: u16) -> Endpoint {
        if let Some(answer) = self.answers.remove(&status) {
            let mut header = Header::new(super::schema::text());
            header.description = Some("The address of what was created.".to_owned());
            self.answers.insert(status, answer.header("Location", header));
        }
        self
    }

    /// Says that operations take a member of an answer, such as `/id`, as their parameter.
    pub fn linked(mut self, status: u16, member: &str, parameter: &str, ids: &[&str]) -> Endpoint {
        if let Some(answer) = self.answers.remove(&status) {
            let link = |id: &str| {
                let link = LinkBuilder::new().operation_id(id);
                link.parameter(parameter, format!("$response.body#{member}")).build()
            };
            let linked = ids.iter().fold(answer, |answer, id| answer.link(*id, link(id)));
            self.answers.insert(status, linked);
        }
        self
    }

    /// Adds codes with which it may be refused.
    pub fn may_fail(mut self, codes: &[&'static str]) -> Endpoint {
        self.codes.extend(codes);
        self
    }

    /// The rule of its route. An operation without a route is refused by no rule, and a test finds it.
    fn rule(&self) -> RouteRule {
        let mut rules = ROUTES.iter();
        let found = rules.find(|rule| (rule.method, rule.path) == (self.method, self.path));
        found.copied().unwrap_or(RouteRule {
            method: self.method,
            path: self.path,
            need: Need::Everybody,
            restricted: Restricted::Allowed,
        })
    }

    /// The method as utoipa has it.
    pub fn http_method(&self) -> HttpMethod {
        match self.method {
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        }
    }

    /// The operation in the document.
    pub fn into_operation(self, tag: &str) -> Operation {
        let rule = self.rule();
        let Endpoint { id, summary, mut about, parameters, body, answers, mut codes, .. } = self;
        if !about.is_empty() {
            about.push_str("\n\n");
        }
        about.push_str(&needed(rule));
        let extensions = ExtensionsBuilder::new()
            .add("x-role", rule.need.to_string())
            .add("x-restricted-tokens", rule.restricted.to_string())
            .build();
        let mut operation = OperationBuilder::new()
            .tag(tag)
            .operation_id(Some(id))
            .summary(Some(summary))
            .description(Some(about))
            .extensions(Some(extensions));
        match rule.need {
            Need::Everybody | Need::ShareLink => {
                // An empty list: whatever the document says in general, this needs no credentials.
                operation = operation.securities(Some(Vec::<SecurityRequirement>::new()));
            }
            Need::AnyRole | Need::Role(_) => codes.extend(errors::WITH_CREDENTIALS),
        }
        if rule.need == Need::ShareLink {
            codes.push("no_such_link");
        }
        for parameter in parameters {
            operation = operation.parameter(parameter);
        }
        if let Some((shape, examples)) = body {
            let examples = examples.iter().map(|example| {
                let value = serde_json::from_str(example.body).unwrap_or(Value::Null);
                let view = ExampleBuilder::new().summary(example.summary).value(Some(value));
                (example.name, view)
            });
            let content = ContentBuilder::new().schema(Some(shape)).examples_from_iter(examples);
            let body = RequestBodyBuilder::new().content(JSON, content.build());
            operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
        }
        for (status, answer) in answers {
            operation = operation.response(status.to_string(), answer);
        }
        for (status, answer) in problems(&codes) {
            operation = operation.response(status.to_string(), answer);
        }
        operation.build()
    }
}

fn parameter(name: &str, place: ParameterIn, shape: ApiSchema, text: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(text))
        .schema(Some(shape))
}

/// Who may use it, in a sentence.
fn needed(rule: RouteRule) -> String {
    let restricted = match rule.restricted {
        Restricted::Allowed => "",
        Restricted::Refused => " Tokens that are restricted to queues or kinds are refused.",
    };
    match rule.need {
        Need::Everybody => "Needs no credentials.".to_owned(),
        Need::ShareLink => "The share link in the path is the credential.".to_owned(),
        Need::AnyRole => format!("Needs credentials with any role.{restricted}"),
        Need::Role(role) => format!("Needs the role `{role}`.{restricted}"),
    }
}

/// The codes by their statuses.
fn by_status(codes: &[&'static str]) -> BTreeMap<u16, Vec<&'static str>> {
    let mut all: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for known in codes.iter().map(|name| code(name)) {
        for status in known.statuses {
            let list = all.entry(*status).or_default();
            if !list.contains(&known.code) {
                list.push(known.code);
            }
        }
    }
    all.values_mut().for_each(|list| list.sort_unstable());
    all
}

/// The problems with these codes, one answer for each status. Those that all operations have are named, so that the
/// document stays short.
fn problems(codes: &[&'static str]) -> Vec<(u16, RefOr<Response>)> {
    let common = by_status(errors::EVERYWHERE);
    let answer = |(status, codes): (u16, Vec<&'static str>)| {
        let answer = if common.get(&status) == Some(&codes) {
            Ref::from_response_name(format!("Problem{status}")).into()
        } else {
            problem(status, &codes).into()
        };
        (status, answer)
    };
    by_status(codes).into_iter().map(answer).collect()
}

/// The answers that all operations have, by their names in the components.
pub fn common_problems() -> impl Iterator<Item = (String, Response)> {
    let common = by_status(errors::EVERYWHERE).into_iter();
    common.map(|(status, codes)| (format!("Problem{status}"), problem(status, &codes)))
}

/// The answer with one of these codes.
fn problem(status: u16, codes: &[&'static str]) -> Response {
    let mut known = codes.iter().map(|name| code(name));
    let listed: Vec<String> = codes.iter().map(|name| format!("`{name}`")).collect();
    let content = ContentBuilder::new().schema(Some(errors::shape(status, codes)));
    let mut answer = ResponseBuilder::new()
        .description(format!("One of the codes {}.", listed.join(", ")))
        .content(errors::MEDIA_TYPE, content.build());
    if known.any(|known| known.retries) {
        let seconds = integer(IntegerRange::at_least(0));
        let text = "The number of seconds after which the request may be repeated.";
        answer = answer.header("Retry-After", Header::new(about(seconds, text)));
    }
    if status == 401 {
        let scheme = about(super::schema::text(), "The credentials that are accepted.");
        answer = answer.header("WWW-Authenticate", Header::new(scheme));
    }
    answer.build()
}
