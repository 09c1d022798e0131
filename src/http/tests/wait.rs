//! Requests that wait until a job is final.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Server, Setup, within};
use crate::http::HttpLimits;

#[tokio::test]
async fn a_submission_that_waits_answers_with_the_finished_job() {
    let server = Server::start().await;
    let body = r#"{"kind":"echo","payload":[1, 2],"idempotency_key":"k"}"#;
    let answer = server.post("/api/v1/jobs?wait=20s", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let job = answer.json();
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!([1, 2])));
    assert!(job["cursor"].is_string() && job.get("existing").is_none());
    assert!(answer.header("location").ends_with(job["id"].as_str().unwrap()));
    let again = server.post("/api/v1/jobs?wait=20s", body).await;
    assert_eq!((again.status, &again.json()["existing"]), (200, &json!(true)));
    let refused = server.post("/api/v1/jobs?wait=20s", r#"{"kind":"refuse"}"#).await;
    assert_eq!((refused.status, &refused.json()["state"]), (200, &json!("discarded")));
    let many = server.post("/api/v1/jobs?wait=20s", &format!("[{body}]")).await;
    many.is_problem(400, "invalid_parameter");
    server.post("/api/v1/jobs?wiat=20s", body).await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn at_the_bound_the_answer_is_the_job_as_it_is() {
    // The time limit of a request does not shorten a requested wait.
    let limits = HttpLimits {
        max_wait: Duration::from_millis(300),
        request_timeout: Duration::from_millis(200),
        ..HttpLimits::default()
    };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let begun = Instant::now();
    let answer = server.post("/api/v1/jobs?wait=1h", r#"{"kind":"hold"}"#).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = answer.header("location").to_owned();
    let running = server.get(&format!("{path}?wait=10ms")).await;
    assert_eq!((running.status, &running.json()["state"]), (202, &json!("running")));
    assert_eq!(server.get(&path).await.status, 200, "without a wait the job is the answer");
    server.gate.add_permits(1);
    let mut last = running;
    while last.status == 202 {
        last = server.get(&format!("{path}?wait=1s")).await;
    }
    assert_eq!((last.status, &last.json()["state"]), (200, &json!("completed")));
    let unknown = format!("/api/v1/jobs/{}?wait=1s", crate::job::JobId::generate());
    server.get(&unknown).await.is_problem(404, "no_such_job");
}

#[tokio::test]
async fn many_wait_at_once_and_all_are_answered() {
    let server = Server::start().await;
    let job = server.post("/api/v1/jobs", r#"{"kind":"hold","payload":7}"#).await;
    let url = server.url(&format!("{}?wait=20s", job.header("location")));
    let client = crate::cli::http_client().unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let request = client.get(&url).send();
        waiting.spawn(async move { request.await.unwrap().status().as_u16() });
    }
    within(async {
        while server.shutdown.connections.len() < 300 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    server.gate.add_permits(1);
    while let Some(status) = within(waiting.join_next()).await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_stop_ends_waits_with_what_is_known() {
    let server = Server::start().await;
    let job = server.post("/api/v1/jobs", r#"{"kind":"hold"}"#).await;
    let url = server.url(&format!("{}?wait=60s", job.header("location")));
    let mut socket = server.socket("?after=00000000:0").await;
    while socket.next_of("events").await["events"]
        .as_array()
        .unwrap()
        .iter()
        .all(|e| e["type"] != "job.started")
    {}
    let client = crate::cli::http_client().unwrap();
    let waiting = tokio::spawn(async move { client.get(url).send().await.unwrap().status() });
    within(async {
        while server.shutdown.connections.len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    server.get("/healthz").await;
    let gate = server.gate.clone();
    let stopping = tokio::spawn(server.stop());
    assert_eq!(within(waiting).await.unwrap(), 202, "not held until the job's end");
    gate.add_permits(1);
    within(stopping).await.unwrap();
}
