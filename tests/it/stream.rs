//! The event stream with real clients: filters, stops and kills of the server during a subscription, slow clients, and
//! the client commands as child processes.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use serde_json::{Value, json};

use crate::support::process::lasting_address;
use crate::support::{Client, Command, Dir, Event, Fold, Server, Socket, eventually, within};

fn echo(n: usize) -> Value {
    json!({ "kind": "echo", "payload": n })
}

/// Jobs that stay scheduled: each has one event, which its tags make long.
fn waiting(count: usize) -> Vec<Value> {
    let tags: Vec<String> = (0..8).map(|n| format!("{n}{}", "-".repeat(60))).collect();
    vec![json!({ "kind": "echo", "delay_ms": 3_600_000, "tags": tags }); count]
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn a_filter_lets_through_what_it_says_and_nothing_else() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let mut all = server.socket("").await;
    let mut some = server.socket("?queue=mail,video&type=job.started&type=job.completed").await;
    let mut last = String::new();
    for n in 0..30 {
        let queue = ["mail", "reports", "video"][n % 3];
        let job = json!({ "kind": "echo", "payload": n, "queue": queue });
        last = server.client.submit(&job).await;
    }
    let is_last = |event: &Event| event.is_of(&last) && event.kind == "job.completed";
    // The filtered stream sends its position even when no event passes, so both can be compared.
    let some = some.events_until(is_last).await;
    all.events_until(is_last).await;
    let log = server.client.log().await;
    let upto = some.last().unwrap().seq;
    let text = server.client.text("/api/v1/jobs?queue=reports&limit=500").await;
    let other: BTreeSet<String> = serde_json::from_str::<Value>(&text).unwrap()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect();
    let wanted = log.into_iter().filter(|event| {
        let of_other = event.job.as_ref().is_some_and(|job| other.contains(&job.id));
        event.seq <= upto && event.kind != "job.enqueued" && !of_other
    });
    assert_eq!(some, wanted.collect::<Vec<Event>>());
    assert_eq!(other.len(), 10);
    server.stop().await;
}

#[tokio::test]
async fn a_subscriber_resumes_across_restarts_without_loss_or_doubles() {
    let dir = Dir::new();
    let (mut told, mut cursor) = (Vec::new(), String::new());
    for signal in [SIGTERM, SIGKILL, SIGTERM, SIGKILL] {
        let mut server = Server::start(&dir, &["--grace", "5s"]).await;
        if cursor.is_empty() {
            cursor = server.client.start_of_log().await;
        }
        let mut socket = server.socket(&format!("?after={cursor}")).await;
        let mut last = String::new();
        for n in 0..40 {
            last = server.client.submit(&echo(n)).await;
        }
        server.client.submit(&json!({ "kind": "sleep", "payload": { "ms": 300 } })).await;
        let wanted = |event: &Event| event.is_of(&last) && event.kind == "job.started";
        told.extend(socket.events_until(wanted).await);
        server.process.signal(signal);
        told.extend(socket.events_until_the_end().await);
        server.process.exit().await;
        cursor = socket.cursor.clone();
    }
    let server = Server::start(&dir, &[]).await;
    let mut socket = server.socket(&format!("?after={cursor}")).await;
    let last = server.client.submit(&echo(0)).await;
    let wanted = |event: &Event| event.is_of(&last) && event.kind == "job.completed";
    told.extend(socket.events_until(wanted).await);
    let mut log = server.client.log().await;
    log.truncate(told.len());
    assert_eq!(told, log);
    Fold::of(&told);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_lags_behind_20_000_events_gets_all_of_them_in_order() {
    let dir = Dir::new();
    // The live channel holds four batches, so the client soon has to read from the stored log.
    let config = dir.config("[engine]\nstream_capacity = 4\n[http]\nwrite_timeout = \"10m\"\n");
    let server = Server::start(&dir, &["--config", &config]).await;
    let mut lagging = server.socket("").await;
    for _ in 0..40 {
        server.client.submit_all(waiting(500)).await;
    }
    let head = crate::support::http::seq_of(&server.client.head().await);
    assert_eq!(head, 20_000);
    let told = lagging.events_until(|event| event.seq == head).await;
    assert_eq!(numbers(&told), (1..=head).collect::<Vec<u64>>());
    // The client has caught up, so it receives new events immediately.
    server.client.submit_all(waiting(1)).await;
    let told = lagging.events_until(|event| event.seq == head + 1).await;
    assert_eq!(told.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_sent_away_and_resumes_without_loss() {
    let dir = Dir::new();
    let config = dir.config("[http]\nwrite_timeout = \"500ms\"\n");
    let server = Server::start(&dir, &["--config", &config, "--log", "info,cortado=debug"]).await;
    let mut stuck = server.socket("").await;
    for _ in 0..20 {
        server.client.submit_all(waiting(1_000)).await;
    }
    let sent_away = server.process.err.line_with("Unwritable");
    within("a line about the client", sent_away).await.unwrap();
    let mut told = stuck.events_until_the_end().await;
    assert!(told.len() < 20_000, "the client was meant to miss some");
    let mut again = server.socket(&format!("?after={}", stuck.cursor)).await;
    told.extend(again.events_until(|event| event.seq == 20_000).await);
    assert_eq!(numbers(&told), (1..=20_000).collect::<Vec<u64>>());
    server.stop().await;
}

#[tokio::test]
async fn watch_survives_restarts_and_prints_each_event_once() {
    let dir = Dir::new();
    let address = lasting_address();
    let start = async |address: SocketAddr| {
        Server::start_on(address, &dir.data(), &["--grace", "5s"]).await
    };
    let server = start(address).await;
    let from = server.client.start_of_log().await;
    let base = server.client.base().to_owned();
    let mut watch = Command::run(&["watch", "--json", "--server", &base, "--after", &from]);
    submit_some(&server.client).await;
    assert!(within("printed events", watch.out.at_least(30)).await);
    server.stop().await;

    let server = start(address).await;
    submit_some(&server.client).await;
    assert!(within("printed events", watch.out.at_least(90)).await);
    server.kill().await;

    let server = start(address).await;
    let last = submit_some(&server.client).await;
    server.client.job_in(&last, "completed").await;
    let log = eventually("a quiet log", || async {
        let log = server.client.log().await;
        let quiet = Fold::of(&log).jobs.values().all(|job| job.state == "completed");
        quiet.then_some(log)
    })
    .await;
    assert!(within("printed events", watch.out.at_least(log.len())).await);
    watch.signal(SIGINT);
    assert_eq!(watch.exit().await.code(), Some(0), "Ctrl-C is the usual end");
    let printed = watch.out.so_far();
    let printed: Vec<Event> =
        printed.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed, log);
    assert!(watch.err.so_far().iter().any(|line| line.contains("retrying in")));
    server.stop().await;
}

async fn submit_some(client: &Client) -> String {
    let ids = client.submit_all((0..20).map(echo).collect()).await;
    ids.last().unwrap().clone()
}

/// Runs `cortado submit` and returns its exit code and output.
async fn submit(base: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["submit", "--server", base];
    all.extend(args);
    let mut command = Command::run(&all);
    let code = command.exit().await.code();
    (code, command.out.so_far().join("\n"), command.err.so_far().join("\n"))
}

#[tokio::test]
async fn submit_with_wait_tells_by_its_exit_code_how_the_job_fared() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--grace", "0s"]).await;
    let base = server.client.base().to_owned();

    let (code, out, err) = submit(&base, &["echo", r#"{"a": [1, 2]}"#, "--wait"]).await;
    assert_eq!((code, &*out), (Some(0), r#"{"a": [1, 2]}"#), "{err}");
    let (code, id, _) = submit(&base, &["sleep", r#"{"ms": 600000}"#]).await;
    assert_eq!(code, Some(0), "accepted, and nobody waits");
    assert_eq!(server.client.job(&id).await["kind"], "sleep");

    let dead = ["fail", r#"{"times": 9, "message": "no luck"}"#, "--max-attempts", "1", "--wait"];
    let (code, out, err) = submit(&base, &dead).await;
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    assert!(err.contains("discarded") && err.contains("no luck"), "{err}");

    let unknown = submit(&base, &["no-such-kind", "1", "--wait"]).await;
    assert!(unknown.0 == Some(2) && unknown.2.contains("no-such-kind"), "{unknown:?}");
    let late = submit(&base, &["sleep", r#"{"ms": 600000}"#, "--wait=200ms"]).await;
    assert!(late.0 == Some(2) && late.2.contains("has not finished"), "{late:?}");
    let broken = submit(&base, &["echo", "{", "--wait"]).await;
    assert!(
        broken.0 == Some(2) && broken.2.contains("ends before its JSON is complete"),
        "{broken:?}"
    );
    server.stop().await;
    let gone = submit(&base, &["echo", "1", "--wait"]).await;
    assert!(gone.0 == Some(2) && !gone.2.is_empty(), "{gone:?}");
}

#[tokio::test]
async fn submit_with_wait_sees_the_end_of_its_job_across_a_crash() {
    let dir = Dir::new();
    let address = lasting_address();
    let server = Server::start_on(address, &dir.data(), &[]).await;
    let mut socket: Socket = server.socket("").await;
    let base = server.client.base().to_owned();
    let job = ["submit", "--server", &base, "sleep", r#"{"ms": 1500}"#, "--wait"];
    let mut waiting = Command::run(&job);
    socket.events_until(|event| event.kind == "job.started").await;
    assert!(within("the job's id", waiting.err.at_least(1)).await, "the job was not accepted");
    server.kill().await;
    let server = Server::start_on(address, &dir.data(), &[]).await;
    assert_eq!(waiting.exit().await.code(), Some(0), "{:?}", waiting.err.so_far());
    assert_eq!(waiting.out.so_far(), [r#"{"slept_ms":1500}"#]);
    server.stop().await;
}
