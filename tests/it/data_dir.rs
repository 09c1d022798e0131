//! What an operator sees when the data directory of a running server disappears, and when a newer version has written
//! the files.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Command, Dir, Server, eventually};

const ARGS: [&str; 2] = ["--log", "warn"];

/// Submits a job once and returns the status and the JSON of the response.
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
    // The server notices even without submissions.
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

/// Runs a command and returns its exit code and standard error.
async fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut process = Command::run(args);
    let status = process.exit().await;
    (status.code(), process.err.so_far().join("\n"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_wrote_is_called_that_by_every_command() {
    let dir = Dir::new();
    let server = Server::start(&dir, &ARGS).await;
    server.client.submit(&json!({ "kind": "echo" })).await;
    server.stop().await;
    let data = dir.data();
    let head = std::fs::read_to_string(data.join("head")).unwrap();
    std::fs::write(data.join("head"), head.replace("cortado head 1", "cortado head 7")).unwrap();
    let new = data.with_extension("new");
    let words = "newer version of Cortado (format 7; this version reads up to 1)";
    for args in [
        &["--listen", "127.0.0.1:0", "--data-dir", text(&data)][..],
        &["export", "--data-dir", text(&data)],
        &["restore", text(&data), "--data-dir", text(&new)],
    ] {
        let (code, said) = run(args).await;
        assert!(said.contains(words), "{args:?}: {said}");
        assert_eq!(code, Some(3), "{args:?}: {said}");
    }
    let mut verify = Command::run(&["verify", "--data-dir", text(&data)]);
    assert_eq!(verify.exit().await.code(), Some(3));
    assert!(verify.out.so_far().join("\n").contains(words));
    let (code, said) = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", text(&new)]).await;
    assert_eq!(code, Some(2), "nothing was restored, and no empty store is served: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_export_is_imported_with_a_warning_and_a_damaged_one_is_not() {
    let dir = Dir::new();
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store-v1.jsonl");
    let data = dir.data();
    let (code, said) = run(&["import", old, "--data-dir", text(&data)]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning") && said.contains("no checksums"), "{said}");

    let mut export = Command::run(&["export", "--data-dir", text(&data)]);
    assert_eq!(export.exit().await.code(), Some(0));
    let lines = export.out.so_far().join("\n");
    assert!(lines.contains("\"cortado_export\":4") && lines.contains("\"export_crc\":\""));
    let file = data.with_extension("jsonl");
    std::fs::write(&file, lines.replacen("echo", "ecno", 1) + "\n").unwrap();
    let new = data.with_extension("new");
    let (code, said) = run(&["import", text(&file), "--data-dir", text(&new)]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nothing was imported") && said.contains(": line "), "{said}");
    let (code, said) = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", text(&new)]).await;
    assert_eq!(code, Some(2), "a server does not begin with an empty store there: {said}");
    assert!(said.contains("unfinished backup, import, restore or move"), "{said}");
    std::fs::write(&file, lines + "\n").unwrap();
    let (code, said) = run(&["import", text(&file), "--data-dir", text(&new)]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""), "no warning");
}
