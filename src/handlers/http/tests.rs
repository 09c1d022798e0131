//! The `http` kind against a server on loopback: what goes out, and what each answer makes of the job.

mod callbacks;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::handlers::testing::{context, discarded, result, retried, run};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// One request as the server saw it.
type Seen = (Method, HeaderMap, Bytes);

/// A server on loopback whose path says what it answers.
struct Server {
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Notified when a request to `/hang` has arrived.
    hanging: Arc<Notify>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (seen, hanging) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(Notify::new()));
        let keep = seen.clone();
        let record = any(move |Path(code): Path<u16>, method, headers, body| async move {
            keep.lock().unwrap().push((method, headers, body));
            answer(code)
        });
        let arrived = hanging.clone();
        let hang = any(move || async move {
            arrived.notify_one();
            std::future::pending::<()>().await;
        });
        let app = Router::new()
            .route("/status/{code}", record)
            .route("/hang", hang)
            .route("/big", any(|| async { "ä".repeat(100_000) }))
            .route("/slow-refusal", any(slow_refusal));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Server { base, seen, hanging }
    }

    fn payload(&self, path: &str) -> String {
        json!({ "url": format!("{}{path}", self.base) }).to_string()
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("a request should have arrived")
    }
}

fn answer(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap();
    match code {
        302 => (status, [("location", "/status/200")]).into_response(),
        429 => (status, [("retry-after", "7")], "slow down").into_response(),
        503 => (status, [("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")]).into_response(),
        200 => (status, [("x-answer", "yes")], "fine").into_response(),
        _ => (status, "words of the server").into_response(),
    }
}

/// A refusal whose body never ends.
async fn slow_refusal() -> Response {
    (StatusCode::GONE, Body::from_stream(futures_util::stream::pending::<Result<Bytes, String>>()))
        .into_response()
}

fn open() -> HttpSettings {
    HttpSettings { allow: vec!["127.0.0.1/32".parse().unwrap()], ..HttpSettings::default() }
}

async fn send(settings: &HttpSettings, payload: &str) -> Outcome {
    run(&Http::new(settings).unwrap(), &context(payload, 1)).await
}

#[tokio::test]
async fn a_success_becomes_the_result() {
    let server = Server::start().await;
    let result = result(send(&open(), &server.payload("/status/200")).await);
    assert_eq!((&result["status"], &result["body"]), (&json!(200), &json!("fine")));
    assert_eq!(result["headers"]["x-answer"], "yes");
    assert!(result["duration_ms"].is_u64() && result.get("truncated").is_none(), "{result}");
    let (method, headers, body) = server.last();
    assert_eq!((method, body.len()), (Method::GET, 0));
    assert!(headers["user-agent"].to_str().unwrap().starts_with("cortado/"));
    assert!(headers.get("webhook-signature").is_none());
}

#[tokio::test]
async fn the_status_decides_between_another_attempt_and_the_end() {
    let server = Server::start().await;
    for code in [408, 425, 429, 500, 502, 503, 504, 599] {
        let (error, _) = retried(send(&open(), &server.payload(&format!("/status/{code}"))).await);
        assert!(error.contains(&code.to_string()), "{error}");
    }
    for code in [302, 304, 400, 401, 403, 404, 410, 422] {
        let error = discarded(send(&open(), &server.payload(&format!("/status/{code}"))).await);
        assert!(error.contains(&code.to_string()), "{error}");
    }
    let error = discarded(send(&open(), &server.payload("/status/404")).await);
    assert!(error.ends_with("404 Not Found: words of the server"), "{error}");
}

#[tokio::test]
async fn retry_after_sets_the_wait_up_to_the_cap() {
    let server = Server::start().await;
    let (_, seconds) = retried(send(&open(), &server.payload("/status/429")).await);
    assert_eq!(seconds, Some(Duration::from_secs(7)));
    let (_, date) = retried(send(&open(), &server.payload("/status/503")).await);
    assert_eq!(date, Some(Duration::from_secs(3_600)));
    let (_, none) = retried(send(&open(), &server.payload("/status/500")).await);
    assert_eq!(none, None);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start().await;
    let error = discarded(send(&open(), &server.payload("/status/302")).await);
    assert!(error.contains("not followed") && error.contains("/status/200"), "{error}");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_long_body_is_cut_at_a_character() {
    let server = Server::start().await;
    let settings = HttpSettings { max_body: 1_001, ..open() };
    let result = result(send(&settings, &server.payload("/big")).await);
    assert_eq!(result["truncated"], true);
    assert_eq!(result["body"], "ä".repeat(500));
}

#[tokio::test]
async fn method_headers_and_body_go_out_as_asked() {
    let server = Server::start().await;
    let url = format!("{}/status/200", server.base);
    let send_with = async |more: serde_json::Value| {
        let mut payload = json!({ "url": url });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        result(send(&open(), &payload.to_string()).await);
        server.last()
    };

    let (method, headers, body) = send_with(json!({ "body": { "n": 1 } })).await;
    assert_eq!((method, &body[..]), (Method::POST, &b"{\"n\":1}"[..]));
    assert_eq!(headers["content-type"], "application/json");

    let (_, headers, body) = send_with(json!({ "body": "plain ä" })).await;
    assert_eq!(&body[..], "plain ä".as_bytes());
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");

    let more = json!({ "method": "patch", "headers": { "Content-Type": "text/x", "X-A": "b" }, "body": "1" });
    let (method, headers, _) = send_with(more).await;
    assert_eq!(method, Method::PATCH);
    assert_eq!(
        (&headers["content-type"], &headers["x-a"]),
        (&"text/x".parse().unwrap(), &"b".parse().unwrap())
    );
}

#[tokio::test]
async fn a_json_body_goes_out_as_it_was_typed() {
    let server = Server::start().await;
    let body = r#"{"big":12345678901234567890123,"b": 1.0}"#;
    let payload = format!(r#"{{"url":"{}/status/200","body":{body}}}"#, server.base);
    result(send(&open(), &payload).await);
    assert_eq!(&server.last().2[..], body.as_bytes());
}

#[tokio::test]
async fn what_cannot_be_sent_is_discarded_before_anything_goes_out() {
    let server = Server::start().await;
    let url = format!("{}/status/200", server.base);
    for (payload, says) in [
        (json!({ "url": url, "method": "CONNECT" }), "CONNECT"),
        (json!({ "url": url, "method": "no method" }), "not an HTTP method"),
        (json!({ "url": url, "headers": { "Host": "other" } }), "set by the server"),
        (json!({ "url": url, "headers": { "content-length": "9" } }), "set by the server"),
        (json!({ "url": url, "headers": { "two words": "x" } }), "not a header name"),
        (json!({ "url": url, "headers": { "x": "line\r\nbreak: y" } }), "not allowed in headers"),
        (json!({ "url": url, "retries": 3 }), "retries"),
        (json!({ "method": "GET" }), "url"),
    ] {
        let error = discarded(send(&open(), &payload.to_string()).await);
        assert!(error.contains(says), "{payload}: {error}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn requests_are_signed_over_the_exact_body() {
    let server = Server::start().await;
    let settings = HttpSettings { signer: Some(SECRET.parse().unwrap()), ..open() };
    let handler = Http::new(&settings).unwrap();
    for body in ["", r#","body":{"b": 1, "a":"ä"}"#, r#","body":"text""#] {
        let payload = format!(r#"{{"url":"{}/status/200"{body}}}"#, server.base);
        let context = context(&payload, 1);
        result(run(&handler, &context).await);
        let (_, headers, body) = server.last();
        assert_eq!(headers["webhook-id"], context.id().to_string());
        Webhook::new(SECRET).unwrap().verify(&body, &headers).unwrap();
        assert!(Webhook::new(SECRET).unwrap().verify(b"other", &headers).is_err());
    }
}

#[tokio::test]
async fn a_silent_server_costs_the_timeout_and_is_tried_again() {
    let server = Server::start().await;
    let url = format!("{}/hang", server.base);
    let payload = json!({ "url": url, "timeout_ms": 50 }).to_string();
    let (error, _) = retried(send(&open(), &payload).await);
    assert!(error.contains("within 50 ms"), "{error}");
}

#[tokio::test]
async fn a_cancelled_request_ends_at_once() {
    let server = Server::start().await;
    let handler = Http::new(&open()).unwrap();
    let context = context(&server.payload("/hang"), 1);
    let cancel = async {
        server.hanging.notified().await;
        context.cancellation().cancel();
    };
    let (outcome, ()) = tokio::join!(run(&handler, &context), cancel);
    assert_eq!(outcome, Outcome::Cancel);
}

#[tokio::test]
async fn a_refusal_is_final_though_its_body_never_ends() {
    let server = Server::start().await;
    let error = discarded(send(&open(), &server.payload("/slow-refusal")).await);
    assert!(error.contains("410"), "{error}");
}

#[tokio::test]
async fn a_transport_error_is_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let payload = json!({ "url": format!("http://{closed}/?key=hidden") }).to_string();
    let (error, _) = retried(send(&open(), &payload).await);
    assert!(error.contains("refused") && !error.contains("hidden"), "{error}");

    // An answer that breaks off in the middle.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payload = json!({ "url": format!("http://{}/", listener.local_addr().unwrap()) });
    let half = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    };
    let payload = payload.to_string();
    let open = open();
    let (outcome, ()) = tokio::join!(send(&open, &payload), half);
    let (error, _) = retried(outcome);
    assert!(error.contains("cut off"), "{error}");
}

#[tokio::test]
async fn nothing_reaches_an_address_that_is_not_public() {
    let server = Server::start().await;
    let port = server.base.rsplit(':').next().unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "localhost",
        "LOCALHOST",
    ] {
        let payload = json!({ "url": format!("http://{host}:{port}/status/200") }).to_string();
        let error = discarded(send(&HttpSettings::default(), &payload).await);
        assert!(error.contains("handlers.http.allow"), "{host}: {error}");
    }
    for url in
        ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "https://[fd00::1]/"]
    {
        let payload = json!({ "url": url }).to_string();
        let error = discarded(send(&HttpSettings::default(), &payload).await);
        assert!(error.contains("handlers.http.allow"), "{url}: {error}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_is_held_to_what_it_resolves_to_unless_its_site_is_allowed() {
    let server = Server::start().await;
    let port = server.base.rsplit(':').next().unwrap();
    let payload = json!({ "url": format!("http://localhost:{port}/status/200") }).to_string();
    // The network of the address that the name leads to.
    result(send(&open(), &payload).await);
    // The site itself, by name and port; another port of it stays closed.
    let site = |port: &str| HttpSettings {
        allow: vec![format!("localhost:{port}").parse().unwrap()],
        ..HttpSettings::default()
    };
    result(send(&site(port), &payload).await);
    assert!(discarded(send(&site("1"), &payload).await).contains("loopback"));
}
