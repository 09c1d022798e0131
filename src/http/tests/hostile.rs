//! Malicious and broken clients: each is disconnected, and no other client is delayed.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::support::{Server, Setup, Socket, within};
use crate::http::HttpLimits;

async fn limited(limits: HttpLimits) -> Server {
    Server::with(Setup { limits, ..Setup::default() }).await
}

async fn greeted(server: &Server, query: &str) -> Socket {
    let mut socket = server.socket(query).await;
    assert_eq!(socket.next().await["type"], "hello");
    socket
}

/// The longest time of several from a submission to its event at this subscriber.
async fn longest_delay(server: &Server, socket: &mut Socket) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..30 {
        let started_at = Instant::now();
        server.job("").await;
        socket.seqs(1).await;
        longest = longest.max(started_at.elapsed());
    }
    longest
}

#[tokio::test]
async fn a_flood_of_pings_is_ended_and_a_few_pings_are_not() {
    let limits = HttpLimits { socket_rate: 20, ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut polite = greeted(&server, "").await;
    for _ in 0..5 {
        within(polite.0.send(Message::Ping(vec![7; 100].into()))).await.unwrap();
    }
    let mut rude = greeted(&server, "").await;
    for _ in 0..2_000 {
        if within(rude.0.send(Message::Ping(vec![7; 100].into()))).await.is_err() {
            break; // the server has closed already
        }
    }
    // The close frame may be lost, because our unread pings cause a reset.
    let end = within(async {
        loop {
            match futures_util::StreamExt::next(&mut rude.0).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    })
    .await;
    assert!(end.is_none_or(|code| code == CloseCode::Policy), "{end:?}");
    server.job("").await;
    assert_eq!(polite.seqs(1).await, [1], "other clients are still served");
}

/// One frame of a fragmented text message.
fn piece(text: &str, first: bool, last: bool) -> Message {
    let opcode = OpCode::Data(if first { Data::Text } else { Data::Continue });
    let header = FrameHeader { is_final: last, opcode, ..FrameHeader::default() };
    Message::Frame(Frame::from_payload(header, text.to_owned().into()))
}

#[tokio::test]
async fn a_message_in_fragments_is_a_message_and_endless_fragments_are_too_big() {
    let server = Server::start().await;
    let mut socket = greeted(&server, "").await;
    let text = r#"{"type":"ping"}"#;
    for (at, _) in text.char_indices() {
        let frame = piece(&text[at..=at], at == 0, at + 1 == text.len());
        within(socket.0.send(frame)).await.unwrap();
    }
    assert_eq!(socket.next().await["type"], "pong");
    let mut other = greeted(&server, "").await;
    for n in 0..100 {
        // Fails once the server has closed.
        if within(other.0.send(piece(&"x".repeat(1_000), n == 0, false))).await.is_err() {
            break;
        }
    }
    assert_eq!(other.close_frame().await.1, CloseCode::Size);
    socket.say(text).await;
    assert_eq!(socket.next().await["type"], "pong");
}

#[tokio::test]
async fn a_message_that_is_not_finished_in_time_ends_the_connection() {
    let limits = HttpLimits { body_timeout: Duration::from_millis(300), ..HttpLimits::default() };
    let server = limited(limits).await;
    // A frame of several, the header of a frame with half of its length, and a frame without its last byte.
    let unfinished: [&[u8]; 3] =
        [&[0x01, 0x81, 0, 0, 0, 0, b'{'], &[0x81, 0xfe, 0], &[0x81, 0x82, 0, 0, 0, 0, b'{']];
    for bytes in unfinished {
        let mut socket = greeted(&server, "").await;
        // What is finished is no reason to leave, however long the client stays.
        for frame in [piece(r#"{"type":"#, true, false), piece(r#""ping"}"#, false, true)] {
            within(socket.0.send(frame)).await.unwrap();
        }
        assert_eq!(socket.next().await["type"], "pong");
        let MaybeTlsStream::Plain(stream) = socket.0.get_mut() else { panic!("no TLS here") };
        within(stream.write_all(bytes)).await.unwrap();
        let (_, code, why) = socket.close_frame().await;
        let end = (u16::from(code), why.as_str());
        assert_eq!(end, (1008, "a message was not finished in time"), "{bytes:?}");
    }
}

#[tokio::test]
async fn half_open_and_silent_peers_are_let_go() {
    let limits = HttpLimits {
        socket_ping: Duration::from_millis(50),
        socket_pong: Duration::from_millis(100),
        close: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    let server = limited(limits).await;
    let mut gone = Vec::new();
    for n in 0..20 {
        let mut socket = greeted(&server, "").await;
        // None of them reads, so no ping is answered; half of them have shut down writing.
        if n % 2 == 0 {
            let MaybeTlsStream::Plain(stream) = socket.0.get_mut() else { panic!("no TLS here") };
            stream.shutdown().await.unwrap();
        }
        gone.push(socket);
    }
    server.shutdown.connections.close();
    within(server.shutdown.connections.wait()).await;
}

#[tokio::test]
async fn peers_that_never_read_do_not_slow_the_others() {
    let limits = HttpLimits { subscribers_per_address: 1_000, ..HttpLimits::default() };
    let server = limited(limits).await;
    let mut healthy = greeted(&server, "").await;
    let alone = longest_delay(&server, &mut healthy).await;
    let mut stuck = Vec::new();
    for n in 0..80 {
        if n % 2 == 0 {
            stuck.push((Some(greeted(&server, "").await), None));
        } else {
            let mut raw = TcpStream::connect(server.address).await.unwrap();
            let head = "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\
                accept: text/event-stream\r\n\r\n";
            raw.write_all(head.as_bytes()).await.unwrap();
            let mut first = [0; 15];
            within(raw.read_exact(&mut first)).await.unwrap();
            assert_eq!(&first, b"HTTP/1.1 200 OK");
            stuck.push((None, Some(raw)));
        }
    }
    // Enough to fill every buffer between the server and them.
    let tags: Vec<String> = (0..32).map(|n| format!("{n}{}", "t".repeat(90))).collect();
    let one = json!({"kind": "echo", "delay_ms": 3_600_000, "tags": tags});
    let body = json!(vec![one; 500]).to_string();
    for _ in 0..4 {
        assert_eq!(server.post("/api/v1/jobs", &body).await.status, 202);
    }
    healthy.seqs(2_000).await;
    let among = longest_delay(&server, &mut healthy).await;
    // Less than the 10 s for which the server waits for one of them, also on a busy machine.
    assert!(among < alone + Duration::from_secs(8), "{alone:?} alone, {among:?} among 80 stuck");
    drop(stuck);
}

#[tokio::test]
async fn nonsense_before_the_upgrade_is_an_http_answer() {
    let server = Server::start().await;
    for (head, status) in [
        (
            "GET /api/v1/ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            "400",
        ),
        ("POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n", "405"),
        (
            "GET /api/v1/events?job=x HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n",
            "400",
        ),
        ("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: ,;=,\r\n\r\n", "200"),
    ] {
        let mut raw = TcpStream::connect(server.address).await.unwrap();
        within(raw.write_all(head.as_bytes())).await.unwrap();
        let mut first = [0; 12];
        within(raw.read_exact(&mut first)).await.unwrap();
        assert_eq!(std::str::from_utf8(&first).unwrap(), format!("HTTP/1.1 {status}"), "{head}");
    }
}
