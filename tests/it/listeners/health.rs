//! `cortado health`: what it says about servers in every state, over every kind of listener.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{address_of, certificate, launch, listening};
use crate::support::process::lasting_address;
use crate::support::{Command, Dir, Server, eventually, within};

/// Runs `cortado health` and returns its exit code and its line.
async fn health(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let all = [&["health"][..], args].concat();
    let mut process = Command::changed(env!("CARGO_BIN_EXE_cortado"), &all, |command| {
        command.envs(variables.iter().copied());
    });
    let code = process.exit().await.code();
    let lines = [process.out.so_far(), process.err.so_far()].concat();
    assert_eq!(lines.len(), 1, "one line: {lines:?}");
    assert_eq!(process.out.so_far().is_empty(), code != Some(0), "{lines:?}");
    (code, lines.join("\n"))
}

async fn assert_ready(args: &[&str], variables: &[(&str, &str)], says: &str) {
    let (code, line) = health(args, variables).await;
    assert!(code == Some(0) && line.contains(says), "{args:?} {variables:?}: {code:?} {line}");
}

async fn assert_not_ready(args: &[&str], says: &str) {
    let (code, line) = health(args, &[]).await;
    assert!(code == Some(1) && line.contains(says), "{args:?}: {code:?} {line}");
    assert!(line.starts_with("cortado: "), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_finds_the_server_as_the_server_finds_its_address() {
    let dir = Dir::new();
    let address = lasting_address();
    let (shown, all) = (address.to_string(), format!("0.0.0.0:{}", address.port()));
    let url = format!("http://{shown}");
    // A base path and a token make no difference.
    let config = dir.config(&format!(
        "listen = '{all}'\nbase_path = '/cortado'\npaused = true\n[auth]\ntoken = '0123456789abcdef'\n"
    ));
    let server = launch(&dir, &config, Vec::new(), &[]);
    listening(&server, 1, 1).await;
    let is_ready = format!("{url} is ready, but paused");
    assert_ready(&["--config", &config], &[], &is_ready).await;
    assert_ready(&[], &[("CORTADO_CONFIG", &config)], &is_ready).await;
    assert_ready(&[], &[("CORTADO_LISTEN", &all)], &is_ready).await;
    assert_ready(&["--listen", &format!("127.0.0.1:0,{shown}")], &[], &is_ready).await;
    assert_ready(&["--server", &url], &[("CORTADO_LISTEN", "127.0.0.1:9")], &is_ready).await;
    assert_ready(&["--url", &format!("{url}/cortado")], &[], "/cortado is ready").await;
    assert_ready(&[], &[("CORTADO_SERVER", &url)], &is_ready).await;

    // A mistake in the file that the server has read is no reason to replace the server.
    let edited = dir.config(&format!("listen = '{all}'\npaused = 'perhaps'\n"));
    assert_ready(&["--config", &edited], &[], &is_ready).await;
    assert_not_ready(&["--config", "/no/such.toml"], "/no/such.toml").await;
    assert_not_ready(&["--listen", "127.0.0.1:0"], "--server").await;

    let mut server = server;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
    assert_not_ready(&["--server", &url], &format!("{url} is not ready: ")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_asks_over_tls_and_unix_sockets_too() {
    let dir = Dir::new();
    let (tls, cert) = certificate(&dir);
    let cert = cert.to_str().unwrap().to_owned();
    let socket = format!("unix:{}", dir.data().with_file_name("http.sock").display());
    let address = lasting_address();
    let config = dir.config(&format!("listen = ['{address}', '{socket}']\n{tls}"));
    let server = launch(&dir, &config, Vec::new(), &[]);
    let [url, unix] = listening(&server, 1, 2).await.try_into().unwrap();
    assert_eq!(unix, socket);
    let by_name = format!("https://localhost:{}", address_of(&url).port());

    // The own address needs no authority, because nothing secret is sent.
    assert_ready(&["--config", &config], &[], &format!("https://{address} is ready")).await;
    assert_ready(&["--server", &by_name, "--ca-file", &cert], &[], "is ready").await;
    assert_ready(&["--server", &by_name], &[("CORTADO_CA_FILE", &cert)], "is ready").await;
    assert_not_ready(&["--server", &by_name], "--ca-file").await;
    assert_not_ready(&["--server", &by_name, "--ca-file", "/no/such.pem"], "/no/such.pem").await;
    assert_not_ready(&["--listen", &address.to_string()], "tls_required").await;
    for args in [["--server", &socket], ["--listen", &socket]] {
        assert_ready(&args, &[], &format!("{socket} is ready")).await;
    }

    let mut server = server;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
    for url in [&by_name, &socket] {
        assert_not_ready(&["--server", url, "--ca-file", &cert], "is not ready: ").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_drains_or_whose_disk_is_gone_is_not_ready() {
    let dir = Dir::new();
    let (data, aside) = (dir.data(), dir.data().with_extension("aside"));
    let mut server = Server::start(&dir, &["--grace", "10m"]).await;
    let url = format!("http://{}", server.address);
    let args = ["--server", &url];
    assert_ready(&args, &[], "is ready").await;

    std::fs::rename(&data, &aside).unwrap();
    let unavailable = eventually("a server that is not ready", || async {
        let (code, line) = health(&args, &[]).await;
        (code == Some(1)).then_some(line)
    });
    let line = unavailable.await;
    assert!(line.contains("(store_unavailable)"), "{line}");
    std::fs::rename(&aside, &data).unwrap();
    eventually("a server that is ready again", || async {
        (health(&args, &[]).await.0 == Some(0)).then_some(())
    })
    .await;

    let job = json!({ "kind": "sleep", "payload": { "ms": 600_000 } });
    let id = server.client.submit(&job).await;
    server.client.job_in(&id, "running").await;
    let mut socket = server.socket("").await;
    server.process.signal(Signal::SIGTERM);
    socket.next_of("draining").await;
    eventually("closed listeners", || async {
        let (code, _) = health(&args, &[]).await;
        (code == Some(1)).then_some(())
    })
    .await;
    assert!(!server.process.has_ended(), "the job still runs");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.exit().await.code(), Some(0));
}

/// A server that reads a request and answers it with these bytes, or not at all.
async fn answering(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head).await;
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    // The client ends the connection.
                    None => drop(stream.read(&mut head).await),
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_of_a_ready_server_is_a_failure() {
    let draining = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
                    connection: close\r\n\r\n\
                    {\"status\":503,\"code\":\"draining\",\"detail\":\"the server is\\nstopping\"}";
    let page = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>";
    for (answer, says) in [
        (Some(draining), "stopping (draining)"),
        (Some(page), "not that of a Cortado server"),
        (Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), "404"),
        (Some("SSH-2.0-OpenSSH\r\n"), "is not ready: "),
        (None, "did not answer within 150ms"),
    ] {
        let url = format!("http://{}", answering(answer).await);
        let timeout = if answer.is_none() { "150ms" } else { "1m" };
        let args = ["--server", &url, "--timeout", timeout];
        let checked = assert_not_ready(&args, says);
        within("an answer or the timeout", checked).await;
    }
}
