//! The client in the server's process beside one over the network: the same answers and the same errors.

mod typed;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::app::{Cortado, Server};
use crate::client::{EventFilter, EventTail, JobDraft, JobFilter, TailItem};
use crate::config::{Config, FileConfig, ServeArgs};

/// The bound of every wait.
const BOUND: Duration = Duration::from_secs(30);

async fn within<F: Future>(fact: F) -> F::Output {
    tokio::time::timeout(BOUND, fact).await.expect("the fact within its bound")
}

async fn start(file: &str) -> Server {
    let config = Config::build(FileConfig::parse(file).unwrap(), &ServeArgs::default()).unwrap();
    let server = Cortado::builder().config(config).in_memory();
    server.listen(SocketAddr::from(([127, 0, 0, 1], 0))).start().await.unwrap()
}

/// The client in the process, and one over the network.
fn both(server: &Server) -> [Client; 2] {
    let network = Client::new(format!("http://{}", server.address())).unwrap();
    [server.client(), network].map(|client| client.repeats(0))
}

/// What went wrong, as a program sees it.
fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (String, u16, Vec<String>) {
    let error = answer.unwrap_err();
    let problem = error.problem().unwrap_or_else(|| panic!("{error:?}"));
    let fields = problem.errors.iter().map(|it| format!("{}: {}", it.field, it.message)).collect();
    (problem.code.clone(), problem.status, fields)
}

#[tokio::test]
async fn a_job_is_submitted_read_listed_and_waited_for_as_over_the_network() {
    let server = start("base_path = '/jobs-server'").await;
    let base = format!("http://{}/jobs-server", server.address());
    for client in [server.client(), Client::new(base).unwrap()] {
        let draft = client.submit_kind("echo", &json!({"n": 7})).tag("one").idempotency_key("k");
        let submitted = draft.await.unwrap();
        let done = within(client.wait(&submitted.id, BOUND)).await.unwrap();
        assert_eq!(done.result_as::<Value>().unwrap(), json!({"n": 7}));
        assert_eq!(done.payload_as::<Value>().unwrap(), json!({"n": 7}));
        assert_eq!(done.idempotency_key.as_deref(), Some("k"));
        assert_eq!(done.payload_as::<u32>().unwrap_err().code(), "wrong_type");
        let many = (0..5).map(|n| JobDraft::new("echo", &n).queue("many").delay(BOUND * 100));
        let many = client.submit_many(many).await.unwrap();
        let mut pages = client.jobs(JobFilter::all().queue("many").kind("echo")).page_size(3);
        let mut listed = Vec::new();
        while let Some(page) = pages.next_page().await.unwrap() {
            assert!(page.jobs.len() <= 3);
            listed.extend(page.jobs.into_iter().map(|job| job.id));
        }
        listed.reverse();
        assert_eq!(listed, many.iter().map(|job| job.id.clone()).collect::<Vec<_>>());
        for job in &many {
            client.delete(&job.id).await.unwrap();
        }
        client.delete(&submitted.id).await.unwrap();
        assert_eq!(refusal(client.get(&submitted.id).await).0, "no_such_job");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_over_the_network_is_refused_in_the_process_with_the_same_code() {
    let server = start("[http]\nmax_body = '8KiB'\nmax_batch = 3\n[engine]\nmax_payload = '4KiB'\n[store]\nmax_waiting = 2").await;
    let clients = both(&server);
    let done = clients[0].submit_kind("echo", &1).await.unwrap().id;
    within(clients[0].wait(&done, BOUND)).await.unwrap();
    for _ in 0..2 {
        clients[0].submit_kind("echo", &1).delay(BOUND * 100).await.unwrap();
    }
    let mut seen = Vec::new();
    for client in &clients {
        let text = |length| "x".repeat(length);
        let draft = |kind: &'static str| client.submit_kind(kind, &1);
        let running = "01932b00-0000-7000-8000-000000000000";
        seen.push(vec![
            refusal(draft("").queue("a b").priority(-5).max_attempts(0).await),
            refusal(draft("no-such-kind").await),
            refusal(client.submit_kind("echo", &text(5_000)).await),
            refusal(client.submit_kind("echo", &text(9_000)).await),
            refusal(client.submit_kind("sleep", &json!({"ms": "soon"})).await),
            refusal(draft("echo").await),
            refusal(client.submit_many((0..4).map(|n| JobDraft::new("echo", &n))).await),
            refusal(client.submit_many((0..2).map(|n| JobDraft::new("x y", &n))).await),
            refusal(client.get(running).await),
            refusal(client.wait(running, BOUND).await),
            refusal(client.cancel(running).await),
            refusal(client.cancel(&done).await),
            refusal(client.delete("no id").await),
            refusal(client.pause_queue("a b").await),
            refusal(client.jobs(JobFilter::all().state("odd")).next_page().await),
            refusal(client.subscribe(EventFilter::all().event_type("no.such")).next().await),
        ]);
    }
    let codes: Vec<&str> = seen[0].iter().map(|(code, _, _)| code.as_str()).collect();
    let expected = [
        "invalid_fields",
        "unknown_kind",
        "payload_too_large",
        "body_too_large",
        "invalid_payload",
        "backlog_full",
        "batch_too_long",
        "invalid_fields",
        "no_such_job",
        "no_such_job",
        "no_such_job",
        "not_allowed",
        "no_such_job",
        "invalid_parameter",
        "invalid_parameter",
        "invalid_parameter",
    ];
    assert_eq!(codes, expected);
    assert_eq!(seen[0], seen[1]);
    server.stop().await;
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_a_paused_queue_resumed() {
    let server = start("").await;
    for client in both(&server) {
        client.pause_queue("quiet").await.unwrap();
        let draft = client.submit_kind("sleep", &json!({"ms": 3_600_000, "progress": true}));
        let id = draft.queue("quiet").await.unwrap().id;
        let mut events = client
            .subscribe(EventFilter::all().job(&id))
            .after(client.get(&id).await.unwrap().cursor.unwrap());
        assert_eq!(client.get(&id).await.unwrap().why.unwrap().code, "queue_paused");
        client.resume_queue("quiet").await.unwrap();
        assert_eq!(event(&mut events).await, "job.started");
        assert!(client.cancel(&id).await.unwrap().cancel_asked);
        let job = within(client.wait(&id, BOUND)).await.unwrap();
        assert_eq!(job.state, "cancelled");
        let error = job.result_as::<Value>().unwrap_err();
        assert_eq!(error.code(), "not_completed");
        client.retry(&id).await.unwrap();
        client.cancel(&id).await.unwrap();
    }
    server.stop().await;
}

/// The type of the next event, without progress and lines of the log.
async fn event(tail: &mut EventTail) -> String {
    loop {
        match within(tail.next()).await.unwrap() {
            TailItem::Event(event) if event.event_type == "job.progress" => {}
            TailItem::Event(event) if event.event_type == "job.log" => {}
            TailItem::Event(event) => return event.event_type,
            TailItem::Gap { .. } => panic!("a gap"),
        }
    }
}

#[tokio::test]
async fn a_subscription_resumes_at_its_cursor() {
    let server = start("").await;
    let client = server.client();
    let filter = || EventFilter::all().kind("echo").event_type("job.completed");
    let cursor = client.jobs(JobFilter::all()).next_page().await.unwrap().unwrap().cursor;
    let first = client.submit_kind("echo", &1).await.unwrap();
    let mut tail = client.subscribe(filter()).after(cursor);
    assert_eq!(event(&mut tail).await, "job.completed");
    let cursor = tail.cursor().unwrap().to_owned();
    drop(tail);
    let second = client.submit_kind("echo", &2).await.unwrap();
    within(client.wait(&second.id, BOUND)).await.unwrap();
    let mut tail = client.subscribe(filter()).after(cursor);
    let TailItem::Event(event) = within(tail.next()).await.unwrap() else { panic!("a gap") };
    let id = event.parse::<Value>().unwrap()["job"]["id"].clone();
    assert_eq!(id, second.id);
    assert_ne!(id, first.id);
    server.stop().await;
}

#[tokio::test]
async fn the_program_needs_no_credentials_and_its_changes_have_its_name() {
    let server = start("[auth]\ntoken = 'a-token-of-the-configuration'").await;
    let client = server.client();
    let network = Client::new(format!("http://{}", server.address())).unwrap();
    let refused = refusal(network.submit_kind("echo", &1).await);
    assert_eq!((refused.0.as_str(), refused.1), ("unauthorized", 401));
    let mut events = client.subscribe(EventFilter::all().by("token:in-process"));
    let waiting = tokio::spawn(async move { event(&mut events).await });
    // The subscription begins when it is read, so submissions go on until it has seen one.
    while !waiting.is_finished() {
        client.submit_kind("echo", &1).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap(), "job.enqueued");
    // Credentials that the program sends count instead.
    let wrong = client.clone().token("a-token-that-nobody-has").unwrap();
    assert_eq!(refusal(wrong.submit_kind("echo", &1).await).0, "unauthorized");
    let right = client.token("a-token-of-the-configuration").unwrap();
    right.submit_kind("echo", &1).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_limits_of_an_address_do_not_apply_and_the_total_ones_do() {
    let server = start("[http]\nsubscribers_per_address = 1\nmax_subscribers = 3").await;
    let client = server.client().repeats(0);
    let mut open = Vec::new();
    for _ in 0..3 {
        let id = client.submit_kind("echo", &1).await.unwrap().id;
        let cursor = within(client.wait(&id, BOUND)).await.unwrap().cursor.unwrap();
        let mut tail = client.subscribe(EventFilter::all()).after(cursor);
        client.submit_kind("echo", &1).await.unwrap();
        event(&mut tail).await;
        open.push(tail);
    }
    // They count for everybody: there is no room for one over the network.
    let url = format!("http://{}/api/v1/events", server.address());
    let stream = reqwest::Client::new().get(url).header("accept", "text/event-stream");
    let refused = within(stream.send()).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "sockets_full");
    // A further one is not given up: it tries again until there is room.
    let mut more = client.subscribe(EventFilter::all().event_type("job.completed"));
    let more = tokio::spawn(async move { event(&mut more).await });
    drop(open);
    while !more.is_finished() {
        client.submit_kind("echo", &1).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(more.await.unwrap(), "job.completed");
    server.stop().await;
}

#[tokio::test]
async fn a_stopped_server_ends_the_calls_of_its_clients_and_frees_its_engine() {
    let server = start("[stop]\ngrace = '1ms'").await;
    let client = server.client();
    let engine = server.engine().alive();
    let id = client.submit_kind("sleep", &json!({"ms": 3_600_000})).await.unwrap().id;
    let mut tail = client
        .subscribe(EventFilter::all().job(&id))
        .after(client.get(&id).await.unwrap().cursor.unwrap());
    let waiting = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { client.wait(&id, BOUND * 100).await }
    });
    let following = tokio::spawn(async move {
        loop {
            if let Err(error) = tail.next().await {
                return error;
            }
        }
    });
    within(server.stop()).await;
    assert_eq!(within(waiting).await.unwrap().unwrap_err().code(), "server_stopped");
    assert_eq!(within(following).await.unwrap().code(), "server_stopped");
    let error = within(client.submit_kind("echo", &1).send()).await.unwrap_err();
    assert_eq!(error.code(), "server_stopped");
    within(async {
        while engine.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(within(client.get(&id)).await.unwrap_err().code(), "server_stopped");
}

#[tokio::test]
async fn a_request_waits_for_the_routes_and_ends_when_the_start_fails() {
    let routes = InProcessRoutes::new();
    let client = routes.client().repeats(0);
    let early = tokio::spawn({
        let client = client.clone();
        async move { client.get("7").await }
    });
    routes.serve(Router::new());
    assert_eq!(refusal(within(early).await.unwrap()).1, 404);
    routes.stop();
    assert_eq!(client.get("7").await.unwrap_err().code(), "server_stopped");

    let failed = InProcessRoutes::new();
    let client = failed.client();
    let early = tokio::spawn(async move { client.get("7").await });
    tokio::task::yield_now().await;
    drop(failed);
    assert_eq!(within(early).await.unwrap().unwrap_err().code(), "server_stopped");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let never = axum::routing::get(std::future::pending::<()>);
    let routes = InProcessRoutes::new();
    routes.serve(Router::new().route("/api/v1/jobs/{id}", never));
    let client = routes.client().repeats(0).timeout(Duration::from_millis(10));
    assert_eq!(client.get("7").await.unwrap_err().code(), "unreachable");
}
