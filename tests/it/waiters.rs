//! A thousand requests that wait for the ends of their jobs: all are answered, whatever ends the wait.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::SIGTERM;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Dir, Server, eventually, many_files, within};

const WAITERS: u64 = 1_000;
const QUEUE: &str = "/api/v1/queues/held";

/// Starts a thousand submissions, each waiting for its own job in a paused queue. Returns when all jobs are durable.
async fn submissions(server: &Server, wait: &str) -> JoinSet<(u64, u16, Value)> {
    server.client.post(&format!("{QUEUE}/pause"), None).await;
    let mut waiting = JoinSet::new();
    for n in 0..WAITERS {
        let (client, path) = (server.client.clone(), format!("/api/v1/jobs?wait={wait}"));
        let job = json!({ "kind": "echo", "queue": "held", "payload": n });
        waiting.spawn(async move { ask(&client, n, Method::POST, &path, Some(&job)).await });
    }
    eventually("all jobs waiting", || async {
        (server.client.count("available").await == WAITERS).then_some(())
    })
    .await;
    waiting
}

async fn ask(
    client: &Client,
    n: u64,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> (u64, u16, Value) {
    let answer = within("an answer", client.try_send(method, path, body)).await;
    let (status, text) = answer.unwrap_or_else(|error| panic!("no answer for {n}: {error:?}"));
    (n, status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_thousand_submissions_that_wait_are_answered_with_their_own_finished_jobs() {
    many_files();
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let waiting = submissions(&server, "60s").await;
    assert!(waiting.len() as u64 == WAITERS);
    server.client.post(&format!("{QUEUE}/resume"), None).await;
    for (n, status, job) in waiting.join_all().await {
        assert_eq!((status, &job["state"]), (200, &json!("completed")), "{job}");
        assert_eq!(job["result"], n, "the answer is about another job");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_waits_for_one_job_end_at_their_bound_with_the_job_as_it_is() {
    many_files();
    let dir = Dir::new();
    let server = Server::start(&dir, &["--grace", "0s"]).await;
    let job = json!({ "kind": "sleep", "payload": { "ms": 600_000 } });
    let id = server.client.submit(&job).await;
    server.client.job_in(&id, "running").await;
    let mut waiting = JoinSet::new();
    for n in 0..WAITERS {
        let (client, path) = (server.client.clone(), format!("/api/v1/jobs/{id}?wait=2s"));
        waiting.spawn(async move {
            let begun = Instant::now();
            let answer = ask(&client, n, Method::GET, &path, None).await;
            assert!(begun.elapsed() >= Duration::from_secs(2), "{n} did not wait");
            answer
        });
    }
    for (_, status, job) in waiting.join_all().await {
        assert_eq!((status, &job["state"]), (202, &json!("running")), "{job}");
        assert_eq!(job["id"], *id);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stop_answers_a_thousand_that_wait_and_cuts_nobody_off() {
    many_files();
    let dir = Dir::new();
    let mut server = Server::start(&dir, &[]).await;
    let waiting = submissions(&server, "60s").await;
    server.process.signal(SIGTERM);
    for (_, status, job) in waiting.join_all().await {
        assert_eq!((status, &job["state"]), (202, &json!("available")), "{job}");
    }
    assert_eq!(server.process.exit().await.code(), Some(0));
    let server = Server::start(&dir, &[]).await;
    assert_eq!(server.client.count("available").await, WAITERS, "every answer was true");
    server.stop().await;
}
