//! Requests: what they contain, when they are repeated, and how refusals are read.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake_server::{FakeServer, within};
use crate::client::{ClientError, JobDraft, ProblemField};

fn job(state: &str) -> Value {
    json!({"id": "7", "kind": "resize", "queue": "default", "state": state, "attempt": 1, "max_attempts": 25,
        "priority": 0, "tags": [], "enqueued_at": "2026-11-23T08:00:00.000Z", "run_at": "2026-11-23T08:00:00.000Z",
        "finished_at": null, "progress": {"done": 1, "total": 2}, "error": null, "cancel_asked": false,
        "payload": {"width": 1}, "result": {"bytes": 5}, "unknown": ["member"]})
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_repeated_with_the_same_key() {
    let mut server = FakeServer::start().await;
    let client = server.client().token("secret").unwrap();
    let submitting = client.submit_kind("resize", &json!({"width": 640})).queue("images").send();
    let serving = async {
        let first = server.request().await;
        assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/api/v1/jobs"));
        assert_eq!(first.header("authorization"), Some("Bearer secret"));
        assert_eq!(first.body["payload"], json!({"width": 640}));
        assert_eq!(first.body["queue"], "images");
        let body = first.body.clone();
        drop(first); // the connection ends without an answer
        let second = server.request().await;
        assert_eq!(second.body, body);
        second.answer(200, json!({"id": "7", "existing": true, "state": "available"})).await;
    };
    let (submitted, ()) = tokio::join!(submitting, serving);
    let submitted = submitted.unwrap();
    assert!(submitted.id == "7" && submitted.existing);
}

#[tokio::test]
async fn many_jobs_are_one_request_and_come_back_in_order() {
    let mut server = FakeServer::start().await;
    let client = server.client();
    let jobs = [JobDraft::new("a", &1), JobDraft::new("b", &2).priority(3)];
    let serving = async {
        let request = server.request().await;
        let kinds: Vec<&Value> =
            request.body.as_array().unwrap().iter().map(|it| &it["kind"]).collect();
        assert_eq!(kinds, ["a", "b"]);
        request.answer(202, json!({"jobs": [{"id": "1"}, {"id": "2"}]})).await;
    };
    let (submitted, ()) = tokio::join!(client.submit_many(jobs), serving);
    let ids: Vec<String> = submitted.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(ids, ["1", "2"]);
    assert!(client.submit_many([]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_has_the_code_and_the_fields_of_the_server() {
    let mut server = FakeServer::start().await;
    let client = server.client();
    let problem = json!({"type": "urn:cortado:problem:invalid_fields", "title": "Unprocessable Entity", "status": 422,
        "code": "invalid_fields", "detail": "priority: must be an integer",
        "errors": [{"field": "priority", "message": "must be an integer"}]});
    let serving = async { server.request().await.answer(422, problem).await };
    let (refused, ()) = tokio::join!(client.submit_kind("x", &()).send(), serving);
    let error = refused.unwrap_err();
    assert_eq!(error.code(), "invalid_fields");
    let problem = error.problem().unwrap();
    assert_eq!(problem.status, 422);
    let field = ProblemField { field: "priority".into(), message: "must be an integer".into() };
    assert_eq!(problem.errors, [field]);
    assert!(
        error.to_string().contains("(invalid_fields): priority: must be an integer"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_of_a_proxy_is_an_error_too() {
    let mut server = FakeServer::start().await;
    let client = server.client().repeats(0);
    let serving = async { server.request().await.answer(502, json!("bad gateway")).await };
    let (refused, ()) = tokio::join!(client.get("7"), serving);
    assert_eq!(refused.unwrap_err().code(), "http_502");
    let serving = async { server.request().await.answer(200, json!([1])).await };
    let (refused, ()) = tokio::join!(client.get("7"), serving);
    assert_eq!(refused.unwrap_err().code(), "invalid_answer");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_wants() {
    let mut server = FakeServer::start().await;
    let client = server.client();
    let serving = async {
        let busy = json!({"code": "backlog_full", "detail": "too many jobs"});
        server.request().await.answer_with("429 Busy\r\nretry-after: 0", busy.clone()).await;
        server.request().await.answer(200, job("completed")).await;
        // That is too long to be waited for.
        server.request().await.answer_with("429 Busy\r\nretry-after: 3600", busy).await;
    };
    let asking = async { (client.get("7").await, client.get("7").await) };
    let ((first, second), ()) =
        within("two answers", async { tokio::join!(asking, serving) }).await;
    let first = first.unwrap();
    assert!(first.is_completed() && first.progress.as_ref().unwrap().done == 1);
    assert_eq!(first.result_as::<Value>().unwrap(), json!({"bytes": 5}));
    let problem = second.unwrap_err().problem().unwrap().clone();
    assert_eq!(problem.retry_after, Some(Duration::from_secs(3_600)));
}

#[tokio::test]
async fn a_job_is_waited_for_until_it_is_final_or_time_is_over() {
    let mut server = FakeServer::start().await;
    let client = server.client();
    let serving = async {
        let first = server.request().await;
        assert_eq!(first.path, "/api/v1/jobs/7?wait=30000ms");
        first.answer(202, job("running")).await;
        server.request().await.answer(200, job("discarded")).await;
    };
    let waiting = client.wait("7", Duration::from_secs(60));
    let (waited, ()) = within("a final job", async { tokio::join!(waiting, serving) }).await;
    assert_eq!(waited.unwrap().state, "discarded");
    let serving = async { server.request().await.answer(202, job("running")).await };
    let (late, ()) = tokio::join!(client.wait("7", Duration::ZERO), serving);
    let Err(ClientError::StillRunning(job)) = late else { panic!("{late:?}") };
    assert_eq!(job.state, "running");
}

#[tokio::test]
async fn a_cancellation_whose_answer_is_lost_is_not_repeated() {
    let mut server = FakeServer::start().await;
    let client = server.client();
    let serving = async {
        let request = server.request().await;
        assert_eq!(request.path, "/api/v1/jobs/a%2Fb/cancel");
        drop(request);
    };
    let (lost, ()) = tokio::join!(client.cancel("a/b"), serving);
    assert_eq!(lost.unwrap_err().code(), "unreachable");
    let serving = async {
        let status = json!({"id": "7", "state": "running", "cancel_asked": true});
        server.request().await.answer(200, status).await;
    };
    let (asked, ()) = tokio::join!(client.cancel("7"), serving);
    assert!(asked.unwrap().cancel_asked);
}
