//! The AsyncAPI document is compared with the messages in `tests/vectors` and `docs/stream.md`, and with what a server sends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::support::Server;
use super::{document, faults, members, strict};
use crate::http::access::messages::{SocketMessage, WorkerMessageName};
use crate::http::openapi::messages::text_of_document;
use crate::http::stream::protocol::ServerMessage;

/// The AsyncAPI document.
fn messages() -> Value {
    serde_json::from_str(text_of_document()).unwrap()
}

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What is wrong with a message, by its schema.
fn wrong(document: &Value, channel: &str, way: &str, message: &Value) -> Vec<String> {
    let key = format!("{channel}.{way}.{}", message["type"].as_str().unwrap_or_default());
    let described = &document["components"]["messages"][&key];
    assert!(described.is_object(), "{key} is not described");
    faults(document, &described["payload"], message)
}

/// The types of messages that one side sends in a channel.
fn types(document: &Value, channel: &str, way: &str) -> BTreeSet<String> {
    let begin = format!("{channel}.{way}.");
    let names = members(&document["components"]["messages"]);
    names.filter_map(|(key, _)| key.strip_prefix(&begin).map(str::to_owned)).collect()
}

#[test]
fn every_type_of_message_of_the_code_is_described_and_no_other() {
    let document = messages();
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(types(&document, "events", "server"), names(&ServerMessage::NAMES));
    let of_clients = SocketMessage::ALL.map(SocketMessage::as_str);
    let of_clients = of_clients.map(|name| name.split(' ').next().unwrap());
    assert_eq!(types(&document, "events", "client"), names(&of_clients));
    let of_workers = WorkerMessageName::ALL.map(WorkerMessageName::as_str);
    assert_eq!(types(&document, "worker", "client"), names(&of_workers));
    // The vectors have each message of the server once; another test compares them with the code.
    let vectors = vectors("worker-messages.json");
    let of_server = vectors.iter().filter(|vector| vector["from"] == "server");
    let of_server: BTreeSet<String> =
        of_server.map(|vector| vector["message"]["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types(&document, "worker", "server"), of_server);
}

#[test]
fn every_message_of_the_vectors_matches_its_schema() {
    let document = strict(&messages());
    let mut seen = 0;
    for vector in vectors("worker-messages.json") {
        let way = if vector["from"] == "server" { "server" } else { "client" };
        let wrong = wrong(&document, "worker", way, &vector["message"]);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", vector["name"]);
        seen += 1;
    }
    assert!(seen > 25, "{seen}");
}

/// The schemas of the request and of the answer of an operation.
fn schemas_of(document: &Value, method: &str, path: &str) -> (Value, Value) {
    let fits = |route: &str| {
        let (route, path): (Vec<_>, Vec<_>) =
            (route.split('/').collect(), path.split('/').collect());
        let same = |(route, path): (&&str, &&str)| route == path || route.starts_with('{');
        route.len() == path.len() && route.iter().zip(&path).all(same)
    };
    let (_, item) = members(&document["paths"]).find(|(route, _)| fits(route)).unwrap();
    let operation = &item[method.to_lowercase()];
    let json = "application/json";
    let request = &operation["requestBody"]["content"][json]["schema"];
    (request.clone(), operation["responses"]["200"]["content"][json]["schema"].clone())
}

#[test]
fn every_exchange_of_the_vectors_matches_the_schemas_of_its_operation() {
    let document = strict(&document());
    for vector in vectors("worker-exchanges.json") {
        let (request, response) = (&vector["request"], &vector["response"]);
        let (method, path) =
            (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        let (of_request, of_answer) = schemas_of(&document, method, path);
        if !request["body"].is_null() {
            let wrong = faults(&document, &of_request, &request["body"]);
            assert!(wrong.is_empty(), "{}: {wrong:#?}", vector["name"]);
        }
        let wrong = faults(&document, &of_answer, &response["body"]);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", vector["name"]);
    }
}

#[test]
fn every_refusal_of_the_vectors_breaks_a_schema() {
    let (openapi, asyncapi) = (document(), messages());
    for vector in vectors("worker-refusals.json") {
        let message = &vector["message"];
        let wrong = match vector["path"].as_str() {
            Some(path) => faults(&openapi, &schemas_of(&openapi, "POST", path).0, message),
            None if message["type"] == "hurry" => continue, // no message has this type
            None => wrong(&asyncapi, "worker", "client", message),
        };
        assert!(!wrong.is_empty(), "{} is accepted by the schema", vector["name"]);
    }
}

#[test]
fn every_message_in_the_page_about_the_stream_matches_its_schema() {
    let document = strict(&messages());
    let page = include_str!("../../../../docs/stream.md");
    let mut seen = 0;
    for line in page.lines() {
        let (way, text) = if let Some(text) = line.strip_prefix("> ") {
            ("client", text)
        } else if let Some(text) = line.strip_prefix("< ") {
            ("server", text)
        } else {
            continue;
        };
        let message: Value = serde_json::from_str(text).unwrap();
        let wrong = wrong(&document, "events", way, &message);
        assert!(wrong.is_empty(), "{text}: {wrong:#?}");
        seen += 1;
    }
    assert!(seen > 12, "{seen}");
}

#[tokio::test]
async fn the_messages_of_a_server_match_their_schemas() {
    let document = strict(&messages());
    let server = Server::start().await;
    let start = crate::job::Cursor { seq: 0, ..server.engine.head() };
    let job = r#"{"kind":"refuse","queue":"mail","payload":1}"#;
    assert_eq!(server.post("/api/v1/jobs?wait=20s", job).await.status, 200);
    let mut socket = server.socket(&format!("?after={start}")).await;
    let mut left: BTreeSet<&str> =
        ["hello", "events", "subscribed", "stats", "error", "unsubscribed", "pong"].into();
    for message in [
        json!({"type": "subscribe", "id": "load", "stats": true}),
        json!({"type": "subscribe", "id": "old", "after": "1:7"}),
        json!({"type": "unsubscribe", "id": ""}),
        json!({"type": "ping"}),
    ] {
        let faults = wrong(&document, "events", "client", &message);
        assert!(faults.is_empty(), "{message}: {faults:?}");
        socket.say(&message.to_string()).await;
    }
    while !left.is_empty() {
        let message = socket.next().await;
        let faults = wrong(&document, "events", "server", &message);
        assert!(faults.is_empty(), "{message}: {faults:#?}");
        left.remove(message["type"].as_str().unwrap());
    }
    let old = server.socket("?after=1:7").await.next_of("gap").await;
    assert!(wrong(&document, "events", "server", &old).is_empty(), "{old}");
}

#[test]
fn the_document_has_the_structure_of_asyncapi_3() {
    let document = messages();
    assert_eq!(document["asyncapi"], "3.0.0");
    let mut checked = 0;
    fn check(document: &Value, value: &Value, checked: &mut usize) {
        if let Some(target) = value["$ref"].as_str() {
            assert!(document.pointer(&target[1..]).is_some(), "{target} does not exist");
            *checked += 1;
        }
        let items = value.as_array().into_iter().flatten();
        items.chain(value.as_object().into_iter().flat_map(|object| object.values())).for_each(
            |value| {
                if value.is_object() || value.is_array() {
                    check(document, value, checked);
                }
            },
        );
    }
    check(&document, &document, &mut checked);
    assert!(checked > 100, "{checked}");
    for (name, operation) in members(&document["operations"]) {
        let is_server = name.ends_with(".server");
        assert_eq!(operation["action"], if is_server { "send" } else { "receive" }, "{name}");
        assert!(!operation["messages"].as_array().unwrap().is_empty(), "{name}");
    }
}
