//! Access control, and the headers that every response has.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::support::{Server, Setup, refused, within};
use crate::http::layers::auth::Hosts;
use crate::http::{Access, Anonymous, HttpLimits};

fn access(token: Option<&str>) -> Access {
    Access {
        token: token.map(Into::into),
        anonymous: Anonymous::AllowedWithoutUsers,
        hosts: Hosts::Loopback { also: vec!["jobs.test".into()] },
        trusted_origins: vec!["https://friend.test".into()],
        external: Default::default(),
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const JOB: &str = r#"{"kind":"echo","delay_ms":3600000}"#;

#[tokio::test]
async fn a_page_of_another_site_cannot_post() {
    let server = Server::with(Setup { access: access(None), ..Setup::default() }).await;
    let own = server.url("");
    for (headers, status) in [
        (vec![("sec-fetch-site", "cross-site"), ("origin", "http://evil.test")], 403),
        (vec![("sec-fetch-site", "same-site"), ("origin", "http://evil.test")], 403),
        (vec![("origin", "http://evil.test")], 403),
        (vec![("origin", "null")], 403),
        (vec![("sec-fetch-site", "same-origin"), ("origin", own.as_str())], 202),
        (vec![("origin", own.as_str())], 202),
        (vec![("sec-fetch-site", "cross-site"), ("origin", "https://friend.test")], 202),
        (vec![], 202),
    ] {
        let mut all = headers.clone();
        all.push(JSON);
        let answer = server.send("POST", "/api/v1/jobs", &all, JOB).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 403 {
            answer.is_problem(403, "cross_site");
        }
    }
}

#[tokio::test]
async fn a_token_keeps_everybody_out_but_probes() {
    let server = Server::with(Setup { access: access(Some("s3cret")), ..Setup::default() }).await;
    let answer = server.get("/api/v1/stats").await;
    answer.is_problem(401, "unauthorized");
    assert!(answer.header("www-authenticate").starts_with("Basic realm="), "{answer:?}");
    let with = async |value: &str| {
        server.send("GET", "/api/v1/stats", &[("authorization", value)], "").await.status
    };
    assert_eq!(with("Bearer s3cret").await, 200);
    assert_eq!(with("Basic YW55Ym9keTpzM2NyZXQ=").await, 200);
    assert_eq!(with("Bearer wrong").await, 401);
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    let request = format!("ws://{}/api/v1/ws", server.address).into_client_request().unwrap();
    assert_eq!(refused(request).await.0, 401);
}

#[tokio::test]
async fn another_name_for_loopback_is_refused() {
    let server = Server::with(Setup { access: access(None), ..Setup::default() }).await;
    let as_host =
        async |host: &str| server.send("GET", "/api/v1/stats", &[("host", host)], "").await;
    as_host("rebound.test").await.is_problem(421, "unknown_host");
    assert_eq!(as_host("jobs.test").await.status, 200);
    assert_eq!(as_host("localhost:1").await.status, 200);
}

#[tokio::test]
async fn every_answer_is_safe_for_browsers_and_has_an_id() {
    let server = Server::start().await;
    for path in ["/api/v1/stats", "/api/v1/nothing", "/healthz"] {
        let answer = server.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert!(answer.header("x-request-id").len() >= 32);
    }
    assert_eq!(server.get("/api/v1/stats").await.header("cache-control"), "no-store");
    let given = async |id: &str| {
        let answer = server.send("GET", "/healthz", &[("x-request-id", id)], "").await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(given("trace-1.a_B").await, "trace-1.a_B");
    assert_ne!(given("two words").await, "two words");
    assert_ne!(given(&"x".repeat(65)).await, "x".repeat(65));
}

#[tokio::test]
async fn an_answer_that_takes_too_long_becomes_a_problem() {
    let more = Router::new().route("/test/slow", get(std::future::pending::<()>));
    let limits = HttpLimits { request_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, more, ..Setup::default() }).await;
    server.get("/test/slow").await.is_problem(503, "timed_out");
}

#[tokio::test]
async fn pages_are_compressed_for_clients_that_accept_it() {
    let longest = HttpLimits::default().max_compressed;
    let more = Router::new()
        .route("/test/page", get(async || "x".repeat(5_000)))
        .route("/test/just", get(async move || "x".repeat(longest)))
        .route("/test/large", get(async move || "x".repeat(longest + 1)));
    let server = Server::with(Setup { more, ..Setup::default() }).await;
    let answer = server.send("HEAD", "/test/page", &[("accept-encoding", "gzip")], "").await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(server.get("/test/page").await.body.len(), 5_000);
    let encoding = async |path: &str| {
        let answer = server.send("GET", path, &[("accept-encoding", "gzip")], "").await;
        assert_eq!(answer.status, 200, "{path}");
        answer.header("content-encoding").to_owned()
    };
    assert_eq!(encoding("/test/just").await, "gzip");
    assert_eq!(encoding("/test/large").await, "", "too large to compress");
    assert_eq!(encoding("/api/v1/export").await, "", "an export may be as large as the store");
}

#[tokio::test]
async fn a_body_whose_content_length_is_too_large_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    for (path, kind) in [("/api/v1/jobs", "application/json"), ("/nothing", "text/plain")] {
        let length = HttpLimits::default().max_body + 1;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        );
        let answer = said(&server, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("body_too_large"), "{answer}");
    }
}

#[tokio::test]
async fn the_body_of_a_request_that_is_refused_already_is_not_asked_for() {
    let server = Server::start().await;
    let json = "content-type: application/json\r\n";
    for (line, headers, status) in [
        ("POST /api/v1/jobs?wait=x", json, 400),
        ("POST /api/v1/jobs?bogus=1", json, 400),
        ("POST /api/v1/jobs", "", 415),
        ("POST /api/v1/jobs", "content-type: application/json\r\nidempotency-key: \"\r\n", 400),
        ("POST /api/v1/bulk?x=1", json, 400),
        ("POST /api/v1/bulk", "content-type: application/json\r\nidempotency-key: k\r\n", 400),
        ("POST /api/v1/queues/a%20b/concurrency", json, 400),
        ("POST /api/v1/queues/q/pause?x=1", json, 400),
        ("POST /api/v1/jobs/x/move", json, 404),
        ("PUT /api/v1/schedules/a%20b", json, 400),
    ] {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: 2\r\n\
             expect: 100-continue\r\nconnection: close\r\n\r\n"
        );
        let answer = said(&server, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_body_in_chunks_of_one_byte_is_read() {
    let server = Server::start().await;
    let chunked = |body: &str| {
        let chunks: String = body.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
        format!(
            "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    let answer = said(&server, chunked(r#"{"kind":"echo","payload":7}"#).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

/// Sends bytes and returns the response.
async fn said(server: &Server, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}
