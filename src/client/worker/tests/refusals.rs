//! What a worker does when the server refuses its token or its messages.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{ErrorLog, RunningWorker, running, worker};
use crate::client::error::{ClientError, ServerProblem};
use crate::client::tests::fake_server::{FakeServer, confirmation, lease, within};
use crate::client::worker::delays::RetryDelays;
use crate::client::{Client, Context, Worker, WorkerProtocol};

fn refused(status: u16, code: &str) -> ClientError {
    let problem = json!({"code": code, "detail": "no"}).to_string();
    ClientError::Refused(Box::new(ServerProblem::read(status, None, problem.as_bytes())))
}

#[test]
fn a_refused_token_waits_longer_each_time_and_is_logged_once_and_an_outage_does_not() {
    let log = ErrorLog::default();
    let _guard = log.record();
    let worker = Worker::new(&Client::new("http://127.0.0.1:1").unwrap());
    let worker =
        worker.handle_kind("echo", |_: Context, payload: Value| async { Ok::<_, String>(payload) });
    let mut delays = RetryDelays::new(&worker.settings().unwrap());
    let refusals =
        [refused(401, "unauthorized"), refused(403, "http_403"), refused(0, "forbidden")];
    for times in 1..=2 {
        for (attempt, refusal) in refusals.iter().cycle().take(9).enumerate() {
            let whole = Duration::from_secs(10 << attempt).min(Duration::from_secs(300));
            let delay = delays.after(refusal, "w", "connecting");
            assert!((whole / 2..=whole).contains(&delay), "{attempt}: {delay:?}");
            let whole = Duration::from_millis(250 << attempt).min(Duration::from_secs(30));
            let delay = delays.after(&ClientError::broken("gone"), "w", "connecting");
            assert!((whole / 2..=whole).contains(&delay), "{attempt}: {delay:?}");
            assert_eq!(log.lines().len(), times);
        }
        delays.succeeded();
    }
}

const FORBIDDEN: [(u16, &str); 3] =
    [(401, "unauthorized"), (403, "forbidden"), (401, "unauthorized")];

#[tokio::test]
async fn a_token_that_is_refused_later_does_not_end_the_worker() {
    let log = ErrorLog::default();
    let _guard = log.record();
    let (mut server, mut running) = running().await;
    for times in 0..2 {
        server.greeted_worker().await.close(1008).await;
        assert_eq!(log.lines().len(), times);
        for (status, code) in FORBIDDEN {
            server.request().await.answer(status, json!({"code": code, "detail": "no"})).await;
        }
    }
    let mut socket = server.greeted_worker().await;
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    running.stop();
    while !socket.receive().await.is_null() {}
    drop(socket);
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_refused_token_is_tried_again_after_a_long_time_and_a_stop_does_not_wait_for_it() {
    for protocol in [WorkerProtocol::WebSocket, WorkerProtocol::Http] {
        let log = ErrorLog::default();
        let _guard = log.record();
        let mut server = FakeServer::start().await;
        let long = Duration::from_secs(2_000);
        let worker = worker(&server.client()).protocol(protocol).reconnect_refused(long, long);
        let mut running = RunningWorker::start(worker);
        let no = json!({"code": "unauthorized", "detail": "no"});
        match protocol {
            WorkerProtocol::WebSocket => server.greeted_worker().await.close(1008).await,
            WorkerProtocol::Http => {
                let jobs = json!({"leases": [lease("L", "echo", json!(1))]});
                server.request_to("/claim").await.answer(200, jobs).await;
                server.request_to("/leases").await.answer(401, no.clone()).await;
            }
        }
        server.request().await.answer(401, no.clone()).await;
        let expected = if protocol == WorkerProtocol::Http { 2 } else { 1 };
        within("the lines of the log", async {
            while log.lines().len() < expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for line in log.lines() {
            let delay = line.split("again in ").nth(1).unwrap().split(['.', 's']).next().unwrap();
            assert!((1_000..=2_000).contains(&delay.parse::<u32>().unwrap()), "{line}");
        }
        if protocol == WorkerProtocol::WebSocket {
            running.stop();
            running.end().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_error_that_names_its_update_concerns_no_other_one_and_its_credit_is_given_again() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L1", "echo", json!(1))]).await;
    let first = socket.receive().await;
    socket.jobs(&[lease("L2", "echo", json!(2))]).await;
    let second = socket.receive().await;
    let mut error = json!({"type": "error", "code": "invalid_fields", "field": "settle[0].result",
                           "message": "is too long", "id": second["id"]});
    socket.send(error.clone()).await;
    error["id"] = json!(4_711); // not known
    socket.send(error).await;
    let third = socket.confirm_update().await;
    let text = "the server refused the outcome of this attempt: is too long";
    assert_eq!(third["settle"], json!([{"lease": "L2", "outcome": "retry", "error": text}]));
    assert_eq!(third["free"], 1);
    socket.send(confirmation(&first)).await;
    socket.jobs(&[lease("L3", "echo", json!(3))]).await;
    socket.confirm_update().await;
    drop(socket);
    let (_, ready) = server.worker().await;
    assert_eq!(ready["held"], json!([]));
}

#[tokio::test]
async fn one_wrong_settle_does_not_keep_others_from_being_settled() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    let jobs: Vec<Value> = (0..3).map(|n| lease(&format!("L{n}"), "echo", json!(n))).collect();
    socket.jobs(&jobs).await;
    let error = json!({"type": "error", "code": "invalid_fields", "message": "no"});
    let refusal = |update: &Value| {
        let mut refusal = error.clone();
        refusal["id"] = update["id"].clone();
        refusal
    };
    let update = socket.receive().await;
    assert_eq!(update["settle"].as_array().unwrap().len(), 3);
    socket.send(refusal(&update)).await;
    let (mut outcomes, mut free) = (Vec::new(), 0);
    while outcomes.len() < 3 {
        let update = socket.receive().await;
        let [settle] = &update["settle"].as_array().unwrap()[..] else { panic!("{update}") };
        if settle["lease"] == "L1" && settle["outcome"] == "done" {
            socket.send(refusal(&update)).await;
            continue;
        }
        outcomes.push(format!("{} {}", settle["lease"], settle["outcome"]));
        free += update["free"].as_u64().unwrap_or(0);
        socket.send(confirmation(&update)).await;
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes, [r#""L0" "done""#, r#""L1" "retry""#, r#""L2" "done""#]);
    assert_eq!(free, 3);
}

#[tokio::test]
async fn an_update_that_a_failing_store_could_not_take_is_sent_again_unchanged() {
    let (mut server, _running) = running().await;
    let mut socket = server.greeted_worker().await;
    socket.jobs(&[lease("L", "echo", json!(1))]).await;
    let settles = json!([{"lease": "L", "outcome": "done", "result": 1}]);
    for names_it in [true, false] {
        let update = socket.receive().await;
        assert_eq!(update["settle"], settles);
        let mut error =
            json!({"type": "error", "code": "store_unavailable", "message": "the disk is full"});
        if names_it {
            error["id"] = update["id"].clone();
        }
        socket.send(error).await;
        socket.close(1013).await;
        socket = server.greeted_worker().await;
    }
    assert_eq!(socket.confirm_update().await["settle"], settles);
}
