//! `docs/stream.md` is checked: its session is played against a server, and its tables are compared with the code.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::Server;
use crate::http::stream::protocol::{ClientMessage, ServerMessage};
use crate::job::EventType;

const PAGE: &str = include_str!("../../../docs/stream.md");

/// The names in the first column of the table below a header.
fn first_column(header: &str) -> BTreeSet<&'static str> {
    let table = PAGE.split_once(header).unwrap().1.lines().skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`')).collect()
}

/// Asserts that two values have the same fields and types, at all levels. A null on either side matches anything, and
/// only the first elements of arrays are compared.
fn assert_same_shape(documented: &Value, real: &Value, at: &str) {
    match (documented, real) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(documented), Value::Object(real)) => {
            let keys = |map: &serde_json::Map<String, Value>| {
                map.keys().cloned().collect::<BTreeSet<String>>()
            };
            assert_eq!(keys(documented), keys(real), "{at}");
            for (key, value) in documented {
                assert_same_shape(value, &real[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(documented), Value::Array(real)) => {
            if let (Some(documented), Some(real)) = (documented.first(), real.first()) {
                assert_same_shape(documented, real, &format!("{at}[0]"));
            }
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        _ => panic!("{at}: {documented} is not like {real}"),
    }
}

#[test]
fn the_tables_name_what_the_code_knows() {
    let types = EventType::ALL.into_iter().map(EventType::as_str).collect();
    assert_eq!(first_column("| type | additional fields |"), types);
    let messages = ServerMessage::NAMES.into_iter().collect();
    assert_eq!(first_column("| message | meaning |"), messages);
}

#[test]
fn every_example_is_json_and_the_server_accepts_the_messages_of_clients() {
    let mut examples = 0;
    for line in PAGE.lines() {
        if let Some(text) = line.strip_prefix("> ") {
            ClientMessage::parse(text).unwrap_or_else(|e| panic!("{text}: {}", e.detail()));
            examples += 1;
        } else if let Some(text) = line.strip_prefix("< ").or(line.strip_prefix("data: ")) {
            let message: Value = serde_json::from_str(text).unwrap();
            let name = message["type"].as_str().unwrap();
            let known = ServerMessage::NAMES.contains(&name) || name.parse::<EventType>().is_ok();
            assert!(known, "{text}");
            examples += 1;
        }
    }
    assert!(examples > 15, "{examples}");
}

#[tokio::test]
async fn the_session_is_one_that_a_server_holds() {
    let server = Server::start().await;
    let start = crate::job::Cursor { seq: 0, ..server.engine.head() };
    let job = r#"{"kind":"echo","queue":"mail","payload":1}"#;
    assert_eq!(server.post("/api/v1/jobs?wait=20s", job).await.status, 200);
    let mut socket = server.socket(&format!("?queue=mail&after={start}")).await;
    let session = PAGE.split_once("\nGET /api/v1/ws?").unwrap().1.split_once("```").unwrap().0;
    let mut stopping = None;
    for line in session.lines().skip(1) {
        if let Some(text) = line.strip_prefix("> ") {
            socket.say(text).await;
            continue;
        }
        let documented: Value = serde_json::from_str(line.strip_prefix("< ").unwrap()).unwrap();
        let name = documented["type"].as_str().unwrap();
        if name == "draining" {
            let draining = server.shutdown.draining.clone();
            draining.cancel();
            stopping = Some(tokio::spawn({
                let engine = server.engine.clone();
                async move { engine.stop(&Default::default(), async {}).await }
            }));
        }
        let real = socket.next_of(name).await;
        match name {
            // A message may have more events than the page shows.
            "events" => assert_same_shape(&documented["events"][0], &real["events"][0], "event"),
            _ => assert_same_shape(&documented, &real, name),
        }
    }
    socket.close_frame().await;
    drop(socket);
    stopping.expect("the session ends with a stop").await.unwrap();
}

#[test]
fn the_names_of_messages_are_their_types() {
    let cursor = crate::http::view::Displayed("5f3a9c01:42".parse().unwrap());
    for message in [
        ServerMessage::Gap { from: cursor, to: cursor },
        ServerMessage::Mark { cursor },
        ServerMessage::Pong,
        ServerMessage::Subscribed { id: "a", cursor },
        ServerMessage::Unsubscribed { id: "a", cursor },
        ServerMessage::Draining { grace_ms: 1 },
        ServerMessage::Bye { why: "stopping", retry_ms: 1 },
        ServerMessage::Error { code: "x", message: String::new() },
    ] {
        let json: Value = serde_json::from_str(&crate::http::view::to_json(&message)).unwrap();
        assert_eq!(json["type"], message.name());
        assert!(ServerMessage::NAMES.contains(&message.name()));
    }
}
