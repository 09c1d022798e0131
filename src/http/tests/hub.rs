//! Many subscribers of one hub: each receives the log from its cursor on, once and in order, whenever it connects and
//! whatever its filter is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use super::support::{Server, Setup, Socket, store_with, within};
use crate::http::HttpLimits;
use crate::job::{Cursor, Event, Fact};
use crate::store::{self, Events};

async fn server_for_many(stream_capacity: usize) -> Server {
    let limits = HttpLimits { subscribers_per_address: 1_000, ..HttpLimits::default() };
    Server::with(Setup { limits, stream_capacity, ..Setup::default() }).await
}

/// Jobs of queues `q0` to `q6`, all in one submission.
async fn submit(server: &Server, count: usize) {
    let job = |n| json!({"kind": "echo", "queue": format!("q{}", n % 7), "delay_ms": 3_600_000});
    let jobs: Vec<Value> = (0..count).map(job).collect();
    assert_eq!(server.post("/api/v1/jobs", &json!(jobs).to_string()).await.status, 202);
}

/// The numbers of the events that a subscriber receives until its cursor reaches `last`.
async fn received_up_to(socket: &mut Socket, last: u64) -> Vec<u64> {
    within(async {
        let (mut seqs, mut upto) = (Vec::new(), 0);
        while upto < last {
            let message = socket.next().await;
            match message["type"].as_str().unwrap() {
                "events" => {
                    let events = message["events"].as_array().unwrap();
                    seqs.extend(events.iter().map(|event| event["seq"].as_u64().unwrap()));
                }
                "mark" => {}
                _ => continue,
            }
            upto = message["cursor"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        }
        seqs
    })
    .await
}

fn queue_of(event: &Event) -> Option<&str> {
    match &event.fact {
        Fact::Job { labels, .. } => Some(labels.queue.as_str()),
        Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => None,
    }
}

async fn log(server: &Server) -> Vec<Event> {
    let start = Cursor { seq: 0, ..server.engine.head() };
    match server.engine.events(start, 1_000_000).await.unwrap() {
        Events::Some(events) => events,
        gap @ Events::Gap { .. } => panic!("{gap:?}"),
    }
}

#[tokio::test]
async fn a_returning_subscriber_gets_the_events_of_its_filter_while_the_log_grows() {
    // A small channel, so that subscribers that keep up are sometimes behind too.
    let server = server_for_many(3).await;
    for _ in 0..5 {
        submit(&server, 700).await;
    }
    let epoch = server.engine.head().epoch;
    let mut readers = Vec::new();
    for n in 0..30_u64 {
        let (from, queue) = (n * 197 % 3_600, format!("q{}", n % 7));
        let from = from.min(3_500);
        let filter = if n % 3 == 0 { String::new() } else { format!("&queue={queue}") };
        let query = format!("?after={}{filter}", Cursor { epoch, seq: from });
        let mut socket = server.socket(&query).await;
        let reader = async move {
            let received = received_up_to(&mut socket, 7_001).await;
            (from, filter, received)
        };
        readers.push(tokio::spawn(reader));
        if n % 5 == 0 {
            submit(&server, 583).await;
        }
    }
    submit(&server, 2).await;
    // The last event passes every filter.
    let pause = server.post("/api/v1/queues/none/pause", "").await;
    assert_eq!(pause.status, 204);
    submit(&server, 7).await;
    let log = log(&server).await;
    assert!(log.len() > 7_001);
    let queues: Vec<Option<&str>> = log.iter().map(queue_of).collect();
    for reader in readers {
        let (from, filter, received) = reader.await.unwrap();
        let queue = filter.strip_prefix("&queue=");
        let wanted = log
            .iter()
            .zip(&queues)
            .filter(|(event, of)| event.seq > from && (queue.is_none() || queue == **of));
        let expected: Vec<u64> = wanted.map(|(event, _)| event.seq).collect();
        let last = *received.last().unwrap();
        let expected: Vec<u64> = expected.into_iter().take_while(|seq| *seq <= last).collect();
        assert_eq!(received, expected, "after {from} with {filter:?}");
        assert!(last >= 7_001 || queue.is_some(), "after {from} with {filter:?}: {last}");
    }
}

#[tokio::test]
async fn a_subscription_that_changes_during_catch_up_applies_from_the_confirmed_cursor() {
    let server = server_for_many(3).await;
    submit(&server, 3_000).await;
    let start = Cursor { seq: 0, ..server.engine.head() };
    let mut socket = server.socket(&format!("?queue=q1&after={start}")).await;
    socket.say(r#"{"type":"subscribe","id":"two","filter":{"queue":"q2"}}"#).await;
    let mut from = None;
    let mut received: Vec<(u64, Value)> = Vec::new();
    within(async {
        while received.last().is_none_or(|(seq, _)| *seq < 2_998) {
            let message = socket.next().await;
            match message["type"].as_str().unwrap() {
                "subscribed" => {
                    let cursor: Cursor = message["cursor"].as_str().unwrap().parse().unwrap();
                    from = Some(cursor.seq);
                }
                "events" => {
                    for event in message["events"].as_array().unwrap() {
                        received.push((event["seq"].as_u64().unwrap(), event["for"].clone()));
                    }
                }
                _ => {}
            }
        }
    })
    .await;
    let from = from.expect("an answer");
    for (seq, names) in &received {
        match seq % 7 {
            2 => assert!(*seq <= from || *names == json!([""]), "{seq}: {names}"), // of q1
            3 => assert!(*seq > from && *names == json!(["two"]), "{seq}: {names}"),
            _ => panic!("{seq} is of another queue"),
        }
    }
    let of_q2 = received.iter().filter(|(seq, _)| seq % 7 == 3).count() as u64;
    let last = received.last().map_or(0, |(seq, _)| *seq);
    let due = (from + 1..=last).filter(|seq| seq % 7 == 3).count() as u64;
    assert_eq!(of_q2, due);
}

#[tokio::test]
async fn a_trim_during_catch_up_is_a_gap_for_every_subscriber() {
    let keep = store::Keep { age: Duration::from_secs(3_600), count: 100 };
    let retention = store::Retention { events: keep, ..Default::default() };
    let store = store_with(store::StoreLimits { retention, ..Default::default() });
    let limits = HttpLimits { subscribers_per_address: 1_000, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, store: store.clone(), ..Setup::default() }).await;
    let epoch = server.engine.head().epoch;
    submit(&server, 2_000).await;
    store::Store::tick(&*store).await.unwrap();
    let mut sockets = Vec::new();
    for seq in [0, 5, 1_899, 1_900, 1_950, 2_000] {
        let query = format!("?after={}", Cursor { epoch, seq });
        sockets.push((seq, server.socket(&query).await));
    }
    server.job("").await;
    for (seq, mut socket) in sockets {
        socket.next_of("hello").await;
        let mut first = seq + 1;
        if seq < 1_900 {
            let gap = socket.next().await;
            assert_eq!(gap["type"], "gap", "after {seq}: {gap}");
            first = gap["to"].as_str().unwrap().parse::<Cursor>().unwrap().seq + 1;
            assert!(first >= 1_901);
        }
        let received = received_up_to(&mut socket, 2_001).await;
        assert_eq!(received, (first..=2_001).collect::<Vec<u64>>(), "after {seq}");
    }
}

#[tokio::test]
async fn short_subscriptions_leave_nothing_behind() {
    let server = Arc::new(server_for_many(64).await);
    let mut visits = Vec::new();
    for n in 0..40 {
        let server = server.clone();
        visits.push(tokio::spawn(async move {
            let mut socket = server.socket("").await;
            socket.next_of("hello").await;
            server.job("").await;
            match n % 4 {
                0 => within(socket.0.close(None)).await.unwrap(),
                1 => {
                    let MaybeTlsStream::Plain(stream) = socket.0.get_mut() else { panic!() };
                    stream.write_all(&[0xff; 14]).await.unwrap();
                    socket.close_frame().await;
                }
                2 => within(socket.0.send(Message::binary(vec![0]))).await.unwrap(),
                _ => drop(socket),
            }
        }));
    }
    for visit in visits {
        visit.await.unwrap();
    }
    // Every permit and every slot is released, and the hubs still work.
    within(async {
        while !server.shutdown.connections.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    server.job("").await;
    assert_eq!(socket.seqs(1).await, [41]);
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code_and_nothing_follows() {
    let server = server_for_many(64).await;
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    let code = tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode::from(3_456);
    let frame =
        tokio_tungstenite::tungstenite::protocol::CloseFrame { code, reason: "enough".into() };
    within(socket.0.close(Some(frame))).await.unwrap();
    server.job("").await;
    let Some(Ok(Message::Close(Some(answer)))) = within(socket.0.next()).await else {
        panic!("a close frame is expected");
    };
    assert_eq!(answer.code, code);
    assert!(within(socket.0.next()).await.is_none_or(|end| end.is_err()));
}

#[tokio::test]
async fn messages_sent_right_after_the_handshake_are_read() {
    let server = server_for_many(64).await;
    let mut raw = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut bytes = b"GET /api/v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\n\
        upgrade: WebSocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend([0x81, 0x80 | 15, 0, 0, 0, 0]);
    bytes.extend(br#"{"type":"ping"}"#);
    raw.write_all(&bytes).await.unwrap();
    let mut read = Vec::new();
    within(async {
        while !String::from_utf8_lossy(&read).contains(r#"{"type":"pong"}"#) {
            assert_ne!(tokio::io::AsyncReadExt::read_buf(&mut raw, &mut read).await.unwrap(), 0);
        }
    })
    .await;
    // The key of RFC 6455 §1.3 and the response to it.
    let head = String::from_utf8_lossy(&read);
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
}
