//! How a worker stops: when its program asks it to, and when somebody commands it.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{RunningWorker, running, worker};
use crate::client::tests::fake_server::{FakeServer, FakeSocket, hello, lease};
use crate::client::{StopCause, WorkerEnd};

/// Confirms updates until the worker signs off, and returns the settles.
async fn settles_until_bye(mut socket: FakeSocket) -> Vec<Value> {
    let mut settles = Vec::new();
    loop {
        let message = socket.receive().await;
        match message["type"].as_str().unwrap() {
            "update" => {
                assert_eq!(message["free"], Value::Null, "a stopping worker gives no credit");
                settles.extend(message["settle"].as_array().into_iter().flatten().cloned());
                socket.send(crate::client::tests::fake_server::confirmation(&message)).await;
            }
            "bye" => break,
            "ready" => assert_eq!(message["free"], 0),
            other => panic!("{other}"),
        }
    }
    socket.send(json!({"type": "bye", "why": "signed_off"})).await;
    socket.close(1000).await;
    settles
}

#[tokio::test]
async fn a_stopping_worker_gives_back_what_is_not_done_in_time_and_signs_off() {
    let mut server = FakeServer::start().await;
    let worker = worker(&server.client()).grace(Duration::from_millis(20));
    let mut running = RunningWorker::start(worker);
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("W", "wait", Value::Null), lease("O", "obey", Value::Null)]).await;
    socket.confirm_update().await; // the line of the second one: both are running
    running.stop();
    let ready = socket.receive().await;
    assert_eq!((&ready["type"], &ready["free"]), (&json!("ready"), &json!(0)));
    // A job that was on its way is given back at once.
    socket.jobs(&[lease("L", "echo", Value::Null)]).await;
    let mut settles = settles_until_bye(socket).await;
    settles.sort_by_key(|settle| settle["lease"].to_string());
    let returned = |lease: &str| json!({"lease": lease, "outcome": "returned"});
    assert_eq!(settles, [returned("L"), returned("O"), returned("W")]);
    let end = WorkerEnd { cause: StopCause::Asked, returned: 3, unconfirmed: 0 };
    assert_eq!(running.end().await.unwrap(), end);
}

#[tokio::test]
async fn a_stopping_worker_waits_for_handlers_that_end() {
    let (mut server, mut running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("O", "obey", Value::Null)]).await;
    socket.confirm_update().await;
    running.stop();
    assert_eq!(socket.receive().await["free"], 0);
    socket.send(json!({"type": "cancel", "lease": "O"})).await;
    let settles = settles_until_bye(socket).await;
    assert_eq!(settles, [json!({"lease": "O", "outcome": "cancelled"})]);
    assert_eq!(running.end().await.unwrap().returned, 0);
}

#[tokio::test]
async fn a_worker_stops_when_somebody_commands_it_and_not_when_it_is_quieted() {
    let (mut server, running) = running().await;
    let mut socket = server.greeted_worker().await;
    for command in ["quiet", "resume"] {
        socket.send(json!({"type": "command", "command": command})).await;
    }
    socket.jobs(&[lease("L", "echo", json!(1))]).await;
    assert_eq!(socket.confirm_update().await["settle"][0]["outcome"], "done");
    socket.send(json!({"type": "command", "command": "stop"})).await;
    assert!(settles_until_bye(socket).await.is_empty());
    let end = WorkerEnd { cause: StopCause::Commanded, returned: 0, unconfirmed: 0 };
    assert_eq!(running.end().await.unwrap(), end);

    let (mut server, running) = super::support::running().await;
    let (mut socket, _) = server.worker().await;
    let mut greeting = hello();
    greeting["command"] = json!("stop");
    socket.send(greeting).await;
    settles_until_bye(socket).await;
    assert_eq!(running.end().await.unwrap().cause, StopCause::Commanded);
}

#[tokio::test]
async fn a_worker_without_a_connection_stops_after_the_server_is_back() {
    let mut server = FakeServer::start().await;
    let mut running = RunningWorker::start(worker(&server.client()));
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("E", "echo", json!(1))]).await;
    assert_eq!(socket.receive().await["settle"][0]["lease"], "E");
    running.stop();
    assert_eq!(socket.receive().await["free"], 0);
    socket.send(json!({"type": "bye", "why": "stopping", "retry_ms": 20})).await;
    socket.close(1001).await;
    let (mut socket, ready) = server.worker().await;
    assert_eq!((&ready["free"], &ready["held"]), (&json!(0), &json!(["E"])));
    socket.send(hello()).await;
    let settles = settles_until_bye(socket).await;
    assert_eq!(settles, [json!({"lease": "E", "outcome": "done", "result": 1})]);
    assert_eq!(running.end().await.unwrap().unconfirmed, 0);
}

#[tokio::test]
async fn a_worker_that_never_reached_the_server_ends_when_it_is_asked_to() {
    let (server, mut running) = running().await;
    drop(server);
    running.stop();
    let end = WorkerEnd { cause: StopCause::Asked, returned: 0, unconfirmed: 0 };
    assert_eq!(running.end().await.unwrap(), end);
}
