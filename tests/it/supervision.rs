//! Kills every thread and loop of the server once, each in a separate server. The server must then stop in order and
//! report the reason. A task that serves one request, attempt or bulk run must fail alone.

use cortado::internal::supervise::Part;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Client, Dir, Server, Socket, eventually, within};

/// Short intervals and small limits, so that every part soon has work.
const CONFIG: &str = "[engine]\nlease = '1s'\npoll_interval = '100ms'\nhandler_grace = '2s'\n\
    [store]\narchive_from = 4\npipeline_from = 1\n";
const ARGS: [&str; 4] = ["--grace", "1s", "--log-format", "text"];

/// The pass at which a part dies. Parts that also run in an idle server die at a later pass, when the server is busy.
fn pass(part: Part) -> u32 {
    match part {
        Part::Committer => 30,
        Part::Reader => 10,
        Part::EventPump
        | Part::CompletionWaiters
        | Part::Settler
        | Part::Executor
        | Part::Timer
        | Part::WorkerKeeper => 5,
        Part::Dispatcher | Part::Request => 4,
        Part::GroupWriter | Part::Observer => 3,
        Part::HeadFile
        | Part::LogWatch
        | Part::Heartbeat
        | Part::LinkKeeper
        | Part::NodeReporter
        | Part::QueueDiscovery
        | Part::Listener
        | Part::Hub => 2,
        Part::Relay | Part::Demo | Part::BulkRun => 2,
        Part::Archiver | Part::LogWriter | Part::LiveStats | Part::Reaper | Part::Handler => 1,
        Part::LogConnections | Part::Inbox | Part::Projection | Part::HistoryKeeper => 1,
        Part::SystemSampler => 1,
    }
}

/// Keeps the server busy until it has ended, and returns the ids of the jobs that it accepted.
async fn busy(server: &mut Server) -> Vec<String> {
    let mut accepted = Vec::new();
    let _socket = Socket::try_open(server.address, "").await;
    let mut stream = TcpStream::connect(server.address).await.ok();
    if let Some(stream) = &mut stream {
        // The server may already be gone.
        let head =
            b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
        let _sent = stream.write_all(head).await;
    }
    while !server.process.has_ended() {
        let job = json!({ "kind": "sleep", "payload": { "ms": 20 } });
        let body = Some(&job);
        if let Ok((202, text)) = server.client.try_send(Method::POST, "/api/v1/jobs", body).await {
            let job: Value = serde_json::from_str(&text).unwrap();
            accepted.push(job["id"].as_str().unwrap().to_owned());
        }
    }
    accepted
}

async fn kill_and_start_again(part: Part) {
    let dir = Dir::new();
    let config = dir.config(CONFIG);
    let mut args = vec!["--config", &config];
    args.extend(ARGS);
    if part == Part::Demo {
        args.push("--demo");
    }
    let order = format!("kill:{}:{}", part.name(), pass(part));
    let process = Server::launch_with_fault(&dir, &args, &order);
    let (mut process, accepted) = match Server::unless_ended(process).await {
        Ok(mut server) => {
            let accepted = within(&format!("the end of {order}"), busy(&mut server)).await;
            (server.process, accepted)
        }
        Err(process) => (process, Vec::new()),
    };
    let code = process.exit().await.code();
    let log = process.err.so_far();
    let has = |text: &str| log.iter().any(|line| line.contains(text));
    assert_eq!(code, Some(2), "{order}: {log:#?}");
    let failed = format!("the {part} failed: it panicked: killed as requested by CORTADO_FAULT");
    assert!(has(&failed), "{order}: {log:#?}");
    assert!(has("stopping, no new jobs are claimed"), "{order} ends in order: {log:#?}");
    assert!(has("stopped, but not cleanly"), "{order} ends in order: {log:#?}");
    let last = log.last().unwrap();
    assert!(last.starts_with(&format!("cortado: the {part} failed")), "{order}: {last}");

    let server = Server::start(&dir, &["--config", &config]).await;
    for id in &accepted {
        server.client.job_in(id, "completed").await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_thread_or_loop_dies_the_server_ends_in_order_and_says_why() {
    let vital: Vec<Part> = Part::ALL.into_iter().filter(|part| part.is_vital()).collect();
    for parts in vital.chunks(3) {
        join_all(parts.iter().copied().map(kill_and_start_again)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_serves_one_request_attempt_or_bulk_run_takes_only_that_along() {
    // A server on a data directory has no connections to PostgreSQL; `src/store/postgres/driver.rs` tests their end.
    let is_here = |part: &Part| *part != Part::LogConnections;
    let rest = Part::ALL.into_iter().filter(|part| !part.is_vital()).filter(is_here);
    for part in rest {
        let dir = Dir::new();
        let order = format!("kill:{}:{}", part.name(), pass(part));
        let process = Server::launch_with_fault(&dir, &["--log-format", "json"], &order);
        let server = Server::unless_ended(process).await.ok().expect("a server that listens");
        let client = &server.client;
        match part {
            Part::Request => assert_one_request_fails(client).await,
            Part::Handler => {
                let job = json!({ "kind": "echo", "backoff": { "base_ms": 10 } });
                let id = client.submit(&job).await;
                let job = client.job_in(&id, "completed").await;
                assert_eq!(job["attempt"], 2, "{job}");
            }
            Part::BulkRun => assert_one_bulk_run_fails(client).await,
            other => panic!("{other} is not tried"),
        }
        let id = client.submit(&json!({ "kind": "echo" })).await;
        client.job_in(&id, "completed").await;
        for line in server.stop().await {
            let _: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        }
    }
}

async fn assert_one_request_fails(client: &Client) {
    let mut codes = Vec::new();
    for _ in 0..6 {
        let (status, body) = client.try_send(Method::GET, "/api/v1/kinds", None).await.unwrap();
        if status == 500 {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["code"], "internal", "{body}");
        }
        codes.push(status);
    }
    assert_eq!(codes.iter().filter(|code| **code == 500).count(), 1, "{codes:?}");
    assert_eq!(codes.last(), Some(&200));
}

async fn assert_one_bulk_run_fails(client: &Client) {
    let jobs: Vec<Value> =
        (0..300).map(|_| json!({ "kind": "echo", "delay_ms": 3_600_000 })).collect();
    client.submit_all(jobs).await;
    let begun = client
        .post(
            "/api/v1/bulk",
            Some(&json!({ "action": "cancel", "filter": { "state": "scheduled" } })),
        )
        .await;
    let path = format!("/api/v1/bulk/{}", begun["id"].as_str().unwrap());
    let ended = eventually("the end of the bulk run", || async {
        Some(client.get(&path).await).filter(|run| run["state"] == "failed")
    })
    .await;
    assert!(ended["error"].as_str().unwrap().contains("it panicked"), "{ended}");
}
