//! A worker over HTTP: claims, reports, and the same stop.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{RunningWorker, running_over_http, worker};
use crate::client::WorkerProtocol;
use crate::client::tests::fake_server::{FakeServer, confirmation, lease};

async fn grant(server: &mut FakeServer, leases: &[Value]) -> Value {
    let claim = server.request_to("/claim").await;
    let body = claim.body.clone();
    claim.answer(200, json!({"leases": leases})).await;
    body
}

/// Confirms the next report and returns it.
async fn confirm(server: &mut FakeServer) -> Value {
    let report = server.request_to("/leases").await;
    let body = report.body.clone();
    let answer = confirmation(&body);
    report.answer(200, answer).await;
    body
}

#[tokio::test]
async fn jobs_are_claimed_and_their_ends_reported_together() {
    let (mut server, _running) = running_over_http().await;
    let jobs: Vec<Value> = (0..3).map(|n| lease(&format!("L{n}"), "echo", json!(n))).collect();
    let claim = grant(&mut server, &jobs).await;
    assert_eq!((&claim["max"], &claim["wait_ms"]), (&json!(10), &json!(20_000)));
    assert_eq!(
        (&claim["queues"], &claim["kinds"]),
        (&json!(["default"]), &json!(["echo", "wait", "obey"]))
    );
    assert_eq!(claim["about"]["client"], "cortado-rust");
    let report = confirm(&mut server).await;
    assert_eq!(report["settle"].as_array().unwrap().len(), 3);
    assert_eq!((&report["free"], &report["type"]), (&Value::Null, &Value::Null));
    // Only free slots are claimed for.
    let second = grant(&mut server, &[lease("W", "wait", Value::Null)]).await;
    assert_eq!(second["max"], 10);
    assert!(claim["about"]["instance"].is_string());
    assert_eq!(second["about"], claim["about"], "it is the same process");
    assert_eq!(server.request_to("/claim").await.body["max"], 9);
}

#[tokio::test]
async fn a_report_that_fails_is_sent_again() {
    let (mut server, _running) = running_over_http().await;
    grant(&mut server, &[lease("L", "echo", json!(1))]).await;
    let first = server.request_to("/leases").await;
    let body = first.body.clone();
    drop(first);
    let second = server.request_to("/leases").await;
    assert_eq!(second.body, body);
    second.answer(503, json!({"code": "store_unavailable", "detail": "later"})).await;
    assert_eq!(confirm(&mut server).await, body);
}

#[tokio::test]
async fn leases_are_extended_and_cancellations_arrive_with_the_answers() {
    let mut server = FakeServer::start().await;
    let worker =
        worker(&server.client()).lease(Duration::from_secs(1)).protocol(WorkerProtocol::Http);
    let _running = RunningWorker::start(worker);
    grant(&mut server, &[lease("L", "obey", Value::Null)]).await;
    let noted = confirm(&mut server).await;
    assert_eq!(noted["note"][0]["lines"][0]["text"], "begun");
    let beat = server.request_to("/leases").await;
    assert_eq!((&beat.body["extend"], &beat.body["lease_ms"]), (&json!(["L"]), &json!(1_000)));
    beat.answer(200, json!({"extend": [{"lease": "L", "status": "cancel"}]})).await;
    let report = confirm(&mut server).await;
    assert_eq!(report["settle"], json!([{"lease": "L", "outcome": "cancelled"}]));
}

#[tokio::test]
async fn a_stopping_worker_gives_back_and_signs_off() {
    let mut server = FakeServer::start().await;
    let worker =
        worker(&server.client()).grace(Duration::from_millis(20)).protocol(WorkerProtocol::Http);
    let mut running = RunningWorker::start(worker);
    grant(&mut server, &[lease("O", "obey", Value::Null)]).await;
    confirm(&mut server).await;
    running.stop();
    let report = confirm(&mut server).await;
    assert_eq!(report["settle"], json!([{"lease": "O", "outcome": "returned"}]));
    let sign_off = server.request_to("/workers/w").await;
    assert_eq!(sign_off.method, "DELETE");
    sign_off.answer(200, json!({"returned": 0})).await;
    let end = running.end().await.unwrap();
    assert_eq!((end.returned, end.unconfirmed), (1, 0));
}

#[tokio::test]
async fn a_worker_obeys_a_stop_that_a_claim_brings_and_the_first_refusal_is_final() {
    let (mut server, running) = running_over_http().await;
    server.request_to("/claim").await.answer(200, json!({"leases": [], "command": "stop"})).await;
    let unknown = json!({"code": "worker_not_found", "detail": "no such worker"});
    server.request_to("/workers/w").await.answer(404, unknown).await;
    running.end().await.unwrap();

    let (mut server, running) = running_over_http().await;
    let refusal = json!({"code": "unauthorized", "detail": "no token"});
    server.request_to("/claim").await.answer(401, refusal).await;
    assert_eq!(running.end().await.unwrap_err().code(), "unauthorized");
}
