//! The event stream as server-sent events.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::support::{Server, Setup, within};
use crate::http::HttpLimits;
use crate::job::Cursor;

async fn limited(limits: HttpLimits) -> Server {
    Server::with(Setup { limits, ..Setup::default() }).await
}

#[tokio::test]
async fn events_come_one_a_message_and_their_id_resumes() {
    let server = Server::start().await;
    let mut stream = server.sse("?queue=mail&type=job.*").await;
    assert_eq!(stream.response.headers()["content-type"], "text/event-stream");
    assert!(stream.response.headers().get("content-encoding").is_none());
    let hello = stream.sent().await.unwrap();
    let head = server.engine.head().to_string();
    assert_eq!((hello.event.as_str(), &hello.id), ("hello", &head));
    assert_eq!((&hello.data["cursor"], &hello.data["heartbeat_ms"]), (&json!(head), &json!(10000)));
    let job = server.job(r#","queue":"mail""#).await;
    server.job(r#","queue":"other""#).await;
    let sent = stream.sent().await.unwrap();
    assert_eq!((&sent.data["type"], &sent.data["job"]["id"]), (&json!("job.enqueued"), &job["id"]));
    assert_eq!(
        (sent.event.as_str(), sent.id),
        ("message", Cursor { seq: 1, ..server.engine.head() }.to_string())
    );
    drop(stream);

    server.job(r#","queue":"mail""#).await;
    // The header takes precedence over the address that a browser opened first.
    let id = Cursor { seq: 1, ..server.engine.head() }.to_string();
    let headers = [
        ("accept", "text/event-stream"),
        ("last-event-id", id.as_str()),
        // Compression would delay events until a block is full.
        ("accept-encoding", "gzip"),
    ];
    let path = format!("/api/v1/events?after={head}&queue=mail");
    let mut stream = server.open(&path, &headers).await;
    assert_eq!(stream.seqs(1).await, [3]);
    for (path, accept) in
        [("?wait=1s", "text/event-stream"), ("?limit=1", "text/html, text/event-stream;q=1")]
    {
        let path = format!("/api/v1/events{path}");
        let refused = server.send("GET", &path, &[("accept", accept)], "").await;
        refused.is_problem(400, "invalid_parameter");
    }
    let headers = [("accept", "text/event-stream"), ("last-event-id", "here")];
    let refused = server.send("GET", "/api/v1/events", &headers, "").await;
    refused.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn an_idle_stream_sends_heartbeats_with_the_cursor() {
    let limits = HttpLimits { subscriber_mark: Duration::from_millis(30), ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut stream = server.sse("?queue=nobody").await;
    for _ in 0..3 {
        server.job("").await;
    }
    let head = server.engine.head().to_string();
    loop {
        let mark = stream.sent_of("mark").await;
        assert_eq!(mark.data["cursor"], mark.id);
        if mark.id == head {
            break;
        }
    }
}

#[tokio::test]
async fn a_stranger_cursor_is_a_gap_and_then_what_there_is() {
    let server = Server::start().await;
    server.job("").await;
    let mut stream = server.sse("?after=00000000:5").await;
    let gap = stream.sent_of("gap").await;
    assert_eq!((&gap.data["from"], &gap.data["to"]), (&json!("00000000:5"), &json!(gap.id)));
    assert_eq!(stream.seqs(1).await, [1]);
}

#[tokio::test]
async fn slots_are_shared_with_websockets_and_released() {
    let limits = HttpLimits { subscribers_per_address: 2, ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut socket = server.socket("").await;
    socket.next().await;
    let stream = server.sse("").await;
    let headers = [("accept", "text/event-stream")];
    let refused = server.send("GET", "/api/v1/events", &headers, "").await;
    refused.is_problem(429, "too_many_sockets");
    drop(stream);
    within(async {
        while server.open("/api/v1/events", &headers).await.response.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_delivers_everything_says_bye_and_ends() {
    let server = Server::start().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = server.sse("").await;
        stream.sent_of("hello").await;
        streams.push(stream);
    }
    server.post("/api/v1/jobs", r#"{"kind":"hold"}"#).await;
    for stream in &mut streams {
        assert_eq!(stream.seqs(3).await, [1, 2, 3]); // enqueued, started, logged
    }
    let gate = server.gate.clone();
    let stopping = tokio::spawn(server.stop());
    for stream in &mut streams {
        let draining = stream.sent_of("draining").await;
        assert_eq!(draining.data["grace_ms"], 25_000);
    }
    // The running job may end, and its last events are still sent.
    gate.add_permits(1);
    for stream in &mut streams {
        assert_eq!(stream.seqs(2).await, [4, 5]);
        let bye = stream.sent().await.unwrap();
        assert_eq!((bye.event.as_str(), &bye.data["why"]), ("bye", &json!("stopping")));
        assert_eq!(stream.sent().await, None);
    }
    let report = within(stopping).await.unwrap();
    assert!(report.clean && report.open_connections == 0, "{report:?}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let unwritable = Duration::from_millis(100);
    let limits = HttpLimits { write_timeout: unwritable, ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut stuck = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head =
        "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    stuck.write_all(head.as_bytes()).await.unwrap();
    let mut healthy = server.sse("").await;
    healthy.sent_of("hello").await;
    let tags: Vec<String> = (0..32).map(|n| format!("{n}{}", "t".repeat(90))).collect();
    let one = json!({"kind": "echo", "delay_ms": 3_600_000, "tags": tags});
    let body = json!(vec![one; 500]).to_string();
    let mut last_seq = 0;
    within(async {
        // In the end only the healthy one is left; those of the submitting clients are short-lived.
        while server.shutdown.connections.len() > 1 {
            assert_eq!(server.post("/api/v1/jobs", &body).await.status, 202);
            let seqs = healthy.seqs(500).await;
            assert_eq!(seqs[0], last_seq + 1);
            last_seq += 500;
        }
    })
    .await;
    drop(stuck);
}

#[tokio::test]
async fn a_peer_that_never_reads_does_not_hold_the_stop() {
    let server = limited(HttpLimits::default()).await;
    let mut deaf = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head =
        "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    deaf.write_all(head.as_bytes()).await.unwrap();
    deaf.readable().await.unwrap();
    server.stop().await;
    drop(deaf);
}

#[tokio::test]
async fn live_statistics_come_to_a_stream_that_asks_for_them_and_then_its_position() {
    let server = Server::start().await;
    // No event passes this filter, so only statistics and marks move the client's cursor.
    let mut stream = server.sse("?stats=true&queue=nobody").await;
    let first = stream.sent_of("stats").await;
    assert_eq!(
        (&first.data["type"], &first.data["states"]["completed"]),
        (&json!("stats"), &json!(0))
    );
    server.post("/api/v1/jobs?wait=20s", r#"{"kind":"echo","queue":"mail"}"#).await;
    let last = loop {
        let stats = stream.sent_of("stats").await;
        if stats.data["states"]["completed"] == 1 {
            break stats;
        }
    };
    assert_eq!(last.data["queues"][0]["name"], "mail");
    assert!(last.data["second"]["at"].is_string() && last.data["per_second"].is_object());
    // The id of every message is the position of the stream; a stream that was behind is told when it is not any more.
    let head = server.engine.head().to_string();
    let mut id = last.id;
    while id != head {
        id = stream.sent().await.unwrap().id;
    }
    let mut plain = server.sse("").await;
    plain.sent_of("hello").await;
    server.job("").await;
    assert_eq!(plain.sent().await.unwrap().event, "message", "nobody else gets statistics");
    for (path, headers) in [
        ("/api/v1/events?stats=perhaps", &[("accept", "text/event-stream")][..]),
        ("/api/v1/events?stats=perhaps", &[]),
    ] {
        let refused = server.send("GET", path, headers, "").await;
        refused.is_problem(400, "invalid_parameter");
    }
}
