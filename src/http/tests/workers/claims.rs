//! Claims over HTTP.

use serde_json::{Value, json};

use super::{Shop, leases};
use crate::http::tests::support::{errors, within};

#[tokio::test]
async fn a_claim_brings_jobs_of_its_kinds_as_they_were_submitted() {
    let shop = Shop::open().await;
    let ids = shop.add(3).await;
    let none = shop.claim(json!({"kinds": ["other"]})).await.json();
    assert_eq!(none, json!({"leases": []}));
    let answer = shop.claim(json!({"max": 2, "lease_ms": 5000})).await;
    assert!(answer.body.contains(r#""payload":{"width":640, "big":12345678901234567890}"#));
    let answer = answer.json();
    assert_eq!(leases(&answer).len(), 2);
    let lease = &answer["leases"][0];
    assert_eq!((&lease["expires_in_ms"], &lease["job"]["id"]), (&json!(5000), &json!(ids[0])));
    let mut job = lease["job"].clone();
    job["enqueued_at"] = Value::Null;
    job["payload"] = Value::Null;
    let expected = json!({"id": ids[0], "kind": "resize", "queue": "default", "payload": null, "attempt": 1,
        "max_attempts": 3, "timeout_ms": null, "priority": 0, "tags": [], "enqueued_at": null});
    assert_eq!(job, expected);
    assert_eq!(leases(&shop.claim(json!({"max": 5})).await.json()).len(), 1, "one is left");
}

#[tokio::test]
async fn a_claim_that_waits_is_answered_by_the_next_job() {
    let shop = Shop::open().await;
    let (answer, ids) = tokio::join!(shop.claim(json!({"wait_ms": 60000})), async {
        while !shop.server.engine.remote_workers().iter().any(|worker| worker.is_connected) {
            tokio::task::yield_now().await;
        }
        shop.add(1).await
    });
    assert_eq!(answer.json()["leases"][0]["job"]["id"], json!(ids[0]));
}

#[tokio::test]
async fn a_claim_whose_client_leaves_takes_nothing() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    let is_connected = || engine.remote_workers().iter().any(|worker| worker.is_connected);
    tokio::select! {
        answer = shop.claim(json!({"wait_ms": 60000})) => panic!("{answer:?}"),
        () = async { while !is_connected() { tokio::task::yield_now().await } } => {}
    }
    within(async {
        while is_connected() {
            tokio::task::yield_now().await
        }
    })
    .await;
    shop.add(1).await;
    assert_eq!(leases(&shop.claim_as("other", json!({})).await.json()).len(), 1);
}

#[tokio::test]
async fn waiting_claims_end_when_the_server_stops() {
    let shop = Shop::open().await;
    let (answer, ()) = tokio::join!(shop.claim(json!({"wait_ms": 60000})), async {
        while !shop.server.engine.remote_workers().iter().any(|worker| worker.is_connected) {
            tokio::task::yield_now().await;
        }
        shop.server.shutdown.draining.cancel();
    });
    answer.is_problem(503, "draining");
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_worker_is_told_to_be_quiet_and_to_resume() {
    let shop = Shop::open().await;
    let tell = async |command: &str| {
        let path = format!("/api/v1/workers/web-1/{command}");
        shop.server.send("POST", &path, &[], "").await
    };
    tell("quiet").await.is_problem(404, "worker_not_found");
    shop.claim(json!({})).await;
    shop.add(1).await;
    for command in ["quiet", "stop"] {
        let (answer, told) =
            tokio::join!(shop.claim(json!({"wait_ms": 60000, "kinds": ["none"]})), async {
                while !shop.server.engine.remote_workers().iter().any(|worker| worker.is_connected)
                {
                    tokio::task::yield_now().await;
                }
                tell(command).await
            });
        assert_eq!(told.status, 204, "{told:?}");
        assert_eq!(answer.json(), json!({"leases": [], "command": command}));
        assert_eq!(shop.claim(json!({})).await.json(), json!({"leases": [], "command": command}));
    }
    assert_eq!(tell("resume").await.status, 204);
    assert_eq!(leases(&shop.claim(json!({})).await.json()).len(), 1);
}

#[tokio::test]
async fn the_list_shows_who_is_connected_and_what_they_run() {
    let shop = Shop::open().await;
    let ids = shop.add(1).await;
    let about = json!({"host": "web-1", "pid": 77, "client": "cortado-python", "version": "0.1.0", "concurrency": 10});
    shop.claim(json!({"about": about, "queues": ["mail", "default"]})).await;
    let list = shop.server.get("/api/v1/workers").await.json();
    let (here, worker) = (&list["workers"][0], &list["workers"][1]);
    assert_eq!((&here["remote"], &worker["remote"]), (&json!(false), &json!(true)));
    for (member, expected) in [
        ("name", json!("web-1")),
        ("host", json!("web-1")),
        ("pid", json!(77)),
        ("client", json!("cortado-python")),
        ("version", json!("0.1.0")),
        ("concurrency", json!(10)),
        ("transport", json!("http")),
        ("queues", json!(["default", "mail"])),
        ("kinds", json!(["resize"])),
        ("running", json!(1)),
        ("state", json!("active")),
        ("lease_ms", json!(30000)),
    ] {
        assert_eq!(worker[member], expected, "{member}");
    }
    let attempt = &list["attempts"][0];
    assert_eq!((&attempt["job"], &attempt["worker"]), (&json!(ids[0]), &json!("web-1")));
    assert_eq!(list["total"], 1);
}

#[tokio::test]
async fn a_worker_that_signs_off_gives_its_jobs_back_uncharged() {
    let shop = Shop::open().await;
    let ids = shop.add(2).await;
    shop.claim(json!({"max": 2})).await;
    let sign_off = async || shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
    assert_eq!(sign_off().await.json(), json!({"returned": 2}));
    sign_off().await.is_problem(404, "worker_not_found");
    let job = shop.job(ids[0]).await;
    assert_eq!((job.status.state.as_str(), job.status.attempt), ("available", 0));
    assert_eq!(shop.claim(json!({"max": 2})).await.json()["leases"][0]["job"]["attempt"], 1);
}

#[tokio::test]
async fn a_name_that_does_not_fit_is_refused() {
    let shop = Shop::open().await;
    for name in ["a%20b", "a%2Fb", "local"] {
        let answer = shop.claim_as(name, json!({})).await;
        let problem = answer.is_problem(400, "invalid_parameter");
        assert!(errors(&problem)[0].starts_with("worker: "), "{problem}");
    }
}

#[tokio::test]
async fn what_happens_to_workers_is_reported_as_events() {
    let shop = Shop::open().await;
    let mut after = shop.server.engine.head().to_string();
    shop.claim_as("brief", json!({"lease_ms": 1000})).await;
    shop.claim(json!({})).await;
    for command in ["quiet", "stop", "resume"] {
        shop.server.send("POST", &format!("/api/v1/workers/web-1/{command}"), &[], "").await;
    }
    shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
    let mut seen = Vec::new();
    while seen.len() < 7 {
        let path = format!("/api/v1/events?type=worker.*&wait=10s&after={after}");
        let page = shop.server.get(&path).await.json();
        after = page["cursor"].as_str().unwrap().to_owned();
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (text("worker"), text("type"), text("why"))
        }));
    }
    let of = |name: &str| -> Vec<(String, String)> {
        let all = seen.iter().filter(|(worker, ..)| worker == name);
        all.map(|(_, event, why)| (event.clone(), why.clone())).collect()
    };
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(event, why)| ((*event).to_owned(), (*why).to_owned())).collect()
    };
    let brief = [("worker.connected", ""), ("worker.left", "silent")];
    assert_eq!(of("brief"), pairs(&brief));
    let told = [
        ("worker.connected", ""),
        ("worker.quieted", ""),
        ("worker.stopping", ""),
        ("worker.resumed", ""),
        ("worker.left", "signed_off"),
    ];
    assert_eq!(of("web-1"), pairs(&told));
}

#[tokio::test]
async fn a_job_that_nobody_runs_says_when_the_last_worker_left() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let why = async || {
        let job = shop.server.get(&format!("/api/v1/jobs/{id}")).await.json();
        job["why"]["text"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(why().await, "No worker for kind resize is connected.");
    let takes = "No worker for kind resize takes jobs of queue default now";
    shop.claim(json!({"queues": ["other"]})).await;
    assert_eq!(why().await, format!("{takes}: 1 takes jobs of other queues."));
    shop.server.send("POST", "/api/v1/workers/web-1/quiet", &[], "").await;
    assert_eq!(why().await, format!("{takes}: 1 is quiet or stopping."));
    shop.server.send("POST", "/api/v1/workers/web-1/resume", &[], "").await;
    shop.claim_as("web-2", json!({"kinds": ["other"]})).await;
    assert_eq!(why().await, format!("{takes}: 1 takes jobs of other queues."));
    let kinds = shop.server.get("/api/v1/kinds").await.json();
    let resize = |kind: &&Value| kind["kind"] == "resize";
    let resize = kinds["kinds"].as_array().unwrap().iter().find(resize).unwrap();
    assert_eq!((&resize["source"], &resize["workers"]), (&json!("worker"), &json!(1)));
    shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
    let text = why().await;
    assert!(
        text.contains("is connected; the last one left ") && text.ends_with(" s ago."),
        "{text}"
    );
}
