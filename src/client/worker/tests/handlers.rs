//! What handlers return, and what the server is told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{RunningWorker, worker};
use crate::client::tests::fake_server::{FakeServer, lease};
use crate::client::{HandlerError, JobContext, LogStream};

#[tokio::test]
async fn every_end_of_a_handler_becomes_its_outcome() {
    let mut server = FakeServer::start().await;
    let ends = |context: JobContext, end: String| async move {
        assert!(
            context.kind() == "end" && context.attempt() == 1 && context.cancel_cause().is_none()
        );
        match end.as_str() {
            "result" => Ok(json!({"bytes": 5})),
            "error" => Err(std::io::Error::other("connection refused").into()),
            "text" => Err("just a text".into()),
            "nothing" => Err("".into()),
            "retry" => Err(HandlerError::retry_after("too many", Duration::from_secs(60))),
            "snooze" => Err(HandlerError::Snooze(Duration::from_secs(5))),
            "discard" => Err(HandlerError::discard("not a PNG")),
            "cancelled" => Err(HandlerError::Cancelled),
            _ => panic!("no such {end}"),
        }
    };
    let _running = RunningWorker::start(worker(&server.client()).handle("end", ends));
    let mut socket = server.greeted_worker().await;
    for (payload, settle) in [
        (json!("result"), json!({"outcome": "done", "result": {"bytes": 5}})),
        (json!("error"), json!({"outcome": "retry", "error": "connection refused"})),
        (json!("text"), json!({"outcome": "retry", "error": "just a text"})),
        (
            json!("nothing"),
            json!({"outcome": "retry", "error": "the handler failed without a message"}),
        ),
        (json!("retry"), json!({"outcome": "retry", "error": "too many", "after_ms": 60_000})),
        (json!("snooze"), json!({"outcome": "snooze", "delay_ms": 5_000})),
        (json!("discard"), json!({"outcome": "discard", "error": "not a PNG"})),
        (json!("cancelled"), json!({"outcome": "cancelled"})),
        (
            json!("panic"),
            json!({"outcome": "retry", "error": "the handler panicked: no such panic"}),
        ),
        (
            json!(7),
            json!({"outcome": "discard", "error":
            "the payload is not valid: invalid type: integer `7`, expected a string at line 1 column 1"}),
        ),
    ] {
        socket.jobs(&[lease("L", "end", payload)]).await;
        let update = socket.confirm_update().await;
        let mut expected = settle;
        expected["lease"] = json!("L");
        assert_eq!((&update["settle"], &update["free"]), (&json!([expected]), &json!(1)));
    }
    socket.jobs(&[lease("L", "mystery", json!(1))]).await;
    let update = socket.confirm_update().await;
    assert_eq!(update["settle"][0]["error"], "this worker has no handler for the kind mystery");
}

#[tokio::test]
async fn lines_and_progress_go_before_the_end_of_their_attempt() {
    let mut server = FakeServer::start().await;
    let report = |context: JobContext, _: Value| async move {
        context.log("one\r\ntwo");
        context.log_on(LogStream::Stderr, "a \"warning\"");
        context.progress(1, None, None);
        context.progress(2, Some(3), Some("encoding"));
        Ok::<_, HandlerError>(())
    };
    let _running = RunningWorker::start(worker(&server.client()).handle("report", report));
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "report", Value::Null)]).await;
    let update = socket.confirm_update().await;
    let note = &update["note"][0];
    let lines = note["lines"].as_array().unwrap();
    let texts: Vec<&Value> = lines.iter().map(|line| &line["text"]).collect();
    assert_eq!(texts, ["one", "two", "a \"warning\""]);
    assert_eq!((&lines[0]["stream"], &lines[2]["stream"]), (&Value::Null, &json!("stderr")));
    assert!(lines[0]["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(note["progress"], json!({"done": 2, "total": 3, "message": "encoding"}));
    assert_eq!(update["settle"], json!([{"lease": "L", "outcome": "done", "result": null}]));
}

#[tokio::test]
async fn a_handler_that_logs_too_much_keeps_the_newest_lines_and_says_how_many_are_missing() {
    let mut server = FakeServer::start().await;
    let report = |context: JobContext, _: Value| async move {
        (0..1_010).for_each(|n| context.log(format!("line {n}")));
        Ok::<_, HandlerError>(())
    };
    let _running = RunningWorker::start(worker(&server.client()).handle("report", report));
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "report", Value::Null)]).await;
    let update = socket.confirm_update().await;
    let lines = update["note"][0]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 1_001);
    assert_eq!(lines[0]["text"], "(10 lines were dropped: they could not be sent in time)");
    assert_eq!(lines[1_000]["text"], "line 1009");
}

#[tokio::test]
async fn a_handler_that_computes_for_long_does_so_on_a_task_of_its_own() {
    let mut server = FakeServer::start().await;
    let tasks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tasks);
    let compute = move |_: JobContext, _: Value| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().unwrap().push(tokio::task::id());
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            Ok::<_, HandlerError>(())
        }
    };
    let _running = RunningWorker::start(worker(&server.client()).handle("compute", compute));
    let mut socket = server.greeted_worker().await;
    for n in 0..3 {
        socket.jobs(&[lease(&format!("L{n}"), "compute", Value::Null)]).await;
        assert_eq!(socket.confirm_update().await["settle"][0]["outcome"], "done");
    }
    let tasks = tasks.lock().unwrap();
    // The first one ran on the task of the worker.
    assert!(tasks[0] != tasks[1] && tasks[1] != tasks[2] && tasks[0] != tasks[2], "{tasks:?}");
}
