//! The end of WebSockets (RFC 6455 §7): the closing handshake is completed, whoever begins it, and a client that is told why
//! its connection ends is not cut off by a reset.

use std::time::Duration;

use super::raw::{Raw, Received, close, frame};
use super::support::{Server, Setup, within};
use crate::http::HttpLimits;

/// The wait for the client's close frame is longer than the test may take, so a test ends only when the frame was read.
const NEVER: Duration = Duration::from_secs(600);

async fn limited(limits: HttpLimits) -> Server {
    Server::with(Setup { limits: HttpLimits { close: NEVER, ..limits }, ..Setup::default() }).await
}

/// Waits until the server has dropped every connection.
async fn is_empty(server: &Server) {
    within(async {
        while server.engine.subscriber_counts().of(crate::engine::Transport::WebSocket) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn after_our_close_frame_the_clients_is_read_and_the_connection_ends_without_a_reset() {
    let ping = frame(0x81, br#"{"type":"ping"}"#);
    let flood = |one: &[u8]| one.repeat(20_000);
    for (name, bytes, code) in [
        ("a flood of pings", flood(&frame(0x89, b"")), 1008),
        ("a flood of pongs", flood(&frame(0x8a, b"")), 1008),
        ("a flood of messages", flood(&ping), 1008),
        ("a flood of empty fragments", [frame(0x01, b""), flood(&frame(0x00, b""))].concat(), 1008),
        ("a binary message", [frame(0x82, b"x"), flood(&ping)].concat(), 1003),
        ("a long message", frame(0x81, &vec![b'x'; 300_000]), 1009),
        ("invalid text", [frame(0x81, b"\xff"), flood(&ping)].concat(), 1007),
        ("a reserved bit", [frame(0xc1, b"x"), flood(&ping)].concat(), 1002),
    ] {
        let server = limited(HttpLimits::default()).await;
        let mut raw = Raw::websocket(server.address).await;
        // More than the buffers of the kernel hold, so some of it is unread when the server closes.
        raw.send(&bytes).await;
        assert_eq!(raw.last_frame().await, Received::Close(Some(code)), "{name}");
        raw.send(&close(code)).await;
        assert_eq!(raw.receive().await, Received::End, "{name}");
        // After the other codes the server cannot find a close frame in what follows, and waits for the end.
        if code != 1008 {
            drop(raw);
        }
        is_empty(&server).await;
    }
}

#[tokio::test]
async fn a_close_frame_among_the_frames_of_a_flood_is_not_waited_for_again() {
    let server = limited(HttpLimits { socket_rate: 5, ..HttpLimits::default() }).await;
    let mut raw = Raw::websocket(server.address).await;
    raw.send(&[frame(0x89, b"").repeat(10), close(1000)].concat()).await;
    assert_eq!(raw.last_frame().await, Received::Close(Some(1008)));
    assert_eq!(raw.receive().await, Received::End);
    drop(raw);
    is_empty(&server).await;
}

#[tokio::test]
async fn a_stop_and_a_silent_client_end_in_the_same_way() {
    let server = limited(HttpLimits::default()).await;
    let mut raw = Raw::websocket(server.address).await;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(raw.last_frame().await, Received::Close(Some(1001)));
    raw.send(&close(1001)).await;
    assert_eq!(raw.receive().await, Received::End);
    within(stopping).await.unwrap();

    let soon = Duration::from_millis(100);
    let server =
        limited(HttpLimits { socket_ping: soon, socket_pong: soon, ..HttpLimits::default() }).await;
    let mut raw = Raw::websocket(server.address).await;
    assert_eq!(raw.last_frame().await, Received::Close(Some(1013)));
    raw.send(&close(1013)).await;
    assert_eq!(raw.receive().await, Received::End);
    is_empty(&server).await;
}

#[tokio::test]
async fn every_frame_counts_against_the_rate() {
    let server = limited(HttpLimits { socket_rate: 20, ..HttpLimits::default() }).await;
    let begin = frame(0x01, b"");
    for (name, first, one) in [
        ("pings", vec![], frame(0x89, b"")),
        ("pongs", vec![], frame(0x8a, b"x")),
        ("messages", vec![], frame(0x81, b"{}")),
        ("empty messages", vec![], frame(0x81, b"")),
        ("empty fragments", begin.clone(), frame(0x00, b"")),
        ("fragments", begin.clone(), frame(0x00, b" ")),
        ("pings between fragments", begin, frame(0x89, b"")),
    ] {
        // All within one second, or the test proves nothing; a busy machine may need several attempts.
        let mut raw = Raw::websocket(server.address).await;
        raw.send(&[first, one.repeat(40)].concat()).await;
        assert_eq!(raw.last_frame().await, Received::Close(Some(1008)), "{name}");
        raw.send(&close(1008)).await;
        assert_eq!(raw.receive().await, Received::End, "{name}");
    }
    // A few frames of each kind are fine.
    let mut raw = Raw::websocket(server.address).await;
    let few = [
        frame(0x89, b"1"),
        frame(0x8a, b""),
        frame(0x01, b"{"),
        frame(0x00, b""),
        frame(0x80, b"}"),
    ];
    raw.send(&few.concat()).await;
    assert_eq!(raw.receive().await, Received::Pong(b"1".into()));
    assert!(matches!(raw.receive().await, Received::Text(_)));
}
