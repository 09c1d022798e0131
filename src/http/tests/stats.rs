//! Subscriptions to `stats`, and several subscriptions on one connection.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Server, Setup, Socket};
use crate::http::HttpLimits;

async fn quiet(server: &Server) -> Socket {
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    socket.say(r#"{"type":"unsubscribe","id":""}"#).await;
    socket.next_of("unsubscribed").await;
    socket
}

#[tokio::test]
async fn stats_come_at_once_and_then_at_most_four_a_second() {
    let server = Server::start().await;
    let mut socket = quiet(&server).await;
    socket.say(r#"{"type":"subscribe","id":"s","stats":true}"#).await;
    let first = socket.next_of("stats").await;
    assert_eq!((&first["states"]["completed"], &first["run_ms"]), (&json!(0), &json!(null)));
    let job = r#"{"kind":"echo","queue":"mail"}"#;
    let batch = format!("[{}{job}]", format!("{job},").repeat(99));
    let (begun, mut messages, mut last) = (Instant::now(), 0, first);
    for _ in 0..10 {
        assert_eq!(server.post("/api/v1/jobs", &batch).await.status, 202);
    }
    while last["states"]["completed"] != 1_000 || last["per_second"]["completed"] == 0.0 {
        last = socket.next_of("stats").await;
        messages += 1;
    }
    let bound = begun.elapsed().as_millis() / 250 + 2;
    assert!(messages <= bound, "{messages} messages");
    assert!(last["per_second"]["enqueued"].as_f64().unwrap() > 0.0, "{last}");
    assert!(last["wait_ms"]["p99"].is_u64() && last["run_ms"]["p50"].is_u64(), "{last}");
    assert_eq!(last["kinds"]["echo"]["completed"], 1_000);
    assert_eq!(last["queues"][0]["name"], "mail");
    assert!(last["cursor"].is_string());
    // Without the subscription nothing is sent.
    socket.say(r#"{"type":"unsubscribe","id":"s"}"#).await;
    socket.next_of("unsubscribed").await;
    server.job("").await;
    let silence = tokio::time::timeout(Duration::from_millis(600), socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test]
async fn events_say_which_subscriptions_they_are_for() {
    let server = Server::start().await;
    let mut socket = quiet(&server).await;
    for (id, filter) in [("mail", r#"{"queue":"mail"}"#), ("new \"", r#"{"type":"job.enq*"}"#)] {
        let message = json!({"type": "subscribe", "id": id, "filter": serde_json::from_str::<serde_json::Value>(filter).unwrap()});
        socket.say(&message.to_string()).await;
        assert_eq!(socket.next_of("subscribed").await["id"], id);
    }
    server.job(r#","queue":"mail""#).await;
    let events = socket.next_of("events").await;
    assert_eq!(events["events"][0]["for"], json!(["mail", "new \""]));
    server.job(r#","queue":"web""#).await;
    assert_eq!(socket.next_of("events").await["events"][0]["for"], json!(["new \""]));
    // A connection has only one cursor.
    let here = server.engine.head();
    let message = |after: &str| json!({"type": "subscribe", "id": "x", "after": after}).to_string();
    socket.say(&message("00000000:1")).await;
    let error = socket.next().await;
    assert_eq!(error["code"], "invalid_parameter");
    assert!(error["message"].as_str().unwrap().contains(&here.to_string()), "{error}");
    socket.say(&message(&here.to_string())).await;
    assert_eq!(socket.next().await["type"], "subscribed");
    for bad in [
        json!({"type": "subscribe", "id": "s", "stats": true, "filter": {"queue": "a"}}),
        json!({"type": "subscribe", "id": "i".repeat(65)}),
        json!({"type": "subscribe", "id": "s", "filter": {"type": "task.*"}}),
    ] {
        socket.say(&bad.to_string()).await;
        assert_eq!(socket.next().await["code"], "invalid_parameter", "{bad}");
    }
}

#[tokio::test]
async fn a_thousand_subscriptions_are_refused_after_the_allowed_ones() {
    let limits =
        HttpLimits { socket_rate: 5_000, socket_subscriptions: 32, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    let (mut taken, mut refused) = (0, 0);
    for n in 0..1_000 {
        socket.say(&json!({"type": "subscribe", "id": n.to_string()}).to_string()).await;
        match socket.next().await["type"].as_str() {
            Some("subscribed") => taken += 1,
            Some("error") => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, refused), (31, 969), "the query string's filter is one of them");
    server.job("").await;
    assert_eq!(socket.next_of("events").await["events"][0]["for"].as_array().unwrap().len(), 32);
}
