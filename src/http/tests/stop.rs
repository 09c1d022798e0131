//! The stop as connections see it, and the bounds of the accept loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::support::{Server, Setup, within};
use crate::http::HttpLimits;

async fn raw(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an acceptable end here.
    within(stream.read_to_end(&mut text)).await.ok();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_request_in_flight_finishes_during_the_stop() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, until) = (entered.clone(), release.clone());
    let slow = get(async move || {
        inside.notify_one();
        until.notified().await;
        "finished"
    });
    let more = Router::new().route("/test/slow", slow);
    let last_bytes = Duration::from_millis(10);
    let limits = HttpLimits { last_bytes, ..HttpLimits::default() };
    let server = Server::with(Setup { more, limits, ..Setup::default() }).await;
    // Opened first, so it is accepted once the other is.
    let mut half = raw(&server, "GET / HT").await;
    let head = "GET /test/slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = raw(&server, head).await;
    within(entered.notified()).await;
    server.shutdown.draining.cancel();
    assert_eq!(
        rest(&mut half).await,
        "",
        "the stop does not wait for a connection without a request"
    );
    within(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    assert!(!server.serving.is_finished(), "the server waits for the request");
    release.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("finished"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn half_a_request_head_and_an_idle_connection_do_not_hold_the_stop() {
    let limits = HttpLimits { header_timeout: Duration::from_secs(3_600), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut half = raw(&server, "GET /healthz HTTP/1.1\r\nhost: local").await;
    let mut idle = raw(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut first = [0; 12];
    within(idle.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut silent = raw(&server, "").await;
    server.stop().await;
    for stream in [&mut half, &mut silent] {
        assert_eq!(rest(stream).await, "");
    }
}

#[tokio::test]
async fn a_connection_that_was_idle_before_the_stop_is_closed_at_once() {
    const LAST_BYTES: Duration = Duration::from_millis(500);
    // On a busy machine, the end may be seen late; then try again.
    for _ in 0..10 {
        let limits = HttpLimits { last_bytes: LAST_BYTES, ..HttpLimits::default() };
        let server = Server::with(Setup { limits, ..Setup::default() }).await;
        let mut idle = raw(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut first = [0; 12];
        within(idle.read_exact(&mut first)).await.unwrap();
        // The time for which it is idle decides.
        tokio::time::sleep(LAST_BYTES + LAST_BYTES / 2).await;
        let stop = Instant::now();
        server.shutdown.draining.cancel();
        rest(&mut idle).await;
        let waited = stop.elapsed();
        server.stop().await;
        if waited < LAST_BYTES {
            return;
        }
    }
    panic!("the connection was kept open");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let limits = HttpLimits { header_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut stream = raw(&server, "GET / HTTP/1.1\r\nhost: local").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = HttpLimits { body_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let head = "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 10\r\n\r\n{";
    let mut stream = raw(&server, head).await;
    let mut first = [0; 12];
    within(stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 408");
}

#[tokio::test]
async fn connections_past_the_cap_wait_for_their_turn() {
    let limits = HttpLimits { max_connections: 1, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut first = raw(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut byte = [0; 1];
    within(first.read_exact(&mut byte)).await.unwrap();
    let close = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut second = raw(&server, close).await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(early.is_err(), "the second connection has to wait");
    drop(first);
    assert!(rest(&mut second).await.contains("200 OK"));
}
