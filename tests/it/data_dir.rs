//! What an operator sees when the data directory goes away under a running server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Dir, Server, eventually};

const ARGS: [&str; 2] = ["--log", "warn"];

/// Submits once; the answer's status and document.
async fn try_submit(client: &Client) -> (u16, Value) {
    let job = json!({ "kind": "echo" });
    let (status, text) = client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

async fn readiness(client: &Client) -> u16 {
    client.try_send(Method::GET, "/readyz", None).await.unwrap().0
}

async fn ready_is(client: &Client, expected: u16) {
    eventually("the readiness to change", || async {
        (readiness(client).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_directory_is_gone_refuses_until_it_is_back() {
    let dir = Dir::new();
    let (data, aside) = (dir.data(), dir.data().with_extension("aside"));
    let server = Server::start(&dir, &ARGS).await;
    let client = &server.client;
    client.submit(&json!({ "kind": "echo" })).await;
    std::fs::rename(&data, &aside).unwrap();
    // Nobody submits anything: it is noticed all the same.
    ready_is(client, 503).await;
    let (status, answer) = try_submit(client).await;
    assert_eq!((status, &answer["code"]), (503, &json!("store_unavailable")), "{answer}");
    let said = server.process.err.line_with("was removed, renamed or unmounted").await.unwrap();
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    assert!(!data.exists(), "a directory was created");
    std::fs::rename(&aside, &data).unwrap();
    ready_is(client, 200).await;
    client.submit(&json!({ "kind": "echo" })).await;
    assert_eq!(client.rows().await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_accepted_once_the_directory_was_removed() {
    let dir = Dir::new();
    let mut server = Server::start(&dir, &ARGS).await;
    server.client.submit(&json!({ "kind": "echo" })).await;
    std::fs::remove_dir_all(dir.data()).unwrap();
    for _ in 0..20 {
        let (status, answer) = try_submit(&server.client).await;
        assert_eq!((status, &answer["code"]), (503, &json!("store_unavailable")), "{answer}");
    }
    ready_is(&server.client, 503).await;
    server.process.signal(nix::sys::signal::Signal::SIGTERM);
    server.process.exit().await;
    assert!(!dir.data().exists(), "a directory was created");
}
