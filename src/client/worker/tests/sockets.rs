//! A worker over WebSocket: credit, updates, reconnects, cancellations and lost leases.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{RunningWorker, running, worker};
use crate::client::Context;
use crate::client::tests::fake_server::{FakeServer, confirmation, hello, lease};

fn sorted(texts: &Value) -> Vec<&str> {
    let mut texts: Vec<&str> =
        texts.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn a_worker_says_what_it_runs_and_jobs_that_end_together_share_an_update() {
    let mut server = FakeServer::start().await;
    let worker = worker(&server.client().token("secret").unwrap()).queues(["a", "b"]);
    let _running = RunningWorker::start(worker);
    let request = server.request().await;
    assert_eq!(request.path, "/api/v1/workers/w/ws");
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(request.header("sec-websocket-protocol"), Some("cortado.worker.v1+json"));
    let mut socket = request.upgrade().await;
    let ready = socket.receive().await;
    assert_eq!((&ready["free"], &ready["lease_ms"]), (&json!(10), &json!(30_000)));
    assert_eq!(ready["queues"], json!(["a", "b"]));
    assert_eq!(ready["kinds"], json!(["echo", "wait", "obey"]));
    assert_eq!(ready["held"], json!([]));
    let about = &ready["about"];
    assert_eq!((&about["client"], &about["concurrency"]), (&json!("cortado-rust"), &json!(10)));
    assert_eq!(about["instance"].as_str().unwrap().len(), 32);
    socket.send(hello()).await;
    let jobs: Vec<Value> = (0..3).map(|n| lease(&format!("L{n}"), "echo", json!(n))).collect();
    socket.jobs(&jobs).await;
    let update = socket.confirm_update().await;
    assert_eq!((update["settle"].as_array().unwrap().len(), &update["free"]), (3, &json!(3)));
    assert_eq!(update["settle"][2], json!({"lease": "L2", "outcome": "done", "result": 2}));
}

#[tokio::test]
async fn what_was_not_confirmed_is_sent_again_after_a_reconnect_and_leases_are_named() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("W", "wait", Value::Null), lease("E", "echo", json!(1))]).await;
    let update = socket.receive().await;
    assert_eq!(update["settle"][0]["lease"], "E");
    drop(socket); // without an answer

    let (mut socket, ready) = server.worker().await;
    let about = ready["about"].clone();
    assert_eq!((sorted(&ready["held"]), &ready["free"]), (vec!["E", "W"], &json!(9)));
    socket.send(hello()).await;
    let again = socket.confirm_update().await;
    assert_eq!((&again["settle"], &again["free"]), (&update["settle"], &Value::Null));
    socket.close(1001).await;

    let (mut socket, ready) = server.worker().await;
    assert_eq!(sorted(&ready["held"]), ["W"]);
    assert_eq!(ready["about"], about, "it is the same process");
    socket.send(hello()).await;
    // A job that is repeated by mistake does not run twice.
    socket.jobs(&[lease("W", "wait", Value::Null), lease("F", "echo", json!(1))]).await;
    let update = socket.confirm_update().await;
    assert_eq!((&update["settle"][0]["lease"], &update["free"]), (&json!("F"), &json!(1)));
}

#[tokio::test]
async fn a_cancelled_job_tells_its_handler_and_is_reported_as_cancelled() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "obey", Value::Null)]).await;
    let noted = socket.confirm_update().await;
    assert_eq!(noted["note"][0]["lines"][0]["text"], "begun");
    assert_eq!((&noted["settle"], &noted["free"]), (&Value::Null, &Value::Null));
    socket.send(json!({"type": "cancel", "lease": "L"})).await;
    let update = socket.confirm_update().await;
    assert_eq!(update["settle"], json!([{"lease": "L", "outcome": "cancelled"}]));
}

#[tokio::test]
async fn nothing_is_reported_about_a_lost_lease_but_its_slot_is_free_again() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "obey", Value::Null)]).await;
    socket.confirm_update().await;
    socket.send(json!({"type": "lost", "lease": "L"})).await;
    let update = socket.confirm_update().await;
    assert_eq!(
        (&update["settle"], &update["note"], &update["free"]),
        (&Value::Null, &Value::Null, &json!(1))
    );
    // The same by the answer to a reconnect.
    socket.jobs(&[lease("M", "obey", Value::Null)]).await;
    socket.confirm_update().await;
    drop(socket);
    let (mut socket, _) = server.worker().await;
    let mut greeting = hello();
    greeting["held"] = json!([{"lease": "M", "status": "lost"}]);
    socket.send(greeting).await;
    let update = socket.confirm_update().await;
    assert_eq!((&update["settle"], &update["free"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn leases_are_extended_and_a_worker_without_jobs_asks_whether_the_server_is_there() {
    let (mut server, _running) = running().await;
    let (mut socket, _) = server.worker().await;
    let mut greeting = hello();
    greeting["heartbeat_ms"] = json!(30);
    socket.send(greeting).await;
    assert_eq!(socket.receive().await, json!({"type": "ping"}));
    socket.send(json!({"type": "pong"})).await;
    socket.jobs(&[lease("L", "obey", Value::Null)]).await;
    let update = loop {
        let message = socket.receive().await;
        if !message["extend"].is_null() {
            break message;
        }
        socket.send(confirmation(&message)).await;
    };
    assert_eq!((&update["extend"], &update["lease_ms"]), (&json!(["L"]), &json!(60_000)));
    let cancel = json!([{"lease": "L", "status": "cancel"}]);
    socket.send(json!({"type": "updated", "id": update["id"], "extend": cancel})).await;
    loop {
        let message = socket.receive().await;
        if !message["settle"].is_null() {
            assert_eq!(message["settle"][0]["outcome"], "cancelled");
            break;
        }
        socket.send(confirmation(&message)).await;
    }
}

#[tokio::test]
async fn a_silent_server_is_left_and_the_leases_are_kept() {
    let (mut server, _running) = running().await;
    let (mut socket, _) = server.worker().await;
    let mut greeting = hello();
    greeting["heartbeat_ms"] = json!(30);
    socket.jobs(&[lease("L", "wait", Value::Null)]).await;
    socket.send(greeting).await;
    let (_second, ready) = server.worker().await;
    assert_eq!(ready["held"], json!(["L"]));
    drop(socket);
}

#[tokio::test]
async fn an_outcome_that_the_server_refuses_becomes_a_failure() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "echo", json!("long"))]).await;
    let update = socket.receive().await;
    let invalid = json!([{"lease": "L", "status": "invalid", "detail": "the result is too long"}]);
    socket.send(json!({"type": "updated", "id": update["id"], "settle": invalid})).await;
    let second = socket.receive().await;
    let error = "the server refused the outcome of this attempt: the result is too long";
    assert_eq!(second["settle"], json!([{"lease": "L", "outcome": "retry", "error": error}]));
    // If that is refused as well, there is nothing more to say.
    socket.send(json!({"type": "updated", "id": second["id"], "settle": invalid})).await;
    socket.jobs(&[lease("M", "echo", json!(1))]).await;
    let update = socket.confirm_update().await;
    assert_eq!(update["settle"], json!([{"lease": "M", "outcome": "done", "result": 1}]));
}

#[tokio::test]
async fn a_result_that_makes_a_message_too_big_becomes_a_failure() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "echo", json!("x".repeat(300_000)))]).await;
    socket.receive().await;
    socket.close(1009).await;
    let mut socket = server.greeted_worker().await;
    let update = socket.confirm_update().await;
    let error =
        "the server refused the outcome of this attempt: it is longer than the server accepts";
    assert_eq!(update["settle"], json!([{"lease": "L", "outcome": "retry", "error": error}]));
}

#[tokio::test]
async fn many_ends_wait_for_answers_and_share_the_updates_that_follow() {
    let server = FakeServer::start().await;
    let mut server = server;
    let _running = RunningWorker::start(worker(&server.client()).concurrency(1_000));
    let mut socket = server.greeted_worker().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        socket.jobs(&[lease(&format!("L{n}"), "echo", json!(n))]).await;
        if n < 8 {
            ids.push(socket.receive().await);
        }
    }
    for update in &ids {
        assert_eq!(update["settle"].as_array().unwrap().len(), 1);
        socket.send(confirmation(update)).await;
    }
    let mut rest = 0;
    while rest < 12 {
        rest += socket.confirm_update().await["settle"].as_array().unwrap().len();
    }
    assert_eq!(rest, 12);
}

#[tokio::test]
async fn the_first_refusal_is_final_and_later_ones_are_tried_again() {
    let (mut server, running) = running().await;
    let forbidden = json!({"code": "forbidden", "detail": "this needs the role worker"});
    server.request().await.answer(403, forbidden.clone()).await;
    assert_eq!(running.end().await.unwrap_err().code(), "forbidden");

    let (mut server, mut running) = super::support::running().await;
    let busy = json!({"code": "unavailable", "detail": "not now"});
    server.request().await.answer(503, busy).await;
    drop(server.greeted_worker().await);
    server.request().await.answer(403, forbidden).await;
    let mut socket = server.greeted_worker().await;
    running.stop();
    while !socket.receive().await.is_null() {}
    drop(socket);
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_first_message_that_is_refused_is_final() {
    let (mut server, running) = running().await;
    let (mut socket, _) = server.worker().await;
    let error = json!({"type": "error", "code": "invalid_fields", "field": "kinds", "message": "kinds: no such kind"});
    socket.send(error).await;
    let error = running.end().await.unwrap_err();
    assert_eq!(
        (error.code(), error.problem().unwrap().detail.as_str()),
        ("invalid_fields", "kinds: no such kind")
    );
}

#[tokio::test]
async fn a_worker_whose_name_another_one_took_ends() {
    let (mut server, running) = running().await;
    server.greeted_worker().await.close(4409).await;
    assert_eq!(running.end().await.unwrap_err().code(), "replaced");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    let client = FakeServer::start().await.client();
    for worker in [
        crate::client::Worker::new(&client),
        worker(&client).name("a b"),
        worker(&client).concurrency(0),
        worker(&client).lease(Duration::from_millis(1)),
        worker(&client).handle_kind("echo", |_: Context, (): ()| async { Ok::<_, String>(()) }),
    ] {
        let error = worker.run(std::future::pending()).await.unwrap_err();
        assert_eq!(error.code(), "invalid_worker", "{error}");
    }
}
