//! The workers page, and the buttons that tell workers what to do.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use super::*;
use crate::engine::{
    ClaimRequest, Interest, WorkerAbout, WorkerCaller, WorkerRegistration, WorkerSession,
    WorkerState, WorkerTransport, WorkerUpdate,
};

fn registration(kinds: &[&str], queues: &[&str]) -> WorkerRegistration {
    let kinds: BTreeSet<Kind> = kinds.iter().map(|kind| Kind::parse(kind).unwrap()).collect();
    let queues = queues.iter().map(|queue| QueueName::parse(queue).unwrap()).collect();
    WorkerRegistration {
        interest: Arc::new(Interest { queues, kinds: Arc::new(kinds) }),
        lease: Duration::from_secs(30),
        about: Some(WorkerAbout {
            host: Some("box-7".into()),
            pid: Some(4_711),
            client: Some("cortado-python".into()),
            version: Some("1.2.3".into()),
            concurrency: Some(20),
            instance: Some("0123456789abcdef".into()),
        }),
        transport: WorkerTransport::WebSocket,
        caller: WorkerCaller::default(),
    }
}

impl Desk {
    /// Connects a worker, which stays connected until the session is dropped.
    pub(super) fn connect(&self, name: &str, kinds: &[&str], queues: &[&str]) -> WorkerSession {
        let name = WorkerName::parse(name).unwrap();
        self.engine.connect_worker(name, registration(kinds, queues)).unwrap()
    }

    /// What a remote worker does.
    fn state_of(&self, name: &str) -> WorkerState {
        let workers = self.engine.remote_workers();
        workers.iter().find(|worker| worker.name.as_str() == name).unwrap().state
    }
}

fn rows(answer: &Answer) -> Vec<String> {
    answer.values("data-worker")
}

#[tokio::test]
async fn a_worker_is_shown_with_what_it_says_about_itself() {
    let desk = Desk::open();
    let own = desk.engine.config().worker.to_string();
    let alone = desk.get("/workers").await;
    assert_eq!(rows(&alone), [own.as_str()]);
    alone.assert_has("No workers in other processes.");
    alone.assert_has("this server · process ");
    let _session = desk.connect("web-1", &["resize", "thumb"], &["images", "mail"]);
    let page = desk.get("/workers").await;
    page.assert_sound();
    assert_eq!(rows(&page), [own.as_str(), "web-1"]);
    page.assert_lacks("No workers in other processes.");
    for shown in [
        "box-7 · process 4711 · cortado-python 1.2.3 · WebSocket",
        "<span class=\"pill active\">active</span>",
        "<a href=\"kinds/resize\">resize</a>, <a href=\"kinds/thumb\">thumb</a>",
        "from <a href=\"jobs?queue=images\">images</a>, <a href=\"jobs?queue=mail\">mail</a>",
        "<span class=\"of\"> of 20</span>",
        "data-label=\"Last seen\">in the last 30 s</td>",
    ] {
        page.assert_has(shown);
    }
}

/// The sentences above the list, without markup.
fn totals(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("<span id=\"totals\" data-live>").unwrap();
    let (inside, _) = rest.split_once("</span></p>").unwrap();
    let mut text = String::new();
    for piece in inside.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, after)| after));
    }
    text
}

#[tokio::test]
async fn the_page_says_how_many_workers_there_are_and_what_they_run() {
    let desk = Desk::open();
    let here = "This server runs 0 jobs (limit: 100\u{202f}000).";
    assert_eq!(totals(&desk.get("/workers").await), here);
    let _sessions = ["a", "b", "c"].map(|name| desk.connect(name, &["resize"], &["images"]));
    let remote = "Workers in other processes: 3 connected";
    let said = totals(&desk.get("/workers").await);
    assert_eq!(said, format!("{here} {remote}, running 0 jobs."));
    desk.post("/workers/b/quiet", &[]).await;
    desk.post("/workers/c/stop", &[]).await;
    let said = totals(&desk.get("/workers").await);
    assert_eq!(said, format!("{here} {remote}, 1 active, 1 quiet, 1 stopping, running 0 jobs."));
}

#[tokio::test]
async fn what_a_worker_runs_is_shown_with_its_job_and_its_start() {
    let desk = Desk::awake();
    let worker = WorkerName::parse("web-1").unwrap();
    let claim = |wait| ClaimRequest {
        registration: WorkerRegistration {
            transport: WorkerTransport::Http,
            ..registration(&["resize"], &["images"])
        },
        max: 5,
        wait: Duration::from_secs(wait),
    };
    desk.engine.claim_for(&worker, claim(0)).await.unwrap();
    let queue = Some("images".to_owned());
    let mut jobs = Vec::new();
    for _ in 0..5 {
        let submission = Submission { kind: "resize".into(), queue: queue.clone(), ..echo("1") };
        jobs.push(desk.submit(submission).await.id);
    }
    let granted = desk.engine.claim_for(&worker, claim(10)).await.unwrap().grants.send();
    assert_eq!(granted.len(), 5);
    let page = desk.get("/workers").await;
    page.assert_sound();
    page.assert_has("<span class=\"num\">5</span><span class=\"of\"> of 20</span>");
    page.assert_has("and 2 more");
    page.assert_has("<td data-label=\"Worker\">web-1</td>");
    let links = page.values("href");
    for (at, job) in jobs.iter().enumerate() {
        let shown = links.iter().filter(|link| **link == format!("jobs/{job}")).count();
        assert_eq!(shown, if at < 3 { 2 } else { 1 }, "in its worker's row, and in the list");
    }
    assert_eq!(rows(&desk.get("/workers?show=running").await), ["web-1"]);
    assert!(totals(&page).ends_with("1 connected, running 5 jobs."), "{}", totals(&page));
}

#[tokio::test]
async fn the_leases_of_a_silent_worker_are_shown_with_their_ends() {
    let desk = Desk::awake();
    let worker = WorkerName::parse("web-1").unwrap();
    let claim = |lease| ClaimRequest {
        registration: WorkerRegistration {
            transport: WorkerTransport::Http,
            lease,
            ..registration(&["resize"], &["images"])
        },
        max: 1,
        wait: Duration::ZERO,
    };
    let queue = Some("images".to_owned());
    desk.engine.claim_for(&worker, claim(Duration::from_secs(600))).await.unwrap();
    desk.submit(Submission { kind: "resize".into(), queue, ..echo("1") }).await;
    let granted = desk.engine.claim_for(&worker, claim(Duration::from_secs(600))).await.unwrap();
    assert_eq!(granted.grants.len(), 1);
    desk.get("/workers").await.assert_lacks("lease expires");
    // It says that it will be heard from within a millisecond, and is not.
    desk.engine.claim_for(&worker, claim(Duration::from_millis(1))).await.unwrap();
    while desk.state_of("web-1") != WorkerState::Silent {
        tokio::task::yield_now().await;
    }
    let page = desk.get("/workers").await;
    page.assert_sound();
    page.assert_has("Its jobs start elsewhere when their leases expire.");
    page.assert_has(
        "<span class=\"pill lost\">silent</span> <span class=\"hint\">lease expires <time",
    );
    assert_eq!(rows(&page)[1], "web-1");
    assert!(totals(&page).ends_with("0 connected, 1 silent, running 1 job."), "{}", totals(&page));
    // It is heard from again when it extends its lease.
    let update = WorkerUpdate {
        extend: vec![granted.grants[0].lease.clone()],
        lease: Duration::from_secs(30),
        ..WorkerUpdate::default()
    };
    desk.engine.update_leases(update).await.unwrap();
    assert_eq!(desk.state_of("web-1"), WorkerState::Active);
    desk.get("/workers").await.assert_lacks("lease expires");
}

#[tokio::test]
async fn a_worker_is_quieted_resumed_and_stopped_by_its_buttons() {
    let desk = Desk::open();
    let _session = desk.connect("web:1@box", &["resize"], &["images"]);
    let offers = async |state: WorkerState, offered: [&str; 2]| {
        assert_eq!(desk.state_of("web:1@box"), state);
        let page = desk.get("/workers").await;
        let mut actions = page.values("action");
        actions.retain(|action| action.starts_with("workers/"));
        let offered = offered.into_iter().filter(|command| !command.is_empty());
        let wanted: Vec<String> =
            offered.map(|command| format!("workers/web%3A1%40box/{command}")).collect();
        assert_eq!(actions, wanted);
    };
    let press = async |command: &str| {
        let fields = [("from", "workers?kind=resize")];
        let answer = desk.post(&format!("/workers/web%3A1%40box/{command}"), &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        assert_eq!(answer.location, "/workers?kind=resize");
        answer.cookie
    };
    offers(WorkerState::Active, ["quiet", "stop"]).await;
    assert!(press("quiet").await.contains("worker-quieted"));
    offers(WorkerState::Quiet, ["resume", "stop"]).await;
    assert!(press("resume").await.contains("worker-resumed"));
    offers(WorkerState::Active, ["quiet", "stop"]).await;
    assert!(press("stop").await.contains("worker-stopped"));
    offers(WorkerState::Stopping, ["resume", ""]).await;
}

#[tokio::test]
async fn a_command_to_a_worker_that_is_not_there_is_explained() {
    let desk = Desk::open();
    let gone = desk.post("/workers/web-1/quiet", &[]).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    gone.assert_sound();
    gone.assert_has("It may have left. Look for it in the list of workers.");
    let own = format!("/workers/{}/stop", desk.engine.config().worker);
    let own = desk.post(&own, &[]).await;
    assert_eq!(own.status, StatusCode::CONFLICT);
    own.assert_has("Pause its queues, or stop the server.");
    let opened = desk.get("/workers/web-1/quiet").await;
    assert_eq!((opened.status, opened.location.as_str()), (StatusCode::SEE_OTHER, "/workers"));
}

#[tokio::test]
async fn the_list_of_workers_is_divided_into_pages_and_filtered() {
    let desk = Desk::open();
    let name = |n: usize| format!("web-{n:03}");
    let sessions: Vec<WorkerSession> = (0..250)
        .map(|n| {
            let queue = if n < 7 { "mail" } else { "images" };
            desk.connect(&name(n), &[if n % 2 == 0 { "resize" } else { "thumb" }], &[queue])
        })
        .collect();
    let (mut seen, mut path) = (Vec::new(), "/workers".to_owned());
    loop {
        let page = desk.get(&path).await;
        page.assert_sound();
        let shown = rows(&page);
        assert!(shown.len() <= 100, "{} rows", shown.len());
        seen.extend(shown);
        let next = page.values("href").into_iter().rfind(|link| link.contains("page="));
        match next.filter(|_| page.text.contains("rel=\"next\"")) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen.remove(0), desk.engine.config().worker.as_str());
    assert_eq!(seen, (0..250).map(name).collect::<Vec<_>>());

    desk.post("/workers/web-200/quiet", &[]).await;
    assert_eq!(rows(&desk.get("/workers").await)[1], "web-200", "what is unusual comes first");
    assert_eq!(rows(&desk.get("/workers?show=quiet").await), ["web-200"]);
    assert_eq!(rows(&desk.get("/workers?q=WEB-03").await).len(), 10);
    assert_eq!(rows(&desk.get("/workers?q=box-7&kind=thumb&queue=mail").await).len(), 3);
    let none = desk.get("/workers?kind=render&shown=quiet").await;
    none.assert_has("No workers match this filter.");
    none.assert_has("Jobs of kind render wait until a worker that runs them connects.");
    none.assert_has("The unknown parameter “shown” was ignored.");
    drop(sessions);
}

#[tokio::test]
async fn long_lists_of_kinds_are_shortened() {
    let desk = Desk::open();
    let kinds: Vec<String> = (0..40).map(|n| format!("kind-{n:02}")).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let _session = desk.connect("web-1", &kinds, &["images"]);
    let page = desk.get("/workers?q=web-1").await;
    page.assert_has("kinds/kind-05");
    page.assert_lacks("kinds/kind-06");
    page.assert_has("title=\"kind-06, kind-07, ");
    page.assert_has("and 34 more");
}

#[tokio::test]
async fn a_worker_that_was_not_heard_of_is_shown_as_silent() {
    let desk = Desk::open();
    let name = WorkerName::parse("web-1").unwrap();
    let lease = Duration::from_millis(1);
    let registration = WorkerRegistration { lease, ..registration(&["resize"], &["images"]) };
    drop(desk.engine.connect_worker(name, registration).unwrap());
    while desk.state_of("web-1") != WorkerState::Silent {
        tokio::task::yield_now().await;
    }
    let page = desk.get("/workers?show=silent").await;
    assert_eq!(rows(&page), ["web-1"]);
    page.assert_has("<span class=\"pill lost\">silent</span>");
    page.assert_has("It left without signing off.");
    page.assert_has("data-label=\"Last seen\"><time");
    page.assert_lacks("workers/web-1/quiet");
}

#[tokio::test]
async fn a_job_without_a_worker_leads_to_the_workers_of_its_kind() {
    let desk = Desk::awake();
    let announced = registration(&["resize"], &["images"]).interest;
    desk.engine.announce_interest(&announced).await.unwrap();
    let job = desk.submit(Submission { kind: "resize".into(), ..echo("1") }).await;
    let page = desk.get(&format!("/jobs/{}", job.id)).await;
    page.assert_has("No worker for kind resize is connected.");
    page.assert_has("<a href=\"workers?kind=resize\">Workers for resize</a>");
}
