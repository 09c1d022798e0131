//! Clients that do not read their response, or read it very slowly: whatever they requested, the server closes the
//! connection, frees its memory, and serves other clients in the meantime.

use std::io::ErrorKind;
use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Dir, Server, eventually, within};

const SOON: &str = "[http]\nwrite_timeout = \"300ms\"\n";
/// With these rates, a client that reads is too slow once bytes have waited for 200 ms, whatever its speed. A client
/// that reads nothing is not, because of the long write timeout.
const STRICT: &str = "[http]\nwrite_timeout = \"1h\"\nmin_rate = \"1000GB\"\n\
    export_min_rate = \"1000GB\"\nmin_rate_window = \"200ms\"\n";
const COMMANDS: &str = r#"
[store]
log_bytes = "4MiB"
[commands.say]
program = "sh"
args = ["-c", "for n in $(seq 200); do printf '%5000s\n' $n; done; sleep 300"]
"#;

/// A connection with a small receive buffer.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    within("a connection", socket.connect(address)).await.unwrap()
}

async fn count(server: &Server, name: &str) -> u64 {
    let text = server.client.text("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap() as u64
}

/// A server and requests for responses of every kind. Either the response is larger than the buffers between the server
/// and a client, or the request can be repeated.
async fn server_with_large_answers(dir: &Dir, settings: &str) -> (Server, Vec<(String, Vec<u8>)>) {
    let config = dir.config(&format!("{settings}{COMMANDS}"));
    let server = Server::start(dir, &["--config", &config]).await;
    let from = server.client.start_of_log().await;
    let tags: Vec<String> = (0..32).map(|n| format!("{n}{}", "t".repeat(90))).collect();
    let later = json!({ "kind": "echo", "delay_ms": 3_600_000, "tags": tags });
    server.client.submit_all(vec![later; 500]).await;
    let large = json!({ "kind": "echo", "delay_ms": 3_600_000, "payload": "x".repeat(900_000) });
    let large = server.client.submit(&large).await;
    let talks = json!({ "kind": "command", "payload": { "name": "say" } });
    let talks = server.client.submit(&talks).await;
    eventually("a long log", || async {
        let log = server.client.text(&format!("/api/v1/jobs/{talks}/log")).await;
        (log.len() > 200_000).then_some(())
    })
    .await;
    let home = server.client.text("/").await;
    let asset = home.split('"').find(|part| part.contains("static/") && part.ends_with("app.js"));
    let asset = asset.unwrap_or_else(|| panic!("no script in {home}"));
    let ask = |path: &str, more: &str| {
        let path = path.trim_start_matches('/');
        format!("GET /{path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n").into_bytes()
    };
    let socket = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let stream = "accept: text/event-stream\r\n";
    let mut requests = Vec::new();
    for (path, more) in [
        ("jobs", ""),
        (&format!("jobs/{large}"), ""),
        (asset, ""),
        ("there/is/nothing", ""),
        ("healthz", ""),
        ("metrics", ""),
        ("api/v1/jobs?limit=200", ""),
        (&format!("api/v1/jobs/{large}"), ""),
        (&format!("api/v1/jobs/{large}?wait=1ms"), ""),
        (&format!("api/v1/jobs/{talks}/log"), ""),
        (&format!("api/v1/jobs/{talks}/log?follow"), ""),
        (&format!("api/v1/events?after={from}&limit=1000&wait=10s"), ""),
        (&format!("api/v1/events?after={from}"), stream),
        ("api/v1/export", ""),
        (&format!("api/v1/ws?after={from}"), socket),
    ] {
        requests.push((path.to_owned(), ask(path, more)));
    }
    let refused = b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    requests.push(("a refused POST".into(), refused.to_vec()));
    (server, requests)
}

/// Repeats a request without reading the responses, until the server closes the connection.
async fn ask_until_closed(address: SocketAddr, request: &[u8]) {
    let mut stream = connect(address).await;
    while stream.write_all(request).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_nothing_of_any_answer_loses_its_connection() {
    let dir = Dir::new();
    let (server, requests) = server_with_large_answers(&dir, SOON).await;
    let (address, mut deaf) = (server.address, JoinSet::new());
    let (mut silent, mut expected) = (Vec::new(), 0);
    for (what, request) in requests {
        if what.contains("export") || what.contains("?follow") {
            // Sent by an HTTP/1.0 client without keep-alive, and by a client that shuts down writing.
            let old = String::from_utf8(request.clone()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
            let mut old_client = connect(address).await;
            old_client.write_all(old.as_bytes()).await.unwrap();
            let mut half_closed = connect(address).await;
            half_closed.write_all(&request).await.unwrap();
            half_closed.shutdown().await.unwrap();
            silent.extend([old_client, half_closed]);
            expected += 1;
        }
        expected += u64::from(!what.contains("api/v1/ws")); // the hub disconnects sockets
        deaf.spawn(async move {
            within(&format!("the end of {what}"), ask_until_closed(address, &request)).await;
        });
    }
    while let Some(ended) = deaf.join_next().await {
        ended.unwrap();
        server.client.text("/healthz").await;
    }
    eventually("nobody but us", || async {
        (count(&server, "cortado_http_connections").await <= 2).then_some(())
    })
    .await;
    let given_up = count(&server, "cortado_http_connections_too_slow_total").await;
    // A half-closed connection may end before it counts as too slow.
    assert!((expected..=expected + 2).contains(&given_up), "{given_up} of {expected}");
    drop(silent);
    let log = server.stop().await;
    let lines = log.iter().filter(|line| line.contains("read its response too slowly"));
    assert_eq!(lines.count(), 1, "one line a minute: {log:#?}");
}

/// Sends a request and reads the response byte by byte until it ends.
async fn drip(address: SocketAddr, what: &str, request: &[u8]) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut stream = connect(address).await;
    stream.write_all(request).await.unwrap();
    let (mut taken, mut byte) = (Vec::new(), [0]);
    let ended = within(&format!("the end of {what}"), async {
        loop {
            match stream.read(&mut byte).await {
                Ok(0) => return Ok(()),
                Ok(_) => taken.push(byte[0]),
                Err(error) => return Err(error.kind()),
            }
        }
    })
    .await;
    (taken, ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_must_be_taken_faster_than_other_answers() {
    let dir = Dir::new();
    let settings = "[http]\nwrite_timeout = \"1h\"\nmin_rate = 0\nexport_min_rate = \"1000GB\"\n\
        min_rate_window = \"200ms\"\n";
    let (server, requests) = server_with_large_answers(&dir, settings).await;
    let (_, export) = requests.iter().find(|(what, _)| what.contains("export")).unwrap();
    let (taken, ended) = drip(server.address, "an export", export).await;
    assert_eq!(ended, Err(ErrorKind::ConnectionReset), "after {} bytes", taken.len());
    let large = requests.iter().find(|(what, _)| what.starts_with("api/v1/jobs/")).unwrap();
    let close = String::from_utf8(large.1.clone()).unwrap();
    let close = close.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let (taken, ended) = drip(server.address, "a job", close.as_bytes()).await;
    assert_eq!(ended, Ok(()), "after {} bytes", taken.len());
    assert!(taken.len() > 900_000 && taken.ends_with(b"}"), "{} bytes", taken.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_byte_now_and_then_loses_its_connection_and_sees_that_it_has_not_all() {
    let dir = Dir::new();
    let (server, requests) = server_with_large_answers(&dir, STRICT).await;
    let (address, mut dripping) = (server.address, JoinSet::new());
    for (what, request) in requests {
        let larger_than_buffers =
            ["export", "?follow", "text/event-stream", "api/v1/ws", "events?after"];
        let text = String::from_utf8_lossy(&request).into_owned();
        if !larger_than_buffers.iter().any(|part| text.contains(part) || what.contains(part)) {
            continue;
        }
        dripping.spawn(async move {
            let (taken, ended) = drip(address, &what, &request).await;
            let text = String::from_utf8_lossy(&taken).into_owned();
            assert!(!text.contains("\n{\"end\":"), "{what} came whole");
            (what, ended)
        });
    }
    let mut kinds = 0;
    while let Some(ended) = dripping.join_next().await {
        let (what, ended) = ended.unwrap();
        let is_socket = what.contains("api/v1/ws"); // it may receive a close frame
        assert!(is_socket || ended == Err(ErrorKind::ConnectionReset), "{what}: {ended:?}");
        kinds += 1;
    }
    assert_eq!(kinds, 5);
    server.client.text("/healthz").await;
    server.stop().await;
}

/// The resident memory of the server's process, in bytes.
fn resident(server: &Server) -> u64 {
    let status = format!("/proc/{}/status", server.process.id());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// A hundred clients request the largest page and read nothing. Prints the memory that they cost the server, and
/// returns the size of the page and the memory of all clients, in bytes.
async fn cost_of_a_hundred(bound: &str) -> (u64, u64) {
    const CLIENTS: u64 = 100;
    let settings = "[http]\nwrite_timeout = \"1h\"\nheader_timeout = \"1h\"\nmin_rate = 0\n";
    let dir = Dir::new();
    let (server, requests) = server_with_large_answers(&dir, &format!("{settings}{bound}")).await;
    let mut largest = (0, String::new(), Vec::new());
    let is_page = |what: &str| !what.contains("api/v1") && !what.contains("refused");
    for (what, request) in requests.into_iter().filter(|(what, _)| is_page(what)) {
        let answer = server.client.try_send(reqwest::Method::GET, &format!("/{what}"), None).await;
        let length = answer.unwrap().1.len() as u64;
        if length > largest.0 {
            largest = (length, what, request);
        }
    }
    let (length, what, request) = largest;
    let before = resident(&server);
    let mut deaf = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(server.address).await;
        stream.write_all(&request).await.unwrap();
        within("the first byte", stream.readable()).await.unwrap();
        deaf.push(stream);
    }
    assert!(count(&server, "cortado_http_connections").await > CLIENTS);
    let during = resident(&server);
    drop(deaf);
    eventually("nobody but us", || async {
        (count(&server, "cortado_http_connections").await <= 2).then_some(())
    })
    .await;
    let (mib, after) = (|bytes: u64| bytes >> 20, resident(&server));
    let bound = if bound.is_empty() { "max_unread as it is" } else { bound.trim() };
    println!(
        "{bound}: {CLIENTS} clients that read nothing of {what} ({length} bytes): {} MiB before, {} MiB while they \
         stay, {} MiB after",
        mib(before),
        mib(during),
        mib(after)
    );
    server.stop().await;
    (length, during.saturating_sub(before))
}

/// `cargo test --test it a_hundred_clients -- --nocapture` prints the memory that they cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_that_do_not_read_hold_one_answer_each_and_no_more_than_their_address_may()
 {
    let (length, held) = cost_of_a_hundred("max_unread = \"100GB\"\n").await;
    // The response, the allocator's rounding, and the buffers of a connection.
    assert!(held / 100 < 2 * length + (512 << 10), "{held} bytes for {length} each");
    let (_, held) = cost_of_a_hundred("").await;
    // A quarter of 256 MiB, the same amount retained by the allocator, and the buffers.
    assert!(held < (2 * 64 + 50) << 20, "{held} bytes");
}
