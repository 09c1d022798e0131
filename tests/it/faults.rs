//! What an operator sees when the disk fails: a start ends with a clear error and exit code 2; a running server answers
//! 503, loses nothing, and recovers by itself.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Command, Dir, Server, eventually};

const ARGS: [&str; 2] = ["--log", "warn"];

/// Starts a server that must fail to start, and returns its standard error.
async fn refusal(data: &Path) -> String {
    let mut process = Server::launch("127.0.0.1:0".parse().unwrap(), data, &ARGS);
    let status = process.exit().await;
    let said = process.err.so_far().join("\n");
    assert_eq!(status.code(), Some(2), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_served_is_named_and_left_alone() {
    let dir = Dir::new();
    let data = dir.data();
    std::fs::write(&data, "not a directory").unwrap();
    let said = refusal(&data).await;
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    assert_eq!(std::fs::read(&data).unwrap(), b"not a directory");
    std::fs::remove_file(&data).unwrap();

    let said = refusal(Path::new("/proc/cortado")).await;
    assert!(said.contains("/proc/cortado"), "{said}");

    let server = Server::start(&dir, &ARGS).await;
    server.client.submit(&json!({ "kind": "echo" })).await;
    let said = refusal(&data).await;
    assert!(said.contains("in use by another process"), "{said}");
    server.stop().await;

    let log = data.join("db");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, []).unwrap();
    let said = refusal(&data).await;
    assert!(said.contains("cannot be read") && said.contains(data.to_str().unwrap()), "{said}");
    std::fs::write(&log, whole).unwrap();
    let server = Server::start(&dir, &ARGS).await;
    assert_eq!(server.client.rows().await.len(), 1);
    server.stop().await;
}

/// Submits a job once and returns the status and the JSON of the response.
async fn try_submit(client: &Client, job: &Value) -> (u16, Value) {
    let answer = client.try_send(Method::POST, "/api/v1/jobs", Some(job)).await.unwrap();
    let (status, text) = answer;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_for_a_while_costs_refusals_and_nothing_else() {
    let dir = Dir::new();
    let process = Server::launch_with_fault(&dir, &ARGS, "enospc:sync:12:3");
    let server = Server::unless_ended(process).await.ok().expect("a server that listens");
    let client = &server.client;
    let slow = client.submit(&json!({ "kind": "sleep", "payload": { "ms": 1_500 } })).await;
    let (mut accepted, mut refused) = (vec![slow], 0);
    let all_three = || async { Some(()).filter(|()| refused_enough(&server)) };
    for n in 0.. {
        let job = json!({ "kind": "echo", "payload": n, "idempotency_key": format!("key-{n}") });
        match try_submit(client, &job).await {
            (202, answer) => accepted.push(answer["id"].as_str().unwrap().to_owned()),
            (503, answer) => {
                assert_eq!(answer["code"], "store_unavailable", "{answer}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        if refused > 0 && accepted.len() > 30 {
            break;
        }
    }
    eventually("the store to be opened again", all_three).await;
    assert!(refused > 0);
    let expected = u64::try_from(accepted.len()).unwrap();
    eventually("every accepted job completed", || async {
        (client.count("completed").await >= expected).then_some(())
    })
    .await;
    let rows = client.rows().await;
    assert!(accepted.iter().all(|id| rows.contains_key(id)), "an accepted job is lost");
    let log = client.log().await;
    assert!(log.iter().all(|event| event.kind != "job.rescued"), "an attempt was lost");
    server.stop().await;
}

fn refused_enough(server: &Server) -> bool {
    server.process.err.so_far().iter().any(|line| line.contains("still fails"))
}

/// Uses a limit of the kernel, which stops the log file from growing as a full disk would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_grow_costs_refusals_until_it_can_again() {
    let dir = Dir::new();
    // The limit is in blocks of 512 bytes, enough for the first segments of the log. SIGXFSZ would end the process.
    let process = Server::launch_by_shell("trap '' XFSZ; ulimit -S -f 16384", &dir, &ARGS);
    let server = Server::unless_ended(process).await.ok().expect("a server that listens");
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(200_000).collect();
    let mut accepted = Vec::new();
    let refusal = loop {
        let payload = json!({ "n": accepted.len(), "noise": noise });
        let job = json!({ "kind": "echo", "payload": payload, "delay_ms": 3_600_000 });
        match try_submit(&server.client, &job).await {
            (202, answer) => accepted.push(answer["id"].as_str().unwrap().to_owned()),
            (status, answer) => break (status, answer),
        }
        assert!(accepted.len() < 200, "the limit does not hold");
    };
    assert_eq!((refusal.0, &refusal.1["code"]), (503, &json!("store_unavailable")));
    assert!(accepted.len() > 5, "{}", accepted.len());
    let (status, answer) = server.client.try_send(Method::GET, "/readyz", None).await.unwrap();
    assert!(status == 503 || status == 200, "{answer}"); // small groups may still fit

    let pid = server.process.id().to_string();
    let lift = ["--pid", &pid, "--fsize=unlimited:unlimited"];
    match tokio::process::Command::new("prlimit").args(lift).status().await {
        Ok(status) => {
            assert!(status.success(), "prlimit: {status}");
            let job = json!({ "kind": "echo", "payload": { "noise": noise } });
            let id = eventually("a job accepted again", || async {
                let (status, answer) = try_submit(&server.client, &job).await;
                (status == 202).then(|| answer["id"].as_str().unwrap().to_owned())
            })
            .await;
            accepted.push(id);
        }
        Err(error) => println!("the limit is not lifted on the living server: prlimit: {error}"),
    }
    server.kill().await;

    let server = Server::start(&dir, &ARGS).await;
    let rows = server.client.rows().await;
    assert!(accepted.iter().all(|id| rows.contains_key(id)), "an accepted job is lost");
    let id = server.client.submit(&json!({ "kind": "echo" })).await;
    assert!(server.client.rows().await.contains_key(&id));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_for_a_fault_that_cannot_be_understood_is_refused() {
    let dir = Dir::new();
    let mut process: Command = Server::launch_with_fault(&dir, &ARGS, "crash:somewhere");
    assert_eq!(process.exit().await.code(), Some(2));
    let said = process.err.so_far().join("\n");
    assert!(said.contains("CORTADO_FAULT"), "{said}");
}
