//! Requests that are refused before an endpoint sees them: each gets a problem document with the headers of every other
//! response, can read it although it is still sending, and changes nothing.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::raw::{Raw, Received};
use super::support::{Server, Setup, within};
use crate::http::HttpLimits;

const JOB: &str = r#"{"kind":"echo","delay_ms":3600000}"#;

fn post_job(headers: &str, body: &str) -> String {
    format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         {headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The number of stored jobs.
async fn jobs(server: &Server) -> usize {
    server.get("/api/v1/jobs").await.json()["jobs"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start().await;
    let get = |version: &str, target: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        format!("GET {target} HTTP/{version}\r\n{hosts}\r\n")
    };
    let local = server.address.to_string();
    for (request, status, code) in [
        (get("1.1", "/api/v1/kinds", &["localhost"]), 200, ""),
        (get("1.1", "/healthz", &[]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &[]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["localhost", "localhost"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["localhost", "evil.test"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &[""]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["local host"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["localhost, localhost"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["me@localhost"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["localhost:80:80"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["[::1%1]"]), 400, "invalid_host"),
        (get("1.1", "/api/v1/kinds", &["evil.test"]), 421, "unknown_host"),
        (get("1.1", &format!("http://{local}/api/v1/kinds"), &[&local]), 200, ""),
        (get("1.1", "http://localhost/api/v1/kinds", &["localhost"]), 200, ""),
        (get("1.1", "http://localhost/api/v1/kinds", &["127.0.0.1"]), 400, "invalid_host"),
        (get("1.1", "http://evil.test/api/v1/kinds", &["localhost"]), 400, "invalid_host"),
        (get("1.1", "http://evil.test/api/v1/kinds", &["evil.test"]), 421, "unknown_host"),
        (get("1.1", "http://localhost/api/v1/kinds", &[]), 400, "invalid_host"),
        (get("1.0", "/api/v1/kinds", &[]), 200, ""),
        (get("1.0", "/api/v1/kinds", &["localhost"]), 200, ""),
        (get("1.0", "/api/v1/kinds", &["localhost", "localhost"]), 400, "invalid_host"),
        (get("1.0", "/api/v1/kinds", &["evil.test"]), 421, "unknown_host"),
        // Targets that are none, whatever the host.
        (get("1.1", "jobs", &["localhost"]), 400, "malformed_request"),
        (get("1.1", "jobs", &["jobs"]), 400, "malformed_request"),
        (get("1.1", "localhost:80", &["localhost"]), 400, "malformed_request"),
        (get("1.0", "jobs", &[]), 400, "malformed_request"),
        (get("1.1", "http://u:p@localhost/", &["localhost"]), 400, "malformed_request"),
        (get("1.1", "http://u@localhost/", &["u@localhost"]), 400, "malformed_request"),
        (get("1.1", "*", &["localhost"]), 400, "malformed_request"),
        (get("1.1", "", &["localhost"]), 400, "malformed_request"),
        (get("1.1", "/api/v1/jobs?q=\u{e9}", &["localhost"]), 200, ""),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(request.as_bytes()).await;
        let response = raw.response().await;
        assert_eq!(response.status, status, "{request}: {response:?}");
        if status != 200 {
            response.is_problem(status, code);
        }
    }
}

#[tokio::test]
async fn what_is_no_request_of_http_1_is_answered_clearly() {
    let server = Server::start().await;
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for (bytes, status, code) in [
        (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], 505, "wrong_http_version"),
        (&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], settings].concat(), 505, "wrong_http_version"),
        (b"GET / HTTP/2.0\r\nhost: localhost\r\n\r\n", 400, "malformed_request"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_request"),
        (b"GET /api/v1/jobs?q=\xff HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "malformed_request"),
        (
            b"GET /api/\xff HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n",
            400,
            "malformed_request",
        ),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(bytes).await;
        raw.response().await.is_problem(status, code);
        assert_eq!(raw.end().await, Received::End, "{bytes:?}");
    }
    // A person gets a page.
    for target in [&b"/jobs/\xff"[..], b"/jobs?q=\xff", b"/\xc3"] {
        let mut raw = Raw::connect(server.address).await;
        let rest = b" HTTP/1.1\r\nhost: localhost\r\naccept: text/html,*/*\r\n\r\n";
        raw.send(&[b"GET ", target, rest].concat()).await;
        let response = raw.response().await;
        assert_eq!(response.status, 400, "{response:?}");
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(response.header("content-security-policy").is_some(), "{response:?}");
    }
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let response = raw.response().await;
    assert_eq!(response.status, 204, "{response:?}");
    assert_eq!(response.header("allow"), Some("get, head, post, put, delete, options"));
}

#[tokio::test]
async fn every_parameter_that_is_refused_is_in_the_list_of_errors() {
    let server = Server::start().await;
    for (method, path, field) in [
        ("POST", "/api/v1/queues/a%20b/pause", "queue"),
        ("POST", "/api/v1/queues/a%20b/concurrency", "queue"),
        ("GET", "/api/v1/schedules/a%20b", "schedule"),
        ("POST", "/api/v1/schedules/.x/run", "schedule"),
        ("GET", "/api/v1/ws?stats=true", "stats"),
        ("GET", "/api/v1/jobs/%ff", "path"),
        ("GET", "/api/v1/jobs?q=%zz", "query"),
        ("GET", "/api/v1/jobs?limit=0", "limit"),
    ] {
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("content-type", "application/json"),
        ];
        let headers = if path.contains("/ws") { &upgrade[..] } else { &upgrade[4..] };
        let body = if path.ends_with("concurrency") { r#"{"concurrency":1}"# } else { "" };
        let answer = server.send(method, path, headers, body).await;
        let problem = answer.is_problem(400, "invalid_parameter");
        assert_eq!(problem["errors"][0]["field"], field, "{path}: {problem}");
        assert!(problem["errors"][0]["message"].is_string(), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_or_encoded_is_refused_while_it_is_sent() {
    let limits = HttpLimits { linger: Duration::from_secs(600), ..HttpLimits::default() };
    let longest = limits.max_body;
    let more = Router::new().route("/test/form", post(async |body: String| body));
    let server = Server::with(Setup { limits, more, ..Setup::default() }).await;
    let head = |path: &str, headers: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             {headers}\r\n"
        )
    };
    let id = "019ab001-7c3e-7d10-8a55-0242ac120002";
    let paths = [
        "/api/v1/jobs".to_owned(),
        "/api/v1/bulk".to_owned(),
        "/api/v1/bulk/preview".to_owned(),
        "/api/v1/cron/preview".to_owned(),
        "/api/v1/queues/mail/concurrency".to_owned(),
        "/api/v1/queues/mail/pause".to_owned(),
        format!("/api/v1/jobs/{id}/move"),
        format!("/api/v1/jobs/{id}/retry"),
        "/test/form".to_owned(),
        "/nowhere".to_owned(),
    ];
    let too_long = format!("content-length: {}\r\n", longest + 1);
    let huge = "content-length: 9000000000000000000\r\n".to_owned();
    let gzip =
        |encoding: &str| format!("content-encoding: {encoding}\r\ncontent-length: 300000\r\n");
    for path in &paths {
        for (headers, status, code) in [
            (too_long.clone(), 413, "body_too_large"),
            (huge.clone(), 413, "body_too_large"),
            (format!("expect: 100-continue\r\n{too_long}"), 413, "body_too_large"),
            (gzip("gzip"), 415, "wrong_content_encoding"),
            (gzip("identity, br"), 415, "wrong_content_encoding"),
            (gzip("x-unknown"), 415, "wrong_content_encoding"),
        ] {
            let mut raw = Raw::connect(server.address).await;
            raw.send(head(path, &headers).as_bytes()).await;
            let response = raw.response().await;
            response.is_problem(status, code);
            assert_eq!(response.header("connection"), Some("close"), "{path} {headers}");
            let accepted = (status == 415).then_some("identity");
            assert_eq!(response.header("accept-encoding"), accepted, "{path} {headers}");
            assert_eq!(raw.end().await, Received::End, "{path} {headers}");
        }
    }
    // A client that sends everything before it reads sees the response, too.
    for path in &paths {
        let mut raw = Raw::connect(server.address).await;
        raw.send(head(path, &too_long).as_bytes()).await;
        let body = vec![b' '; longest + 1];
        within(tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &body)).await.unwrap();
        raw.response().await.is_problem(413, "body_too_large");
        assert_eq!(raw.end().await, Received::End, "{path}");
    }
    // A body without a declared length is refused at the limit.
    let mut raw = Raw::connect(server.address).await;
    raw.send(head("/api/v1/jobs", "transfer-encoding: chunked\r\n").as_bytes()).await;
    let chunk = [b"10000\r\n", &vec![b' '; 0x10000][..], b"\r\n"].concat();
    for _ in 0..40 {
        within(tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &chunk)).await.unwrap();
    }
    raw.response().await.is_problem(413, "body_too_large");
    assert_eq!(raw.end().await, Received::End);
    assert_eq!(jobs(&server).await, 0);
    // No encoding, or none that changes anything.
    for encoding in ["", "content-encoding: identity\r\n", "content-encoding: Identity\r\n"] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(post_job(encoding, JOB).as_bytes()).await;
        assert_eq!(raw.response().await.status, 202, "{encoding}");
    }
}

#[tokio::test]
async fn heads_that_are_refused_are_problems_whatever_follows_them() {
    let limits = HttpLimits {
        linger: Duration::from_secs(600),
        header_timeout: Duration::from_millis(300),
        ..HttpLimits::default()
    };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let (head, end) = ("GET /healthz HTTP/1.1\r\nhost: localhost\r\n", "\r\n\r\n");
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, status, code) in [
        (format!("{head}x: {}{end}", "x".repeat(1_000_000)), 431, "head_too_large"),
        (format!("{head}{many}\r\n"), 431, "head_too_large"),
        (
            format!("GET /{} HTTP/1.1\r\nhost: localhost{end}", "x".repeat(65_535)),
            414,
            "uri_too_long",
        ),
        (format!("no such thing{end}{}", "x".repeat(1_000_000)), 400, "malformed_request"),
        (format!("{head}not a header{end}"), 400, "malformed_request"),
        (format!("GET /healthz HTTP/2.0{end}"), 400, "malformed_request"),
        (format!("GET /heal thz HTTP/1.1\r\nhost: localhost{end}"), 400, "malformed_request"),
        (format!("{head}content-length: -1{end}"), 400, "malformed_request"),
        (format!("{head}content-length: 1\r\ncontent-length: 2{end}"), 400, "malformed_request"),
        (format!("{head}transfer-encoding: gzip{end}"), 400, "malformed_request"),
        (format!("{head}content-length: 18446744073709551615{end}"), 413, "body_too_large"),
        (format!("{head}Content-Length:18446744073709551616{end}"), 413, "body_too_large"),
        (format!("{head}content-length: {}{end}", "9".repeat(300)), 413, "body_too_large"),
        (format!("{head}content-length: {}x{end}", "9".repeat(30)), 400, "malformed_request"),
        (format!("{head}{many}x: {}\r\n\r\n", "9".repeat(50)), 431, "head_too_large"),
        (head.to_owned(), 408, "request_timeout"),
        ("G".to_owned(), 408, "request_timeout"),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(request.as_bytes()).await;
        let response = raw.response().await;
        assert_eq!(response.status, status, "{request:.60}: {response:?}");
        response.is_problem(status, code);
        assert_eq!(response.header("connection"), Some("close"), "{request:.60}");
        assert_eq!(raw.end().await, Received::End, "{request:.60}");
    }
    let mut silent = Raw::connect(server.address).await;
    assert_eq!(silent.end().await, Received::End, "a client that asks for nothing gets nothing");
}

#[tokio::test]
async fn no_text_of_the_framework_reaches_a_client() {
    #[derive(serde::Deserialize)]
    struct Page {
        #[allow(dead_code)] // only its type matters
        page: u32,
    }
    // Endpoints that reject requests with the extractors of axum, as one that was added carelessly would.
    let more = Router::new()
        .route("/test/number/{n}", get(async |Path(_): Path<u32>| ()))
        .route("/test/page", get(async |Query(_): Query<Page>| ()))
        .route("/test/json", post(async |_: axum::Json<Page>| ()))
        .route("/test/bare", get(async || StatusCode::IM_A_TEAPOT))
        .route("/test/broken", get(async || (StatusCode::BAD_GATEWAY, "upstream said no")));
    let server = Server::with(Setup { more, ..Setup::default() }).await;
    let (parameter, any) = ("invalid_parameter", &[][..]);
    let json = &[("content-type", "application/json")][..];
    for (method, path, headers, body, status, code) in [
        ("GET", "/test/number/x", any, "", 400, "invalid_request"),
        ("GET", "/test/number/%ff", any, "", 400, parameter),
        ("GET", "/test/page", any, "", 400, "invalid_request"),
        ("GET", "/test/page?page=x", any, "", 400, "invalid_request"),
        ("POST", "/test/json", any, "{}", 415, "wrong_content_type"),
        ("POST", "/test/json", json, "{", 400, "invalid_request"),
        ("POST", "/test/json", json, "{}", 422, "invalid_request"),
        ("GET", "/test/bare", any, "", 418, "invalid_request"),
        ("GET", "/test/broken", any, "", 502, "internal"),
        ("GET", "/nowhere", any, "", 404, "no_such_path"),
        ("DELETE", "/test/page", any, "", 405, "wrong_method"),
        ("GET", "/api/", any, "", 404, "no_such_path"),
        ("GET", "/api/v2/jobs", any, "", 404, "no_such_path"),
        ("GET", "/api/v1/jobs/", any, "", 404, "no_such_path"),
        ("GET", "/api/v1/%ff", any, "", 400, parameter),
        ("GET", "/api/v1/bulk/%ff", any, "", 400, parameter),
        ("POST", "/api/v1/bulk/%ff/stop", any, "", 400, parameter),
        ("GET", "/api/v1/jobs/%ff", any, "", 400, parameter),
        ("DELETE", "/api/v1/jobs/%c3%28", any, "", 400, parameter),
        ("POST", "/api/v1/jobs/%ff/retry", any, "", 400, parameter),
        ("GET", "/api/v1/jobs/%ff/log", any, "", 400, parameter),
        ("POST", "/api/v1/queues/%ff/pause", any, "", 400, parameter),
        ("GET", "/api/v1/schedules/%ff", any, "", 400, parameter),
        ("PUT", "/api/v1/jobs", any, "", 405, "wrong_method"),
        ("POST", "/api/v1/stats", any, "", 405, "wrong_method"),
        ("PATCH", "/api/v1/jobs/x", any, "", 405, "wrong_method"),
        ("OPTIONS", "/api/v1/jobs", any, "", 405, "wrong_method"),
        ("POST", "/healthz", any, "", 405, "wrong_method"),
        ("DELETE", "/metrics", any, "", 405, "wrong_method"),
        ("POST", "/api/v1/jobs", any, "{}", 415, "wrong_content_type"),
        ("POST", "/api/v1/jobs", json, "{", 400, "malformed_json"),
        ("POST", "/api/v1/jobs", json, "\u{fffd}", 400, "malformed_json"),
    ] {
        let answer = server.send(method, path, headers, body).await;
        let document = answer.is_problem(status, code);
        assert!(answer.header("x-request-id").len() >= 32, "{method} {path}");
        assert!(!answer.header("x-content-type-options").is_empty(), "{method} {path}");
        assert!(status != 405 || answer.headers.contains_key("allow"), "{method} {path}");
        let detail = document["detail"].as_str().unwrap();
        for words in ["deserialize", "Invalid URL", "extension", "upstream", "Expected request"] {
            assert!(!detail.contains(words), "{method} {path}: {detail}");
        }
    }
    let body = "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\nxyz\r\n";
    let mut raw = Raw::connect(server.address).await;
    raw.send(body.as_bytes()).await;
    raw.response().await.is_problem(400, "broken_body");
}

#[tokio::test]
async fn what_a_client_accepts_never_makes_a_change_look_like_a_failure() {
    let server = Server::start().await;
    let mut stored = 0;
    for (name, value) in [
        ("accept-encoding", "identity;q=0"),
        ("accept-encoding", "*;q=0"),
        ("accept-encoding", "gzip;q=0, identity;q=0"),
        ("accept-encoding", "br, *;q=0"),
        ("accept-encoding", "identity;q=0, *;q=0.000"),
        ("accept-encoding", "gzip;q=nonsense, *;q=0"),
        ("accept-encoding", ""),
        ("accept", "text/html;q=0"),
        ("accept", "application/json;q=0"),
        ("accept", "*/*;q=0"),
        ("accept", "image/png"),
        ("accept-charset", "utf-8;q=0"),
        ("accept-language", "*;q=0"),
        ("te", "trailers;q=0"),
        ("if-match", "\"x\""),
        ("range", "bytes=9-"),
    ] {
        let headers = [("content-type", "application/json"), (name, value)];
        let answer = server.send("POST", "/api/v1/jobs", &headers, JOB).await;
        assert_eq!(answer.status, 202, "{name}: {value}: {answer:?}");
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        stored += 1;
        assert_eq!(jobs(&server).await, stored, "{name}: {value}");
        for (method, path, body, status) in [
            ("POST", format!("/api/v1/jobs/{id}/reprioritise"), r#"{"priority":1}"#, 200),
            ("POST", format!("/api/v1/jobs/{id}/move"), r#"{"queue":"mail"}"#, 200),
            ("POST", format!("/api/v1/jobs/{id}/cancel"), "", 200),
            ("POST", "/api/v1/queues/mail/pause".into(), "", 204),
            ("POST", "/api/v1/queues/mail/resume".into(), "", 204),
            ("POST", "/api/v1/queues/mail/concurrency".into(), r#"{"concurrency":3}"#, 204),
            ("PUT", "/api/v1/schedules/x".into(), r#"{"cron":"@daily","kind":"echo"}"#, 200),
            ("DELETE", "/api/v1/schedules/x".into(), "", 204),
            ("POST", "/api/v1/bulk".into(), r#"{"action":"cancel","filter":{"kind":"x"}}"#, 202),
            ("GET", "/api/v1/jobs".into(), "", 200),
        ] {
            let answer = server.send(method, &path, &headers, body).await;
            assert_eq!(answer.status, status, "{name}: {value}: {method} {path}: {answer:?}");
        }
    }
    // A weight of zero is no wish for a stream either.
    let accept = &[("accept", "text/event-stream;q=0")];
    let answer = server.send("GET", "/api/v1/events", accept, "").await;
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn responses_that_nobody_reads_are_no_reason_to_deny_a_change() {
    let limits = HttpLimits { max_unread: 100_000, max_body: 4 << 20, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    // A response far above the limit: its job is stored, so it is sent.
    let batch = format!("[{}]", vec![JOB; 1_000].join(","));
    let answer = server.post("/api/v1/jobs", &batch).await;
    assert_eq!(answer.status, 202);
    assert!(answer.body.len() > 200_000, "{}", answer.body.len());
}

#[tokio::test]
async fn a_body_that_no_endpoint_reads_does_not_cost_the_response() {
    let limits = HttpLimits { linger: Duration::from_secs(600), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let body = vec![b'x'; 1_000_000];
    let head = format!(
        "POST /api/v1/queues/a%20b/pause HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut raw = Raw::connect(server.address).await;
    raw.send(head.as_bytes()).await;
    within(tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &body)).await.unwrap();
    let response = raw.response().await;
    assert_eq!((response.status, response.header("connection")), (400, Some("close")));
    assert_eq!(raw.end().await, Received::End);
    // A short one is discarded, and the connection is kept.
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..2 {
        let path = "/api/v1/queues/mail/pause";
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{{}}");
        raw.send(request.as_bytes()).await;
        assert_eq!(raw.response().await.status, 204);
    }
}

#[tokio::test]
async fn a_refusal_waits_for_a_short_body_or_says_that_the_connection_ends() {
    let forever = Duration::from_secs(600);
    let head = "POST /queues/mail/pause HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.test\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 11\r\n";
    // The body comes after the head, as through Caddy. The connection can be used for the next request.
    let limits = HttpLimits { linger: forever, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..3 {
        raw.send(format!("{head}\r\n").as_bytes()).await;
        let early = tokio::time::timeout(Duration::from_millis(30), raw.head()).await;
        let early = early.ok().map(|response| response.head);
        assert_eq!(early, None, "the response did not wait for the body");
        raw.send(b"from=queues").await;
        let response = raw.response().await;
        response.is_problem(403, "cross_site");
        assert_eq!(response.header("connection"), None);
    }
    // A client that waits for permission to send its body, and does not get it, is not waited for.
    raw.send(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).await;
    let response = raw.response().await;
    assert_eq!((response.status, response.header("connection")), (403, Some("close")));
    assert_eq!(raw.end().await, Received::End);
    // Neither is one whose body does not come.
    let limits = HttpLimits { linger: Duration::from_millis(50), ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(format!("{head}\r\nfrom=").as_bytes()).await;
    let response = raw.response().await;
    assert_eq!((response.status, response.header("connection")), (403, Some("close")));
    assert_eq!(raw.end().await, Received::End);
}
