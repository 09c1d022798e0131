//! The documents of the API are compared with the code, and with what a server answers.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::support::{Answer, Server, Setup};
use super::team::{add_token, add_user, bearer};
use crate::http::openapi;
use crate::job::Role;

mod answers;
mod document;
mod examples;
mod messages;
mod texts;

/// The OpenAPI document.
fn document() -> Value {
    serde_json::from_str(openapi::text()).unwrap()
}

/// The members of an object, or none.
fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// All operations: method, path and the operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let of_path = |(path, item): (&str, &Value)| {
        let one = |(method, operation): (&str, &Value)| {
            (method.to_uppercase(), path.to_owned(), operation.clone())
        };
        members(item).map(one).collect::<Vec<_>>()
    };
    members(&document["paths"]).flat_map(of_path).collect()
}

/// The part that a reference names; the value itself if it is none.
fn resolved(document: &Value, value: &Value) -> Value {
    match value["$ref"].as_str() {
        Some(target) => {
            let part = document.pointer(target.strip_prefix('#').unwrap());
            part.unwrap_or_else(|| panic!("{target} does not exist")).clone()
        }
        None => value.clone(),
    }
}

/// The same schemas, but objects have no members that are not described. A schema in an `allOf` sees those of the others.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(strict).collect(),
        Value::Object(object) => {
            let of_member = |(name, value): (&String, &Value)| {
                let value = if name == "allOf" { value.clone() } else { strict(value) };
                (name.clone(), value)
            };
            let mut copy: Map<String, Value> = object.iter().map(of_member).collect();
            if object.get("properties").is_some_and(Value::is_object)
                && !object.contains_key("additionalProperties")
                && object.get("type").is_some_and(Value::is_string)
            {
                copy.insert("additionalProperties".into(), json!(false));
            }
            Value::Object(copy)
        }
        other => other.clone(),
    }
}

/// What is wrong with a value, by a schema that may refer to the components of a document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let schema =
        json!({"allOf": [schema], "components": {"schemas": document["components"]["schemas"]}});
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// A server whose answers are compared with the document.
struct Described {
    server: Server,
    document: Value,
    /// The document in which objects have no other members than those that are described.
    strict: Value,
    token: String,
    /// The operations that were answered, with the status.
    seen: RefCell<BTreeSet<(String, String, u16)>>,
}

impl Described {
    async fn start() -> Described {
        let server = Server::with(Setup::default()).await;
        add_user(&server.engine, "root", Role::Admin).await;
        let (_, token) = add_token(&server.engine, "tests", Role::Admin, |_| ()).await;
        let document = document();
        let strict = strict(&document);
        Described { server, document, strict, token, seen: RefCell::default() }
    }

    /// Sends a request with credentials, and compares the answer with the operation of the route.
    async fn call(&self, method: &str, route: &str, path: &str, body: &str) -> Answer {
        self.call_with(method, route, path, &[], body).await
    }

    async fn call_with(
        &self,
        method: &str,
        route: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let authorization = bearer(&self.token);
        let mut all = headers.to_vec();
        all.push(("authorization", &authorization));
        if !body.is_empty() {
            all.push(("content-type", "application/json"));
        }
        self.send(method, route, path, &all, body).await
    }

    /// Sends a request as it is, and compares the answer with the operation of the route.
    async fn send(
        &self,
        method: &str,
        route: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = self.server.send(method, path, headers, body).await;
        let operation = &self.strict["paths"][route][method.to_lowercase()];
        let described = &operation["responses"][answer.status.to_string()];
        let at = format!("{method} {path} {body}: {answer:?}");
        assert!(described.is_object(), "the status is not documented: {at}");
        let described = resolved(&self.strict, described);
        let media = answer.header("content-type").split(';').next().unwrap().to_owned();
        if let Some(contents) = described["content"].as_object() {
            let content = contents.get(&media);
            let content = content.unwrap_or_else(|| panic!("{media} is not documented: {at}"));
            if media.ends_with("/json") || media.ends_with("+json") {
                let wrong = faults(&self.strict, &content["schema"], &answer.json());
                assert!(wrong.is_empty(), "{wrong:#?}\n{at}");
                // A client has the document as it is.
                let operation = &self.document["paths"][route][method.to_lowercase()];
                let described = &operation["responses"][answer.status.to_string()];
                let described = resolved(&self.document, described);
                let wrong =
                    faults(&self.document, &described["content"][&media]["schema"], &answer.json());
                assert!(wrong.is_empty(), "{wrong:#?}\n{at}");
            }
        } else {
            assert!(answer.body.is_empty(), "no body is documented: {at}");
        }
        for name in ["retry-after", "location", "www-authenticate"] {
            let is_documented =
                members(&described["headers"]).any(|(known, _)| known.eq_ignore_ascii_case(name));
            let is_sent = answer.headers.contains_key(name);
            assert!(is_documented || !is_sent, "{name} is not documented: {at}");
        }
        self.seen.borrow_mut().insert((method.to_owned(), route.to_owned(), answer.status));
        answer
    }

    /// Submits a job, and returns its id.
    async fn job(&self, body: &str) -> String {
        let answer = self.call("POST", "/api/v1/jobs", "/api/v1/jobs", body).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Claims a new job as a worker, and returns its lease.
    async fn lease(&self) -> String {
        self.job(r#"{"kind":"resize","queue":"default","payload":{"url":"https://example.com/","width":1}}"#).await;
        let body = r#"{"kinds":["resize"],"queues":["default"]}"#;
        let path = "/api/v1/workers/leaser/claim";
        let answer = self.call("POST", "/api/v1/workers/{name}/claim", path, body).await.json();
        answer["leases"][0]["lease"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}
