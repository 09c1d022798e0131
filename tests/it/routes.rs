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
    let mut paths = BTreeSet::new();
    for source in ["src/http/mod.rs", "src/ui/mod.rs"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let text = std::fs::read_to_string(path).unwrap();
        for route in text.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            let part = |part: &str| match part.strip_prefix('{') {
                Some(_) => PARAMETER.to_owned(),
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
