//! Workers that do not read what they are sent, and messages that are never finished.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use futures_util::SinkExt;

use super::{Shop, job, leases, say};
use crate::http::HttpLimits;
use crate::http::tests::support::within;
use crate::job::{Json, NewJob, Spec, State};

const NEVER: Duration = Duration::from_secs(600);
/// More than the kernel holds of a connection whose two ends do not read.
const MUCH: usize = 48 * 1_024 * 1_024;

/// A frame with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A job whose payload has 500 KB.
fn large() -> NewJob {
    let job = job(None);
    let payload = Json::parse(&format!("\"{}\"", "x".repeat(500_000))).unwrap();
    let spec = Spec { payload, ..(*job.spec).clone() };
    NewJob { spec: Arc::new(spec), ..job }
}

#[tokio::test]
async fn a_worker_that_does_not_read_is_not_read_either_and_then_disconnected() {
    let limits = HttpLimits {
        write_timeout: Duration::from_secs(2),
        close: Duration::from_millis(10),
        socket_ping: NEVER,
        ..HttpLimits::default()
    };
    let shop = Shop::with(limits).await;
    let text = |message: serde_json::Value| frame(0x1, message.to_string().as_bytes());
    let extend = json!({"type": "update", "id": 1, "extend": vec!["nonsense"; 100]});
    let settle = json!({"lease": "nonsense", "outcome": "done"});
    let settle = json!({"type": "update", "id": 1, "settle": vec![settle; 30]});
    let ready = json!({"type": "ready", "free": -1, "kinds": ["resize"]});
    let floods = [
        ("ping-frames", frame(0x9, &[b'x'; 125])),
        ("pings", text(json!({"type": "ping"}))),
        ("bad-messages", text(json!({"type": "nonsense"}))),
        ("refused", text(ready)),
        ("extensions", text(extend)),
        ("ends", text(settle)),
    ];
    let flood = async |name: &str, frame: &[u8]| {
        let mut socket = shop.ready(name, 0).await;
        let MaybeTlsStream::Plain(stream) = socket.0.get_mut() else { panic!("no TLS") };
        let batch = frame.repeat(100_000 / frame.len());
        let mut sent = 0;
        while let Ok(more) = stream.write(&batch[sent % batch.len()..]).await {
            sent += more;
            assert!(sent < MUCH, "the server reads {name} although nobody reads its answers");
        }
    };
    let all = floods.iter().map(|(name, frame)| flood(name, frame));
    within(futures_util::future::join_all(all)).await;
}

#[tokio::test]
async fn a_worker_that_reads_again_gets_the_jobs_that_came_meanwhile() {
    let limits = HttpLimits { socket_ping: NEVER, write_timeout: NEVER, ..HttpLimits::default() };
    let shop = Shop::with(limits).await;
    let mut socket = shop.ready("web-1", 1_000).await;
    let waits = async |count: usize| {
        within(async {
            while shop.server.engine.remote_totals().waiting != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    waits(1).await;
    let ids = shop.enqueue((0..30).map(|_| large()).collect()).await;
    shop.has_happened(ids[29], "job.started").await;
    shop.add(1).await;
    waits(0).await; // so much is unread that nothing more is claimed for it
    let (mut first, mut second) = (0, 0);
    while first + second < 31 {
        let jobs = socket.next_of("jobs").await;
        let all = jobs["leases"].as_array().unwrap();
        let is_small = |lease: &&serde_json::Value| lease["job"]["payload"].is_object();
        second += all.iter().filter(is_small).count();
        first = first + all.len() - all.iter().filter(is_small).count();
    }
    assert_eq!((first, second), (30, 1));
}

#[tokio::test]
async fn jobs_that_could_not_be_sent_completely_are_given_back() {
    let shop = Shop::open().await;
    let mut socket = shop.ready("web-1", 100).await;
    let received = shop.add(1).await[0];
    assert_eq!(leases(&socket.next_of("jobs").await).len(), 1);
    let ids = shop.enqueue((0..30).map(|_| large()).collect()).await;
    shop.has_happened(ids[29], "job.started").await;
    drop(socket);
    for id in ids {
        shop.has_happened(id, "job.interrupted").await;
        let job = shop.job(id).await;
        assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
    }
    assert_eq!(shop.job(received).await.status.state, State::Running, "it may come back");
}

#[tokio::test]
async fn a_message_that_is_not_finished_in_time_ends_the_connection() {
    let limits = HttpLimits { body_timeout: Duration::from_millis(300), ..HttpLimits::default() };
    let shop = Shop::with(limits).await;
    let mut socket = shop.ready("web-1", 0).await;
    // What is finished is no reason to leave, however long it takes altogether.
    let begin = |text: &'static str| Frame::message(text, OpCode::Data(Data::Text), false);
    let end = |text: &'static str| Frame::message(text, OpCode::Data(Data::Continue), true);
    for frame in [begin(r#"{"type":"#), end(r#""ping"}"#)] {
        within(socket.0.send(Message::Frame(frame))).await.unwrap();
    }
    assert_eq!(socket.next().await["type"], "pong");
    within(socket.0.send(Message::Frame(begin("{")))).await.unwrap();
    within(socket.0.send(Message::Ping("x".into()))).await.unwrap();
    let (bye, code, why) = socket.close_frame().await;
    assert_eq!((u16::from(code), why.as_str()), (1008, "a message was not finished in time"));
    assert_eq!(bye.unwrap()["why"], json!("a message was not finished in time"));
    let mut socket = shop.ready("web-1", 0).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong");
}
