//! Rules for every route of the server: what a page of another site may not do, and the headers of every response. The
//! routes are read from the sources, so that new ones are included.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Dir, Server, within};

/// The headers that a browser sends for `<img src>` on a page of another site.
const IMAGE: [(&str, &str); 3] =
    [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
/// The headers that it sends when a user follows a link on such a page.
const LINK: [(&str, &str); 3] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

/// The value of every parameter in [`routes`].
pub const PARAMETER: &str = "019ab001-7c3e-7d10-8a55-0242ac120002";

/// The path of every route, with an example for each parameter.
pub fn routes() -> BTreeSet<String> {
    routes_with(PARAMETER)
}

/// The path of every route, with this text for each parameter.
fn routes_with(example: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for source in ["src/http/mod.rs", "src/ui/mod.rs"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let text = std::fs::read_to_string(path).unwrap();
        for route in text.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            let part = |part: &str| match part.strip_prefix('{') {
                Some(_) => example.to_owned(),
                None => part.to_owned(),
            };
            paths.insert(path.split('/').map(part).collect::<Vec<_>>().join("/"));
        }
    }
    assert!(paths.len() > 50 && paths.contains("/metrics") && paths.contains("/jobs/bulk"));
    paths.insert("/nowhere".into());
    paths
}

async fn send(
    server: &Server,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, Value) {
    let url = format!("{}{path}", server.client.base());
    let mut request = cortado::internal::cli::http_client().unwrap().request(method.clone(), url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = within(path, request.send()).await.unwrap();
    for (name, value) in [
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        let found = answer.headers().get(name).map(|found| found.to_str().unwrap());
        assert_eq!(found, Some(value), "{method} {path}: {name}");
    }
    let status = answer.status();
    let body =
        if status == 403 { within(path, answer.text()).await.unwrap() } else { "null".into() };
    (status, serde_json::from_str(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_can_link_to_every_route_and_do_nothing_else() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let post = [&IMAGE[..], &[("origin", "http://evil.test")]].concat();
    for path in routes() {
        let (status, problem) = send(&server, &Method::GET, &path, &IMAGE).await;
        assert_eq!((status.as_u16(), &problem["code"]), (403, &"cross_site".into()), "{path}");
        let (status, _) = send(&server, &Method::HEAD, &path, &IMAGE).await;
        assert_eq!(status, 403, "HEAD {path}");
        let (status, problem) = send(&server, &Method::POST, &path, &post).await;
        assert_eq!((status.as_u16(), &problem["code"]), (403, &"cross_site".into()), "POST {path}");
        let (status, _) = send(&server, &Method::GET, &path, &LINK).await;
        assert_ne!(status, 403, "a link to {path}");
        for method in [Method::GET, Method::HEAD, Method::PATCH, Method::OPTIONS] {
            let (status, _) = send(&server, &method, &path, &[]).await;
            assert_ne!(status, 403, "a program's {method} {path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_before_it_reaches_a_route_is_as_safe() {
    let dir = Dir::new();
    let config = dir.config("[http]\nmax_body = \"2kB\"\n[engine]\nmax_payload = 1024\n");
    let server = Server::start(&dir, &["--config", &config]).await;
    let long = "x".repeat(300_000);
    let (head, end) = ("GET /healthz HTTP/1.1\r\nhost: localhost\r\n", "\r\n\r\n");
    let many = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let body = "y".repeat(4_000);
    for (request, status, code) in [
        (format!("{head}x: {long}{end}"), 431, "head_too_large"),
        (format!("{head}{many}\r\n"), 431, "head_too_large"),
        (format!("no such thing{end}"), 400, "malformed_request"),
        (format!("{head}not a header{end}"), 400, "malformed_request"),
        (
            format!(
                "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 connection: close\r\ncontent-length: 4000{end}{body}"
            ),
            413,
            "body_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: evil.test\r\nconnection: close{end}"),
            421,
            "unknown_host",
        ),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The server may close the connection before it has read everything.
        within("room to write", stream.write_all(request.as_bytes())).await.ok();
        let mut answer = Vec::new();
        within("an answer", stream.read_to_end(&mut answer)).await.ok();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        assert!(answer.contains("\r\ncross-origin-resource-policy: same-origin\r\n"), "{answer}");
        let problem: Value = serde_json::from_str(answer.split_once(end).unwrap().1).unwrap();
        assert_eq!(problem["code"], code, "{answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_a_problem_document_for_programs_and_a_page_for_people() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let client = cortado::internal::cli::http_client().unwrap();
    let examples = ["019ab001-7c3e-7d10-8a55-0242ac120002", "%ff", "%c3%28", "%2e%2e", "%00", "%"];
    let paths: BTreeSet<String> = examples.into_iter().flat_map(routes_with).collect();
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let methods = methods.into_iter().chain([Method::PATCH, Method::OPTIONS]);
    let methods: Vec<Method> = methods.chain(Method::from_bytes(b"BREW")).collect();
    let mut refusals = 0;
    for path in &paths {
        // The client resolves `..` before it sends a path.
        let url = reqwest::Url::parse(&format!("{}{path}", server.client.base())).unwrap();
        let is_api = url.path().starts_with("/api/")
            || ["/healthz", "/readyz", "/metrics", "/openapi.json"].contains(&url.path());
        for method in &methods {
            for (accept, content_type) in
                [("*/*", "application/json"), ("text/html", "application/x-www-form-urlencoded")]
            {
                let request = client.request(method.clone(), url.clone()).header("accept", accept);
                let request = request.header("content-type", content_type);
                let what = format!("{method} {path} {accept}");
                let answer = within(&what, request.send()).await.unwrap();
                let status = answer.status();
                if !(status.is_client_error() || status.is_server_error()) {
                    continue;
                }
                refusals += 1;
                assert!(status != 500, "{what}");
                let header = |name: &str| {
                    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
                };
                let media_type = header("content-type").unwrap_or_default();
                // A program that requests a page may be told in either form.
                let is_problem = media_type == "application/problem+json";
                let is_expected = is_problem && (is_api || accept == "*/*")
                    || media_type.starts_with("text/html") && !is_api;
                assert!(is_expected, "{what}: {status} {media_type}");
                assert!(header("x-request-id").is_some(), "{what}");
                assert!(status != 405 || header("allow").is_some(), "{what}");
                if *method == Method::HEAD {
                    continue;
                }
                let body = within(&what, answer.text()).await.unwrap();
                if is_problem {
                    let problem: Value = serde_json::from_str(&body).unwrap();
                    assert_eq!(problem["status"], status.as_u16(), "{what}");
                    assert!(problem["code"].is_string() && problem["detail"].is_string(), "{what}");
                } else {
                    assert!(body.contains("<!doctype html>"), "{what}: {status} {body}");
                }
                for words in ["deserialize", "Invalid URL", "Invalid UTF-8 in", "extension"] {
                    assert!(!body.contains(words), "{what}: {body}");
                }
            }
        }
    }
    assert!(refusals > 1_000, "{refusals}");
    server.stop().await;
}

/// The methods of a route of the API, each with a body.
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];

async fn ask(server: &Server, method: &Method, target: &str) -> (StatusCode, Value) {
    let url = format!("{}{target}", server.client.base());
    let request = cortado::internal::cli::http_client().unwrap().request(method.clone(), url);
    let request = request.header("content-type", "application/json").body("{}");
    let answer = within(target, request.send()).await.unwrap();
    let status = answer.status();
    let body = within(target, answer.text()).await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_that_an_endpoint_does_not_know_is_refused_by_name() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let mut refused = 0;
    for path in routes().iter().filter(|path| path.starts_with("/api/v1/") || **path == "/metrics")
    {
        for method in METHODS {
            for query in ["bogus=1", "bogus", "bogus=&limit=7&bogus=2"] {
                let (status, problem) = ask(&server, &method, &format!("{path}?{query}")).await;
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    continue;
                }
                let shown = format!("{method} {path}?{query}: {status} {problem}");
                assert_eq!(
                    (status.as_u16(), &problem["code"]),
                    (400, &"invalid_parameter".into()),
                    "{shown}"
                );
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains("bogus: is not known; "), "{shown}");
                assert!(
                    detail.contains("expected one of ") || detail.contains("takes no parameters"),
                    "{shown}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 3 * 30, "{refused}");
    for probe in ["/healthz?bogus=1", "/readyz?bogus=1"] {
        assert_eq!(ask(&server, &Method::GET, probe).await.0, 200, "{probe}");
    }
    server.stop().await;
}

/// Sends a request exactly as it is written, and returns the status and the code.
async fn raw(server: &Server, method: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        "host: localhost\r\naccept: application/json\r\nconnection: close\r\ncontent-length: 0";
    let request = format!("{method} {target} HTTP/1.1\r\n{head}\r\n\r\n");
    within("room to write", stream.write_all(request.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_escapes_that_are_not_valid_is_refused_and_never_repaired() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    for target in [
        "/api/v1/jobs?queue=%",
        "/api/v1/jobs?queue=%zz",
        "/api/v1/jobs?queue=a%2",
        "/api/v1/jobs?queue=%ff",
        "/api/v1/jobs?%ff=a",
        "/api/v1/jobs?q=%c3%28",
        "/api/v1/events?queue=%ed%a0%80",
        "/api/v1/export?%",
        "/api/v1/ws?queue=%ff",
        "/api/v1/jobs/%ff",
        "/api/v1/jobs/%",
        "/api/v1/bulk/%ff",
        "/api/v1/schedules/%c3",
        "/api/v1/queues/%ff/pause",
        "/api/v1/%ff",
        "/jobs?q=%ff",
        "/jobs?q=100%",
        "/jobs/%ff",
        "/queues/%ff",
        "/queues?show=%zz",
        "/schedules/of/%ff",
        "/failures/%ff",
        "/metrics?%ff",
        "/nowhere/%ff",
    ] {
        for method in ["GET", "POST"] {
            let answer = raw(&server, method, target).await;
            assert_eq!(answer, (400, "invalid_parameter".to_owned()), "{method} {target}");
        }
    }
    assert_eq!(raw(&server, "GET", "/jobs?q=100%25&tag=k%C3%A4se").await.0, 200);
    for (target, code) in [
        ("/api/v1/jobs?limit=1&limit=2", "invalid_parameter"),
        ("/api/v1/jobs?since=1h&since=2h", "invalid_parameter"),
        ("/api/v1/metrics/history?queue=a&queue=b", "invalid_parameter"),
        ("/api/v1/queues?queue=a&queue=b", "invalid_parameter"),
        ("/api/v1/jobs?queue=a&queue=b", ""),
        ("/api/v1/jobs?queue=", "invalid_parameter"),
        ("/api/v1/jobs?state=", "invalid_parameter"),
        ("/api/v1/events?after=", ""),
        ("/api/v1/events?after=&after=", "invalid_parameter"),
        ("/jobs?queue=&state=&q=", ""),
    ] {
        assert_eq!(raw(&server, "GET", target).await.1, code, "{target}");
    }
    server.stop().await;
}
