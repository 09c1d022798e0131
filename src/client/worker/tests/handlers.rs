//! What handlers return, and what the server is told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{RunningWorker, worker};
use crate::client::tests::fake_server::{FakeServer, lease};
use crate::client::{
    ClientError, Context, Decision, Discard, HandlerEnd, HandlerError, JobError, LogStream, Next,
    RetryAfter, Snooze, State,
};

#[tokio::test]
async fn every_end_of_a_handler_becomes_its_outcome() {
    let mut server = FakeServer::start().await;
    let ends = |context: Context, end: String| async move {
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
    let _running = RunningWorker::start(worker(&server.client()).handle_kind("end", ends));
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
            "the payload does not match what the handler expects: invalid type: integer `7`, expected a string at line 1 column 1"}),
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
    let report = |context: Context, _: Value| async move {
        context.log("one\r\ntwo");
        context.log_on(LogStream::Stderr, "a \"warning\"");
        context.progress(1, None, None);
        context.progress(2, Some(3), Some("encoding"));
        Ok::<_, HandlerError>(())
    };
    let _running = RunningWorker::start(worker(&server.client()).handle_kind("report", report));
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
    let report = |context: Context, _: Value| async move {
        (0..1_010).for_each(|n| context.log(format!("line {n}")));
        Ok::<_, HandlerError>(())
    };
    let _running = RunningWorker::start(worker(&server.client()).handle_kind("report", report));
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
    let compute = move |_: Context, _: Value| {
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
    let _running = RunningWorker::start(worker(&server.client()).handle_kind("compute", compute));
    let mut socket = server.greeted_worker().await;
    for n in 0..3 {
        socket.jobs(&[lease(&format!("L{n}"), "compute", Value::Null)]).await;
        assert_eq!(socket.confirm_update().await["settle"][0]["outcome"], "done");
    }
    let tasks = tasks.lock().unwrap();
    // The first one ran on the task of the worker.
    assert!(tasks[0] != tasks[1] && tasks[1] != tasks[2] && tasks[0] != tasks[2], "{tasks:?}");
}

#[derive(Debug, thiserror::Error)]
#[error("the printer is on fire")]
struct PrinterError(Decision);

impl JobError for PrinterError {
    fn decision(&self) -> Decision {
        self.0
    }
}

#[tokio::test]
async fn every_decision_of_an_error_becomes_its_outcome() {
    let mut server = FakeServer::start().await;
    let delay = Duration::from_secs(5);
    let own = move |_: Context, case: u8| async move {
        let decisions = [
            Decision::Retry,
            Decision::RetryAfter(delay),
            Decision::Snooze(delay),
            Decision::Discard,
            Decision::Cancel,
        ];
        Err::<(), _>(PrinterError(decisions[usize::from(case)]))
    };
    let of_anyhow = move |_: Context, case: u8| async move {
        let error: anyhow::Error = match case {
            0 => anyhow::Error::msg("busy"),
            1 => RetryAfter::new("busy", delay).into(),
            2 => Snooze(delay).into(),
            3 => Discard::new("busy").into(),
            _ => crate::client::Cancelled.into(),
        };
        Err::<(), _>(error.context("cannot print"))
    };
    let worker = worker(&server.client()).handle_kind("own", own).handle_kind("anyhow", of_anyhow);
    let _running = RunningWorker::start(worker);
    let mut socket = server.greeted_worker().await;
    for (kind, error) in [("own", "the printer is on fire"), ("anyhow", "cannot print: busy")] {
        for (case, settle) in [
            json!({"lease": "L", "outcome": "retry", "error": error}),
            json!({"lease": "L", "outcome": "retry", "error": error, "after_ms": 5_000}),
            json!({"lease": "L", "outcome": "snooze", "delay_ms": 5_000}),
            json!({"lease": "L", "outcome": "discard", "error": error}),
            json!({"lease": "L", "outcome": "cancelled"}),
        ]
        .into_iter()
        .enumerate()
        {
            socket.jobs(&[lease("L", kind, json!(case))]).await;
            assert_eq!(socket.confirm_update().await["settle"], json!([settle]), "{kind}");
        }
    }
}

#[tokio::test]
async fn handlers_get_the_states_of_their_worker_and_its_client() {
    let mut server = FakeServer::start().await;
    let stated = |context: Context, _: Value, State(prefix): State<&'static str>| async move {
        assert_eq!(context.state::<&'static str>(), Some(&prefix));
        let job = context.client().get("J").await.map_err(HandlerError::decided)?;
        Ok::<_, HandlerError>(format!("{prefix} {}", job.kind))
    };
    let _running =
        RunningWorker::start(worker(&server.client()).handle_kind("stated", stated).state("a"));
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "stated", Value::Null)]).await;
    let request = server.request_to("/jobs/J").await;
    let job = json!({"id": "J", "kind": "other", "queue": "q", "state": "running", "attempt": 1, "max_attempts": 1,
        "enqueued_at": "t"});
    request.answer(200, job).await;
    assert_eq!(socket.confirm_update().await["settle"][0]["result"], "a other");
}

#[tokio::test]
async fn a_worker_whose_handler_needs_a_state_that_was_not_given_does_not_start() {
    let server = FakeServer::start().await;
    let stated = |_: Context, _: Value, _: State<Vec<u8>>| async { Ok::<_, HandlerError>(()) };
    let ended = worker(&server.client()).handle_kind("stated", stated).run(async {}).await;
    let Err(ClientError::InvalidWorker(why)) = ended else { panic!("{ended:?}") };
    assert_eq!(why, "the handler of kind stated needs a State<Vec<u8>>, add it with .state(…)");
}

#[tokio::test]
async fn the_middleware_of_a_worker_surrounds_all_of_its_handlers() {
    let mut server = FakeServer::start().await;
    let outer = |context: Context, next: Next| async move {
        let end = next.run(context.clone()).await;
        context.log(format!("{} {}", context.kind(), end.is_done()));
        match end {
            HandlerEnd::Retry { error, .. } => HandlerEnd::Discard(format!("outer: {error}")),
            end => end,
        }
    };
    let inner = |context: Context, next: Next| async move {
        if context.queue() == "closed" {
            return HandlerEnd::Snooze(Duration::from_secs(1));
        }
        next.run(context).await
    };
    let fail = |_: Context, panics: bool| async move {
        assert!(!panics, "broken");
        Err::<(), _>("no")
    };
    let worker = worker(&server.client()).handle_kind("fail", fail);
    let _running = RunningWorker::start(worker.middleware(outer).middleware(inner));
    let mut socket = server.greeted_worker().await;
    let mut closed = lease("L", "echo", json!(1));
    closed["job"]["queue"] = json!("closed");
    for (job, line, settle) in [
        (
            lease("L", "echo", json!(1)),
            "echo true",
            json!({"lease": "L", "outcome": "done", "result": 1}),
        ),
        (
            lease("L", "fail", json!(false)),
            "fail false",
            json!({"lease": "L", "outcome": "discard", "error": "outer: no"}),
        ),
        (
            lease("L", "fail", json!(true)),
            "fail false",
            json!({"lease": "L", "outcome": "retry", "error": "the handler panicked: broken"}),
        ),
        (closed, "echo false", json!({"lease": "L", "outcome": "snooze", "delay_ms": 1_000})),
    ] {
        socket.jobs(&[job]).await;
        let update = socket.confirm_update().await;
        assert_eq!(update["settle"], json!([settle]));
        assert_eq!(update["note"][0]["lines"][0]["text"], line);
    }
}

#[tokio::test]
async fn a_handler_that_waits_for_room_in_the_log_loses_no_line() {
    let mut server = FakeServer::start().await;
    let report = |context: Context, _: Value| async move {
        for n in 0..2_500 {
            context.log_room().await;
            context.log(format!("line {n}"));
        }
        Ok::<_, HandlerError>(())
    };
    let _running = RunningWorker::start(worker(&server.client()).handle_kind("report", report));
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "report", Value::Null)]).await;
    let mut texts = Vec::new();
    loop {
        let update = socket.confirm_update().await;
        let lines = update["note"][0]["lines"].as_array().cloned().unwrap_or_default();
        texts.extend(lines.into_iter().map(|line| line["text"].as_str().unwrap().to_owned()));
        if update["settle"].is_array() {
            break;
        }
    }
    assert_eq!(texts, (0..2_500).map(|n| format!("line {n}")).collect::<Vec<_>>());
}
