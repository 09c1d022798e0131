//! The access log of the real server: one line for each request, including those that are refused, abandoned by their
//! client, or malformed.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Dir, Server, eventually, within};

const TOKEN: &str = "token-0123456789abcdef";

async fn connect(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// Sends a request that closes the connection, and returns the body of the response.
async fn body(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address, request).await;
    let mut response = Vec::new();
    // A refused connection may be reset after the response.
    let _reset = within("the response", stream.read_to_end(&mut response)).await;
    let response = String::from_utf8(response).unwrap();
    let (_, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{response}"));
    body.to_owned()
}

/// A request with an id, which closes the connection after the response.
fn request(line: &str, id: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nx-request-id: {id}\r\nconnection: close\r\n{headers}\r\n")
}

/// Waits for a line of the access log with this text, such as an id.
async fn line_with(server: &Server, text: &str) -> Value {
    let line = within(text, server.process.err.line_with(text)).await.unwrap();
    fields(&line)
}

fn fields(line: &str) -> Value {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(line["target"], "cortado::access", "{line}");
    assert_eq!(line["level"], "INFO", "{line}");
    line["fields"].clone()
}

#[tokio::test]
async fn every_request_leaves_one_line_whatever_its_answer_is() {
    let dir = Dir::new();
    let config = dir.config(&format!("[log]\nformat = 'json'\n[auth]\ntoken = '{TOKEN}'\n"));
    let server = Server::start(&dir, &["--config", &config]).await;
    let auth = format!("host: localhost\r\nauthorization: Bearer {TOKEN}\r\n");
    let wrong_host = auth.replace("localhost", "evil.test");
    let cross_site = format!("{auth}sec-fetch-site: cross-site\r\n");
    let upgrade = format!("{auth}upgrade: websocket\r\n");
    let too_long = format!("{auth}content-type: application/json\r\ncontent-length: 9999999\r\n");
    let cases = [
        ("GET /api/v1/jobs?q=hidden", "host: localhost\r\n", 401),
        ("GET /api/v1/jobs?q=hidden", &auth, 200),
        ("HEAD /api/v1/stats", &auth, 200),
        ("GET /jobs", &cross_site, 403),
        ("GET /nothing", &auth, 404),
        ("PUT /api/v1/stats", &auth, 405),
        ("POST /api/v1/jobs", &too_long, 413),
        ("POST /api/v1/jobs", &auth, 415),
        ("GET /api/v1/stats", &wrong_host, 421),
        ("GET /api/v1/ws", &upgrade, 400),
        ("GET /static/nothing", &auth, 404),
    ];
    for (number, (line, headers, status)) in cases.into_iter().enumerate() {
        let id = format!("case-{number}");
        let body = body(server.address, &request(line, &id, headers)).await;
        let fields = line_with(&server, &id).await;
        let (method, path) = line.split_once(' ').unwrap();
        assert_eq!(fields["status"], status, "{line}: {fields} {body}");
        assert_eq!(fields["method"], method);
        assert_eq!(fields["path"], path.split('?').next().unwrap());
        assert_eq!(fields["bytes"], body.len(), "{line}: {body}");
        assert_eq!(fields["client"], "127.0.0.1");
        assert_eq!(fields["request_id"], id);
        assert!(fields["duration_ms"].as_f64().unwrap() > 0.0, "{fields}");
        assert_eq!(fields["incomplete"], Value::Null, "{line}: {fields}");
    }
    let log = server.stop().await;
    for number in 0..cases.len() {
        let id = format!("\"case-{number}\"");
        assert_eq!(log.iter().filter(|line| line.contains(&id)).count(), 1, "{id}: {log:?}");
    }
    assert!(log.iter().all(|line| !line.contains("hidden") && !line.contains(TOKEN)), "{log:?}");
}

#[tokio::test]
async fn a_socket_leaves_its_line_when_it_opens_and_a_stream_when_it_ends() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--log-format", "json"]).await;
    let socket = server.socket("").await;
    let fields = line_with(&server, "/api/v1/ws").await;
    assert_eq!((&fields["status"], &fields["bytes"]), (&101.into(), &0.into()), "{fields}");
    drop(socket);

    let accept = "host: localhost\r\naccept: text/event-stream\r\n";
    let mut stream =
        connect(server.address, &request("GET /api/v1/events", "stream", accept)).await;
    let mut head = [0; 64];
    within("the stream", stream.read_exact(&mut head)).await.unwrap();
    // Another request is logged while the stream is still open.
    body(server.address, &request("GET /jobs", "page", "host: localhost\r\n")).await;
    assert_eq!(line_with(&server, "\"page\"").await["status"], 200);
    assert!(!server.process.err.so_far().iter().any(|line| line.contains("\"stream\"")));
    drop(stream);
    let fields = line_with(&server, "\"stream\"").await;
    assert_eq!((&fields["status"], &fields["incomplete"]), (&200.into(), &true.into()));
    assert!(fields["bytes"].as_u64().unwrap() > 0, "{fields}");
    server.stop().await;
}

#[tokio::test]
async fn a_request_whose_client_left_has_a_line() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--log-format", "json"]).await;
    let wait = request("GET /api/v1/events?wait=60s", "left", "host: localhost\r\n");
    let stream = connect(server.address, &wait).await;
    // A request whose connection ends before the server has read it is none.
    eventually("a poll that waits", || async {
        let metrics = server.client.text("/metrics").await;
        metrics.contains("cortado_subscribers{transport=\"poll\"} 1.0\n").then_some(())
    })
    .await;
    drop(stream);
    let fields = line_with(&server, "\"left\"").await;
    assert_eq!((&fields["status"], &fields["path"]), (&499.into(), &"/api/v1/events".into()));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_as_a_request_has_a_line() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--log-format", "json"]).await;
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (bytes, status) in [("not a request\r\n\r\n", 400), (many_headers.as_str(), 431)] {
        let body = body(server.address, bytes).await;
        let fields = line_with(&server, &format!("\"status\":{status}")).await;
        assert_eq!(fields["bytes"], body.len(), "{fields}");
        assert_eq!((&fields["client"], &fields["path"]), (&"127.0.0.1".into(), &Value::Null));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_with_too_many_connections_has_lines() {
    let dir = Dir::new();
    let config = dir.config("[http]\nconnections_per_address = 1\n");
    let server = Server::start(&dir, &["--config", &config, "--log-format", "json"]).await;
    let held = eventually("the only connection", || async {
        let mut stream =
            connect(server.address, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.ok()?;
        (&status == b"HTTP/1.1 200").then_some(stream)
    })
    .await;
    let body = body(server.address, "").await;
    assert!(body.contains("too_many_connections"), "{body}");
    let fields = line_with(&server, "\"status\":429").await;
    assert_eq!((&fields["bytes"], &fields["client"]), (&body.len().into(), &"127.0.0.1".into()));
    // The server explains only a few refusals at a time and closes other connections without a response.
    let mut refused = Vec::new();
    eventually("a line without a response", || {
        refused.push(std::net::TcpStream::connect(server.address).unwrap());
        async {
            let lines = server.process.err.so_far();
            lines.iter().find(|line| line.contains("\"status\":444")).cloned()
        }
    })
    .await;
    drop((held, refused));
    server.stop().await;
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_named_and_its_refusal_has_all_headers() {
    let dir = Dir::new();
    let config =
        dir.config("[http]\nconnections_per_address = 1\ntrusted_proxies = ['127.0.0.1']\n");
    let server = Server::start(&dir, &["--config", &config, "--log-format", "json"]).await;
    let proxied = "host: localhost\r\nx-forwarded-for: 192.0.2.9\r\n";
    let waits = request("GET /api/v1/events?wait=60s", "waits", proxied);
    let refused = request("GET /api/v1/stats", "refused", proxied);
    // The requests may arrive in either order, and the second one is refused.
    let (held, response) = eventually("a refusal", || async {
        let held = connect(server.address, &waits).await;
        let mut stream = connect(server.address, &refused).await;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response.starts_with("HTTP/1.1 429").then_some((held, response))
    })
    .await;
    for header in ["x-request-id: refused", "content-security-policy:", "date:", "retry-after: 10"]
    {
        assert!(response.contains(header), "{header}: {response}");
    }
    let line = eventually("the line of the refusal", || async {
        let is_it =
            |line: &&String| line.contains("\"status\":429") && line.contains("\"refused\"");
        server.process.err.so_far().iter().find(is_it).cloned()
    })
    .await;
    let fields = fields(&line);
    assert_eq!(
        (&fields["client"], &fields["request_id"]),
        (&"192.0.2.9".into(), &"refused".into())
    );
    drop(held);
    server.stop().await;
}

/// Fetches a page, a static file that it names and a probe, and returns the log of the whole run.
async fn log_of(toml: &str, args: &[&str]) -> Vec<String> {
    let dir = Dir::new();
    let config = dir.config(toml);
    let server = Server::start(&dir, &[&["--config", &config], args].concat()).await;
    let get = |path: &str| {
        let headers = "host: localhost\r\nuser-agent: te\"st\r\nreferer: http://x/y?q=hidden\r\n";
        request(&format!("GET {path}"), "known", headers)
    };
    let page = body(server.address, &get("/jobs?q=hidden")).await;
    let (_, file) = page.split_once("\"static/").expect("a static file");
    let (file, _) = file.split_once('"').unwrap();
    for path in ["/healthz", &format!("/static/{file}")] {
        body(server.address, &get(path)).await;
    }
    server.stop().await
}

#[tokio::test]
async fn probes_and_static_files_are_logged_at_debug() {
    let has = |log: &[String], path: &str| log.iter().any(|line| line.contains(path));
    let log = log_of("", &[]).await;
    assert!(has(&log, "path=/jobs") && !has(&log, "/healthz") && !has(&log, "/static"), "{log:?}");
    let log = log_of("", &["--log", "cortado::access=debug"]).await;
    assert!(has(&log, "path=/jobs") && has(&log, "path=/healthz"), "{log:?}");
    assert!(has(&log, "path=/static/"), "{log:?}");
}

#[tokio::test]
async fn requests_are_not_logged_when_nobody_wants_to_know() {
    for (toml, args) in [
        ("[log]\naccess = 'off'\n", &["--log", "debug"][..]),
        ("[log]\naccess = 'debug'\n", &[]),
        ("", &["--log", "info,cortado::access=off"]),
        ("[log]\naccess_format = 'common'\n", &["--log", "warn"]),
    ] {
        let log = log_of(toml, args).await;
        let is_access =
            |line: &&String| line.contains("cortado::access") || line.contains(" - - [");
        assert_eq!(log.iter().find(is_access), None, "{toml} {args:?}");
    }
    let log = log_of("[log]\naccess = 'debug'\n", &["--log", "debug"]).await;
    let line = log.iter().find(|line| line.contains("path=/jobs")).unwrap();
    assert!(line.contains("DEBUG"), "{line}");
}

#[tokio::test]
async fn lines_are_in_the_formats_of_apache_beside_a_log_of_any_format() {
    for (log_format, format, end) in
        [("text", "common", ""), ("json", "combined", r#" "http://x/y" "te\"st""#)]
    {
        let toml = format!("[log]\naccess_format = '{format}'\n");
        let log = log_of(&toml, &["--log-format", log_format]).await;
        let lines: Vec<&String> = log.iter().filter(|line| line.contains(" - - [")).collect();
        let [line] = lines[..] else { panic!("one line is expected: {log:?}") };
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        let (_, rest) = line.split_once("] ").unwrap();
        let rest = rest.strip_suffix(end).unwrap_or_else(|| panic!("{line}"));
        let bytes = rest.strip_prefix("\"GET /jobs HTTP/1.1\" 200 ").unwrap();
        assert!(bytes.parse::<u64>().unwrap() > 1_000, "{line}");
    }
}
