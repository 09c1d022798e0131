//! The event log over plain HTTP: polls that are answered at once, and polls that wait.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Server, Setup, store_with, within};
use crate::http::HttpLimits;
use crate::http::limits::Loopback;
use crate::store;

fn seqs(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

fn start_of_log(server: &Server) -> String {
    crate::job::Cursor { seq: 0, ..server.engine.head() }.to_string()
}

#[tokio::test]
async fn a_poll_that_waits_answers_with_the_first_event_that_passes() {
    let server = Server::start().await;
    let head = server.engine.head();
    let path = format!("/api/v1/events?after={head}&wait=20s&queue=mail&type=job.enq*");
    let polling = server.get(&path);
    let submitting = async {
        server.job(r#","queue":"other""#).await;
        server.job(r#","queue":"mail""#).await;
    };
    let (answer, ()) = tokio::join!(polling, submitting);
    let answer = answer.json();
    assert_eq!(seqs(&answer), [2]);
    assert_eq!(answer["cursor"], server.engine.head().to_string());
    // Without `after` it begins now: earlier events are not returned.
    let polling = server.get("/api/v1/events?wait=20s");
    let later = async {
        let mut socket = server.socket("").await;
        socket.next().await;
        loop {
            server.job("").await;
            if tokio::time::timeout(Duration::from_millis(20), socket.seqs(1)).await.is_ok() {
                return;
            }
        }
    };
    let (answer, ()) = tokio::join!(polling, later);
    assert!(seqs(&answer.json())[0] > 2, "{answer:?}");
}

#[tokio::test]
async fn events_are_filtered_by_their_actor_on_every_transport() {
    let server = Server::start().await;
    let after = start_of_log(&server);
    let queue = |name: &str| crate::job::QueueName::parse(name).unwrap();
    for (by, name) in [("user:anna", "a"), ("token:ci", "b"), ("", "c"), ("user:anna", "d")] {
        server.engine.by(by.parse().ok()).pause(queue(name)).await.unwrap();
    }
    for (by, expected) in
        [("user:anna", vec![1, 4]), ("token:ci,user:anna", vec![1, 2, 4]), ("user:bob", vec![])]
    {
        let answer = server.get(&format!("/api/v1/events?after={after}&by={by}")).await.json();
        assert_eq!(seqs(&answer), expected, "{by}");
        if let Some(first) = answer["events"].get(0) {
            assert_eq!(first["by"], json!({"user": "anna"}));
        }
        let mut socket = server.socket(&format!("?after={after}&by={by}")).await;
        assert_eq!(socket.seqs(expected.len()).await, expected, "{by}");
    }
    let mut socket = server.socket(&format!("?after={after}&type=job.deleted")).await;
    assert_eq!(socket.next().await["type"], "hello");
    let filter = r#"{"type":"subscribe","id":"hers","filter":{"by":["user:anna"]}}"#;
    socket.say(filter).await;
    assert_eq!(socket.next().await["type"], "subscribed");
    for by in ["token:ci", "user:anna"] {
        server
            .engine
            .by(by.parse().ok())
            .resume(queue(if by == "token:ci" { "a" } else { "b" }))
            .await
            .unwrap();
    }
    assert_eq!(socket.seqs(1).await, [6]);
}

#[tokio::test]
async fn at_the_bound_the_answer_is_empty_and_the_cursor_has_advanced() {
    let limits = HttpLimits { max_wait: Duration::from_millis(150), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    server.job("").await;
    let after = start_of_log(&server);
    let started_at = Instant::now();
    let path = format!("/api/v1/events?after={after}&wait=1h&type=queue.*");
    let answer = server.get(&path).await.json();
    assert!(started_at.elapsed() >= Duration::from_millis(150), "it waits");
    assert_eq!(answer["events"], json!([]));
    assert_eq!(answer["cursor"], server.engine.head().to_string());
}

#[tokio::test]
async fn a_limit_shortens_the_response_and_the_cursor_continues_from_there() {
    let server = Server::start().await;
    for _ in 0..7 {
        server.job("").await;
    }
    let (mut cursor, mut all) = (start_of_log(&server), Vec::new());
    for expected in [3, 3, 1, 0] {
        let answer = server.get(&format!("/api/v1/events?after={cursor}&limit=3")).await.json();
        assert_eq!(seqs(&answer).len(), expected);
        all.extend(seqs(&answer));
        cursor = answer["cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(all, (1..=7).collect::<Vec<u64>>());
    // The same with a filter: the limit counts events that pass, and none is skipped.
    let path = format!("/api/v1/events?after={}&limit=2&type=job.*", start_of_log(&server));
    let answer = server.get(&path).await.json();
    assert_eq!(
        (seqs(&answer), &answer["cursor"]),
        (vec![1, 2], &json!(cursor.replace(":7", ":2")))
    );
}

#[tokio::test]
async fn a_poll_tells_of_a_gap_at_once() {
    let keep = store::Keep { age: Duration::from_secs(3_600), count: 3 };
    let retention = store::Retention { events: keep, ..Default::default() };
    let store = store_with(store::StoreLimits { retention, ..Default::default() });
    let server = Server::with(Setup { store: store.clone(), ..Setup::default() }).await;
    let start = server.engine.head();
    for _ in 0..10 {
        server.job("").await;
    }
    store::Store::tick(&*store).await.unwrap();
    let answer = server.get(&format!("/api/v1/events?after={start}&wait=20s")).await.json();
    assert_eq!(
        (&answer["gap"]["from"], &answer["events"]),
        (&json!(start.to_string()), &json!([]))
    );
    assert_eq!(answer["gap"]["to"], answer["cursor"]);
    let path = format!("/api/v1/events?after={}", answer["cursor"].as_str().unwrap());
    assert!(seqs(&server.get(&path).await.json()).len() >= 3);
}

#[tokio::test]
async fn a_stop_ends_polls_that_wait() {
    let server = Server::start().await;
    let (client, url) = (crate::cli::http_client().unwrap(), server.url("/api/v1/events?wait=60s"));
    let polling = tokio::spawn(async move { client.get(url).send().await.unwrap().text().await });
    // A WebSocket that is opened later shows that the poll has been accepted.
    let tracker = server.shutdown.connections.clone();
    within(async {
        while tracker.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.get("/healthz").await;
    let started_at = Instant::now();
    server.stop().await;
    assert!(started_at.elapsed() < Duration::from_secs(10), "a poll does not delay the stop");
    let answer: Value = serde_json::from_str(&within(polling).await.unwrap().unwrap()).unwrap();
    assert_eq!(answer["events"], json!([]));
}

#[tokio::test]
async fn a_poll_counts_as_a_subscriber_only_while_it_waits() {
    let limits = HttpLimits { subscribers_per_address: 1, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut socket = server.socket("").await;
    socket.next().await;
    let answer = server.get("/api/v1/events?wait=20s").await;
    answer.is_problem(429, "too_many_sockets");
    assert_eq!(server.get("/api/v1/events").await.status, 200);
    // Events that exist already are returned at once, without a permit.
    server.job("").await;
    let from = start_of_log(&server);
    let answer = server.get(&format!("/api/v1/events?after={from}&wait=20s")).await;
    assert_eq!(seqs(&answer.json()), [1]);
}

#[tokio::test]
async fn addresses_of_this_machine_are_limited_unless_a_setting_exempts_them() {
    let limits = HttpLimits {
        subscribers_per_address: 1,
        max_subscribers: 3,
        subscribers_from_loopback: Loopback::Unlimited,
        ..HttpLimits::default()
    };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let _three = [server.sse("").await, server.sse("").await, server.sse("").await];
    // The limit of the whole server applies.
    let answer = server.get("/api/v1/events?wait=20s").await;
    answer.is_problem(503, "sockets_full");
}

#[tokio::test]
async fn a_poll_that_asks_for_live_statistics_has_them_as_of_its_answer() {
    let server = Server::start().await;
    server.post("/api/v1/jobs?wait=20s", r#"{"kind":"echo","queue":"mail"}"#).await;
    let answer = server.get("/api/v1/events?stats=true&queue=nobody").await.json();
    let stats = &answer["stats"];
    assert_eq!((&stats["type"], &stats["states"]["completed"]), (&json!("stats"), &json!(1)));
    assert_eq!(
        (&stats["queues"][0]["name"], &stats["cursor"]),
        (&json!("mail"), &answer["cursor"])
    );
    assert!(stats["second"]["at"].is_string() && stats["per_second"].is_object());
    assert!(server.get("/api/v1/events").await.json()["stats"].is_null());
    let headers = ["sec-websocket-key", "sec-websocket-version", "upgrade", "connection"]
        .into_iter()
        .zip(["dGhlIHNhbXBsZSBub25jZQ==", "13", "websocket", "Upgrade"])
        .collect::<Vec<_>>();
    let refused = server.send("GET", "/api/v1/ws?stats=true", &headers, "").await;
    refused.is_problem(400, "invalid_parameter");
}
