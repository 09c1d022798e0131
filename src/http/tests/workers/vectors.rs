//! The vectors in `tests/vectors`, which the clients read, too.

use serde_json::{Value, json};

use super::{Shop, leases, say};

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The text of a lease in the vectors, which no server has made.
fn has_form_of(actual: &Value, expected: &Value, path: &str) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<std::collections::BTreeSet<String>>()
            };
            assert_eq!(names(actual), names(expected), "the members of {path}");
            for (name, value) in actual {
                if name != "payload" && name != "result" {
                    has_form_of(value, &expected[name], &format!("{path}.{name}"));
                }
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            if let (Some(actual), Some(expected)) = (actual.first(), expected.first()) {
                has_form_of(actual, expected, &format!("{path}[0]"));
            }
        }
        (actual, expected) => {
            let kind = |value: &Value| match value {
                Value::Null | Value::Number(_) => 0,
                Value::Bool(_) => 1,
                Value::String(_) => 2,
                Value::Array(_) => 3,
                Value::Object(_) => 4,
            };
            assert_eq!(kind(actual), kind(expected), "{path}: {actual} and {expected}");
        }
    }
}

#[tokio::test]
async fn every_message_of_a_worker_is_accepted() {
    let shop = Shop::open().await;
    let mut socket = shop.socket("web-1").await;
    let mut replies = Vec::new();
    for vector in vectors("worker-messages.json") {
        if vector["from"] != "worker" {
            continue;
        }
        say(&mut socket, vector["message"].clone()).await;
        let expected = match vector["message"]["type"].as_str().unwrap() {
            "ready" if replies.is_empty() => "hello",
            "ready" => continue, // a later one has no answer
            "update" => "updated",
            "ping" => "pong",
            "bye" => "bye",
            other => panic!("{other}"),
        };
        let reply = socket.next().await;
        assert_eq!(reply["type"], expected, "{}: {reply}", vector["name"]);
        replies.push(reply);
    }
    assert!(replies.len() > 10);
}

#[tokio::test]
async fn the_messages_of_the_server_have_the_form_of_the_vectors() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let mut socket = shop.socket("web-1").await;
    say(&mut socket, json!({"type": "ready", "free": 1, "kinds": ["resize"], "held": ["x"]})).await;
    let mut messages = vec![socket.next().await, socket.next().await];
    let lease = leases(&messages[1]).remove(0);
    shop.server.engine.cancel(id).await.unwrap();
    messages.push(socket.next().await);
    let note = json!([{"lease": lease, "lines": [{"text": "a"}]}]);
    let settle = json!([{"lease": lease, "outcome": "done"}]);
    say(
        &mut socket,
        json!({"type": "update", "id": 7, "extend": [lease], "note": note, "settle": settle}),
    )
    .await;
    messages.push(socket.next().await);
    say(&mut socket, json!({"type": "hurry"})).await;
    messages.push(socket.next().await);
    let settle = json!([{"lease": lease, "outcome": "failed"}]);
    say(&mut socket, json!({"type": "update", "id": 7, "settle": settle})).await;
    messages.push(socket.next().await);
    say(&mut socket, json!({"type": "ping"})).await;
    messages.push(socket.next().await);
    shop.server.send("POST", "/api/v1/workers/web-1/quiet", &[], "").await;
    messages.push(socket.next().await);
    let vectors = vectors("worker-messages.json");
    for message in messages {
        let of_type = |vector: &&Value| {
            let expected = &vector["message"];
            let is_of_type = expected["type"] == message["type"];
            let is_about_it = message["type"] != "error" || expected["id"] == message["id"];
            vector["from"] == "server" && is_of_type && is_about_it
        };
        let vector = vectors.iter().find(of_type).unwrap_or_else(|| panic!("{message}"));
        has_form_of(&message, &vector["message"], &message["type"].to_string());
        if message["type"] == "error" || message["type"] == "command" {
            assert_eq!(message, vector["message"]);
        }
    }
}

#[tokio::test]
async fn the_answers_have_the_form_of_the_vectors() {
    let shop = Shop::open().await;
    shop.add(2).await;
    let mut known: Vec<String> = Vec::new();
    for vector in vectors("worker-exchanges.json") {
        let (request, response) = (&vector["request"], &vector["response"]);
        let path = request["path"].as_str().unwrap();
        if vector["name"].as_str().unwrap().contains("callback") || path.ends_with("cron/claim") {
            continue; // other tests have these
        }
        let mut body = request["body"].to_string();
        // The leases of the vectors are not ours.
        let texts = [
            "AZqwAXw-fRCKVQJCrBIAAgAAAAAAAAArcW1fXJm8c1Iu6x1w0p9mBw",
            "AZqwAXw-fRCKVQJCrBIAAwAAAAAAAAAsm0x6vY4bq1Kc2yYwUo3d1Q",
        ];
        for (text, ours) in texts.iter().zip(&known) {
            body = body.replace(text, ours);
        }
        let body = if request["body"].is_null() { String::new() } else { body };
        let headers: &[(&str, &str)] =
            if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let method = request["method"].as_str().unwrap();
        let answer = shop.server.send(method, path, headers, &body).await;
        assert_eq!(answer.status, response["status"].as_u64().unwrap() as u16, "{answer:?}");
        has_form_of(&answer.json(), &response["body"], vector["name"].as_str().unwrap());
        if path.ends_with("/claim") {
            known = leases(&answer.json());
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_as_the_vectors_say() {
    let shop = Shop::open().await;
    let mut socket = shop.socket("w").await;
    for vector in vectors("worker-refusals.json") {
        let message = &vector["message"];
        let (code, field) = match vector["transport"].as_str().unwrap() {
            "http" => {
                let path = vector["path"].as_str().unwrap();
                let answer = shop.server.post(path, &message.to_string()).await;
                let problem = answer.is_problem(422, "invalid_fields");
                (problem["code"].clone(), problem["errors"][0]["field"].clone())
            }
            _ => {
                say(&mut socket, message.clone()).await;
                let error = socket.next().await;
                (error["code"].clone(), error["field"].clone())
            }
        };
        assert_eq!((&code, &field), (&vector["code"], &vector["field"]), "{}", vector["name"]);
    }
}
