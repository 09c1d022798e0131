//! The event stream as real WebSocket clients see it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::support::{Server, Setup, Socket, refused, store_with, within};
use crate::http::HttpLimits;
use crate::store;

async fn limited(limits: HttpLimits) -> Server {
    Server::with(Setup { limits, ..Setup::default() }).await
}

async fn greeted(server: &Server, query: &str) -> Socket {
    let mut socket = server.socket(query).await;
    assert_eq!(socket.next().await["type"], "hello");
    socket
}

#[tokio::test]
async fn hello_tells_where_the_stream_begins_and_events_follow() {
    let server = Server::start().await;
    server.job("").await;
    let mut socket = server.socket("").await;
    let hello = socket.next().await;
    assert_eq!(hello["type"], "hello");
    assert_eq!(hello["cursor"], server.engine.head().to_string());
    assert_eq!(
        (&hello["heartbeat_ms"], &hello["server"]["name"]),
        (&json!(10000), &json!("cortado"))
    );
    let job = server.job(r#","queue":"mail","tags":["red"]"#).await;
    let events = socket.next().await;
    assert_eq!(events["type"], "events");
    let event = &events["events"][0];
    assert_eq!((&event["type"], &event["seq"]), (&json!("job.enqueued"), &json!(2)));
    assert_eq!((&event["job"]["id"], &event["job"]["tags"]), (&job["id"], &json!(["red"])));
    assert_eq!(events["cursor"], server.engine.head().to_string());
}

#[tokio::test]
async fn the_subprotocol_is_agreed_on_when_offered() {
    let server = Server::start().await;
    let url = format!("ws://{}/api/v1/ws", server.address);
    let mut request = url.into_client_request().unwrap();
    let offer = "other, cortado.v1+json".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", offer);
    let (_, response) = within(tokio_tungstenite::connect_async(request)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "cortado.v1+json");
}

#[tokio::test]
async fn a_filter_lets_only_its_events_through_and_marks_pass_the_rest() {
    let limits = HttpLimits { subscriber_mark: Duration::from_millis(40), ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut socket = greeted(&server, "?queue=a,b&queue=c&type=job.enqueued").await;
    for queue in ["x", "a", "y", "c", "z"] {
        server.job(&format!(r#","queue":"{queue}""#)).await;
    }
    assert_eq!(socket.seqs(2).await, [2, 4]);
    let head = server.engine.head().to_string();
    within(async { while socket.next_of("mark").await["cursor"] != head.as_str() {} }).await;
}

#[tokio::test]
async fn a_subscriber_resumes_from_its_cursor_without_loss_or_doubles() {
    let server = Server::start().await;
    let mut socket = greeted(&server, "").await;
    for _ in 0..3 {
        server.job("").await;
    }
    assert_eq!(socket.seqs(3).await, [1, 2, 3]);
    drop(socket);
    for _ in 0..3 {
        server.job("").await;
    }
    let after = format!("?after={}", crate::job::Cursor { seq: 2, ..server.engine.head() });
    let mut socket = greeted(&server, &after).await;
    assert_eq!(socket.seqs(4).await, [3, 4, 5, 6]);
    server.job("").await;
    assert_eq!(socket.seqs(1).await, [7]);
}

#[tokio::test]
async fn a_subscriber_that_lags_loses_nothing() {
    // The client must not be disconnected as too slow while a busy machine accepts the jobs.
    let unwritable = Duration::from_secs(600);
    let limits = HttpLimits { write_timeout: unwritable, min_rate: 0, ..HttpLimits::default() };
    let setup = Setup { stream_capacity: 2, limits, ..Setup::default() };
    let server = Server::with(setup).await;
    let mut socket = greeted(&server, "").await;
    // While the client does not read, hundreds of batches pass through a channel that holds two. The jobs have long
    // tags, because the buffers of the kernel are large.
    let tags: Vec<String> = (0..30).map(|n| format!("{n}{}", "t".repeat(90))).collect();
    let one = json!({"kind": "echo", "delay_ms": 3_600_000, "tags": tags});
    let body = json!(vec![one; 40]).to_string();
    for _ in 0..75 {
        assert_eq!(server.post("/api/v1/jobs", &body).await.status, 202);
    }
    let seqs = socket.seqs(3_000).await;
    assert_eq!(seqs, (1..=3_000).collect::<Vec<u64>>());
    server.job("").await;
    assert_eq!(socket.seqs(1).await, [3_001]);
}

#[tokio::test]
async fn a_cursor_of_another_epoch_gets_a_gap_and_then_the_stored_events() {
    let server = Server::start().await;
    server.job("").await;
    let mut socket = greeted(&server, "?after=00000000:5").await;
    let gap = socket.next().await;
    assert_eq!((&gap["type"], &gap["from"]), (&json!("gap"), &json!("00000000:5")));
    assert_eq!(socket.seqs(1).await, [1]);
}

#[tokio::test]
async fn a_trimmed_log_is_a_gap_not_a_silence() {
    let keep = store::Keep { age: Duration::from_secs(3_600), count: 3 };
    let retention = store::Retention { events: keep, ..Default::default() };
    let store = store_with(store::StoreLimits { retention, ..Default::default() });
    let server = Server::with(Setup { store: store.clone(), ..Setup::default() }).await;
    let start = server.engine.head();
    for _ in 0..10 {
        server.job("").await;
    }
    store::Store::tick(&*store).await.unwrap();
    let mut socket = greeted(&server, &format!("?after={start}")).await;
    let gap = socket.next().await;
    assert_eq!((&gap["type"], &gap["from"]), (&json!("gap"), &json!(start.to_string())));
    let to: crate::job::Cursor = gap["to"].as_str().unwrap().parse().unwrap();
    assert_eq!(socket.seqs(1).await[0], to.seq + 1);
}

#[tokio::test]
async fn subscriptions_are_added_replaced_and_removed() {
    let server = Server::start().await;
    let mut socket = greeted(&server, "?queue=a").await;
    socket.say(r#"{"type":"subscribe","id":"more","filter":{"queue":["b","c"],"type":"job.enqueued"}}"#).await;
    let answer = socket.next().await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("subscribed"), &json!("more")));
    server.job(r#","queue":"b""#).await;
    assert_eq!(socket.seqs(1).await, [1]);
    socket.say(r#"{"type":"unsubscribe","id":""}"#).await;
    assert_eq!(socket.next().await["type"], "unsubscribed");
    server.job(r#","queue":"a""#).await;
    server.job(r#","queue":"c""#).await;
    assert_eq!(socket.seqs(1).await, [3]);
    socket.say(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.next().await["type"], "pong");
    let long_id = |kind: &str| json!({ "type": kind, "id": "x".repeat(65) }).to_string();
    for (bad, code) in [
        ("{", "malformed_message"),
        (r#"{"type":"dance"}"#, "malformed_message"),
        (r#"["subscribe","x"]"#, "malformed_message"),
        (&long_id("subscribe"), "invalid_parameter"),
        (&long_id("unsubscribe"), "invalid_parameter"),
        (r#"{"type":"subscribe","id":"x","filter":{"colour":"red"}}"#, "invalid_parameter"),
    ] {
        socket.say(bad).await;
        let error = socket.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{bad}");
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_is_closed_with_the_right_code() {
    let limits = HttpLimits { socket_message: 1_000, ..HttpLimits::default() };
    let server = limited(limits).await;
    let ended = async |message: Message| {
        let mut socket = greeted(&server, "").await;
        within(socket.0.send(message)).await.unwrap();
        let (bye, code, reason) = socket.close_frame().await;
        assert_eq!(bye.expect("a bye comes before the close frame")["why"], reason);
        u16::from(code)
    };
    assert_eq!(ended(Message::binary(vec![1])).await, 1003);
    assert_eq!(ended(Message::text("x".repeat(1_001))).await, 1009);
    assert_eq!(ended(Message::text("x".repeat(100_000))).await, 1009);
    // A text frame with a mask of zeros and a byte that is not valid UTF-8; then one with a reserved bit.
    for (bytes, expected) in
        [(&[0x81, 0x81, 0, 0, 0, 0, 0xff][..], 1007), (&[0xf1, 0x80, 0, 0, 0, 0][..], 1002)]
    {
        let mut socket = greeted(&server, "").await;
        let MaybeTlsStream::Plain(stream) = socket.0.get_mut() else { panic!("no TLS here") };
        within(stream.write_all(bytes)).await.unwrap();
        assert_eq!(u16::from(socket.close_frame().await.1), expected);
    }
}

#[tokio::test]
async fn a_flood_is_ended() {
    let limits = HttpLimits { socket_rate: 5, ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut socket = greeted(&server, "").await;
    for _ in 0..20 {
        // The server may have closed already.
        within(socket.0.send(Message::text(r#"{"type":"ping"}"#))).await.ok();
    }
    assert_eq!(socket.close_frame().await.1, CloseCode::Policy);
}

#[tokio::test]
async fn a_client_that_closes_gets_its_close_frame_back() {
    let server = Server::start().await;
    let mut socket = greeted(&server, "").await;
    within(socket.0.close(None)).await.unwrap();
    within(async {
        while let Some(message) = socket.0.next().await {
            assert!(matches!(message, Ok(Message::Close(_))), "{message:?}");
        }
    })
    .await;
    within(async {
        server.shutdown.connections.close();
        server.shutdown.connections.wait().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_let_go() {
    let limits = HttpLimits {
        socket_ping: Duration::from_millis(100),
        socket_pong: Duration::from_secs(1),
        close: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    let server = limited(limits).await;
    // This client does not read, so it does not answer pings.
    let socket = greeted(&server, "").await;
    server.shutdown.connections.close();
    within(server.shutdown.connections.wait()).await;
    drop(socket);
    // A client that reads answers pings, and stays connected.
    let mut socket = greeted(&server, "").await;
    let silence = tokio::time::timeout(Duration::from_millis(1_500), socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    server.job("").await;
    assert_eq!(socket.seqs(1).await, [1]);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let limits = HttpLimits {
        write_timeout: Duration::from_millis(100),
        close: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    let server = limited(limits).await;
    let socket = greeted(&server, "").await;
    let tags: Vec<String> = (0..32).map(|n| format!("{n}{}", "t".repeat(90))).collect();
    let one = json!({"kind": "echo", "delay_ms": 3_600_000, "tags": tags});
    let body = json!(vec![one; 500]).to_string();
    server.shutdown.connections.close();
    // The only other connections are those of the submissions below, which are closed.
    within(async {
        loop {
            assert_eq!(server.post("/api/v1/jobs", &body).await.status, 202);
            let gone = server.shutdown.connections.wait();
            if tokio::time::timeout(Duration::from_millis(20), gone).await.is_ok() {
                return;
            }
        }
    })
    .await;
    drop(socket);
}

#[tokio::test]
async fn limits_are_checked_before_the_upgrade() {
    let limits = HttpLimits { subscribers_per_address: 2, ..HttpLimits::default() };
    let server = limited(limits).await;
    let request = |query: &str| {
        format!("ws://{}/api/v1/ws{query}", server.address).into_client_request().unwrap()
    };
    let _one = greeted(&server, "").await;
    let two = greeted(&server, "").await;
    let (status, problem) = refused(request("")).await;
    assert_eq!((status, &problem["code"]), (429, &json!("too_many_sockets")));
    drop(two);
    within(async {
        while tokio_tungstenite::connect_async(request("")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (status, problem) = refused(request("?colour=red")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_parameter")));
    let mut foreign = request("");
    foreign.headers_mut().insert("origin", "http://evil.test".parse().unwrap());
    let (status, problem) = refused(foreign).await;
    assert_eq!((status, &problem["code"]), (403, &json!("wrong_origin")));
    let full = limited(HttpLimits { max_subscribers: 0, ..HttpLimits::default() }).await;
    let request = format!("ws://{}/api/v1/ws", full.address).into_client_request().unwrap();
    assert_eq!(refused(request).await.0, 503);
}

#[tokio::test]
async fn a_stop_tells_every_subscriber_and_waits_for_them() {
    let server = Server::start().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(greeted(&server, "").await);
    }
    server.job("").await;
    for socket in &mut sockets {
        assert_eq!(socket.seqs(1).await, [1]);
    }
    let stopping = tokio::spawn(server.stop());
    for socket in &mut sockets {
        let draining = socket.next_of("draining").await;
        assert_eq!(draining["grace_ms"], 25_000);
        let (bye, code, reason) = socket.close_frame().await;
        assert_eq!(bye.unwrap(), json!({"type":"bye","why":"stopping","retry_ms":2000}));
        assert_eq!((code, reason.as_str()), (CloseCode::Away, "stopping"));
        // Reading completes the closing handshake, for which the stop waits.
        while let Some(Ok(_)) = within(socket.0.next()).await {}
    }
    within(stopping).await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_subscriber_that_never_answers() {
    let limits = HttpLimits { close: Duration::from_millis(50), ..HttpLimits::default() };
    let server = limited(limits).await;
    let deaf = greeted(&server, "").await;
    server.stop().await;
    drop(deaf);
}
