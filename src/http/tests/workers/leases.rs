//! Reports about attempts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Shop, job, leases};
use crate::engine::tests::faults::Faulty;
use crate::http::HttpLimits;
use crate::http::tests::support::{Server, Setup, store_with, within};
use crate::job::{JobId, Kind, QueueName, WorkerName};
use crate::store::{Claim, Store, StoreLimits, WorkerPlace};

#[tokio::test]
async fn every_outcome_has_its_state() {
    let shop = Shop::open().await;
    let outcomes = [
        (json!({"outcome": "done", "result": {"bytes": 1.50}}), "completed", 1),
        (json!({"outcome": "retry", "error": "no", "after_ms": 1000}), "retryable", 1),
        (json!({"outcome": "snooze", "delay_ms": 5000}), "scheduled", 0),
        (json!({"outcome": "discard", "error": "never"}), "discarded", 1),
        (json!({"outcome": "cancelled"}), "cancelled", 1),
        (json!({"outcome": "returned"}), "available", 0),
    ];
    for (outcome, state, attempt) in outcomes {
        let id = shop.add(1).await[0];
        let lease = shop.lease().await;
        let mut item = outcome.clone();
        item["lease"] = json!(lease);
        let expected = json!({"lease": lease, "status": "settled", "state": state});
        for round in 0..2 {
            let answer = shop.report(json!({"settle": [item]})).await;
            assert_eq!(answer["settle"][0], expected, "{outcome}, round {round}");
        }
        let job = shop.job(id).await;
        assert_eq!((job.status.state.as_str(), job.status.attempt), (state, attempt), "{outcome}");
        if state == "completed" {
            assert_eq!(job.result().unwrap().as_str(), r#"{"bytes":1.5}"#);
        }
        if state == "available" {
            shop.server.engine.delete(id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_wrong_lease_a_lost_one_and_one_of_a_deleted_job_have_answers_of_their_own() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let first = shop.lease().await;
    shop.settle(&first, "returned").await;
    let second = shop.lease().await;
    // The first lease is over. The worker itself has ended it, but not like that.
    assert_eq!(shop.settle(&first, "returned").await["state"], "available");
    assert_eq!(shop.settle(&first, "done").await["status"], "stale");
    let lost = shop.report(json!({"extend": [first, second, "nonsense"]})).await;
    let statuses: Vec<&str> = lost["extend"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["lost", "kept", "lost"]);
    let invalid = shop.settle("nonsense", "done").await;
    assert_eq!((&invalid["status"], &invalid["lease"]), (&json!("invalid"), &json!("nonsense")));
    assert_eq!(shop.settle(&second, "done").await["state"], "completed");
    shop.server.engine.delete(id).await.unwrap();
    assert_eq!(shop.settle(&second, "done").await["status"], "gone");
}

#[tokio::test]
async fn an_end_that_somebody_else_has_caused_is_not_reported_as_settled() {
    let shop = Shop::open().await;
    let sign_off = async || {
        let answer = shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
        assert_eq!(answer.json(), json!({"returned": 1}));
    };
    let statuses = async |lease: &str| {
        let mut settled = Vec::new();
        for outcome in ["done", "retry", "snooze", "discard", "cancelled", "returned"] {
            let item = match outcome {
                "retry" | "discard" => json!({"lease": lease, "outcome": outcome, "error": "no"}),
                "snooze" => json!({"lease": lease, "outcome": outcome, "delay_ms": 5}),
                _ => json!({"lease": lease, "outcome": outcome}),
            };
            let answer = shop.report(json!({"settle": [item]})).await;
            if answer["settle"][0]["status"] == "settled" {
                settled.push(outcome);
            }
        }
        settled
    };
    let id = shop.add(1).await[0];
    let lease = shop.lease().await;
    sign_off().await;
    assert_eq!(statuses(&lease).await, ["returned"]);
    let lease = shop.lease().await;
    shop.server.engine.cancel(id).await.unwrap();
    sign_off().await;
    assert_eq!(shop.job(id).await.status.state.as_str(), "cancelled");
    // What is stored does not say who has ended it. Each of these would have cancelled the job, too.
    assert_eq!(statuses(&lease).await, ["retry", "snooze", "discard", "cancelled", "returned"]);
    shop.enqueue(vec![job(Some(Duration::from_millis(50)))]).await;
    let lease = shop.lease().await;
    let lost =
        async || shop.report(json!({"extend": [lease]})).await["extend"][0]["status"] == "lost";
    within(async { while !lost().await {} }).await;
    assert_eq!(statuses(&lease).await, [""; 0]);
}

#[tokio::test]
async fn a_worker_that_vanishes_loses_its_lease_and_the_timeline_shows_it() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let lease = leases(&shop.claim(json!({"lease_ms": 1000})).await.json()).remove(0);
    shop.has_happened(id, "job.rescued").await;
    let timeline = shop.server.get(&format!("/api/v1/jobs/{id}")).await.json()["attempts"].clone();
    assert_eq!(
        (&timeline[0]["worker"], &timeline[0]["outcome"]),
        (&json!("web-1"), &json!("lost"))
    );
    assert_eq!(shop.settle(&lease, "done").await["status"], "stale");
    assert_eq!(shop.job(id).await.status.state.as_str(), "available");
}

#[tokio::test]
async fn an_extended_lease_lasts_longer_and_brings_the_request_to_cancel() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let lease = shop.lease().await;
    let extend = async || shop.report(json!({"extend": [lease], "lease_ms": 60000})).await;
    assert_eq!(extend().await["extend"], json!([{"lease": lease, "status": "kept"}]));
    shop.server.engine.cancel(id).await.unwrap();
    assert_eq!(extend().await["extend"], json!([{"lease": lease, "status": "cancel"}]));
    assert_eq!(shop.settle(&lease, "cancelled").await["state"], "cancelled");
}

#[tokio::test]
async fn notes_are_stored_before_the_end_that_comes_with_them() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let lease = shop.lease().await;
    let lines = json!([{"text": "one"}, {"text": "two", "stream": "stderr", "at": "2026-11-23T08:00:01.500Z"}]);
    let progress = json!({"done": 1, "total": 2, "message": "half"});
    let note = json!([{"lease": lease, "lines": lines, "progress": progress},
                      {"lease": "nonsense", "lines": []}]);
    let answer =
        shop.report(json!({"note": note, "settle": [{"lease": lease, "outcome": "done"}]})).await;
    assert_eq!(
        (&answer["note"][0]["status"], &answer["note"][1]["status"]),
        (&json!("noted"), &json!("lost"))
    );
    assert_eq!(answer["settle"][0]["state"], "completed");
    let job = shop.job(id).await;
    let texts: Vec<(&str, &str)> =
        job.log.iter().map(|line| (&*line.text, line.stream.as_str())).collect();
    assert_eq!(texts, [("one", "log"), ("two", "stderr")]);
    assert_eq!(job.progress.unwrap().message.as_deref(), Some("half"));
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_ended_whatever_its_worker_says() {
    let shop = Shop::open().await;
    let id = shop.enqueue(vec![job(Some(Duration::from_millis(50)))]).await[0];
    let lease = shop.lease().await;
    shop.has_happened(id, "job.retry_scheduled").await;
    let failure = shop.job(id).await.last_failure().unwrap().clone();
    assert_eq!(failure.class.as_str(), "timeout");
    let answer = shop.report(json!({"extend": [lease]})).await;
    assert_eq!(answer["extend"][0]["status"], "lost");
    assert_eq!(shop.settle(&lease, "done").await["status"], "stale");
}

#[tokio::test]
async fn a_result_that_breaks_a_limit_does_not_spoil_the_others() {
    let shop = Shop::open().await;
    shop.add(2).await;
    let both = leases(&shop.claim(json!({"max": 2})).await.json());
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let body = format!(
        r#"{{"settle":[{{"lease":"{}","outcome":"done","result":{deep}}},{{"lease":"{}","outcome":"done"}}]}}"#,
        both[0], both[1]
    );
    let answer = shop.server.post("/api/v1/leases", &body).await.json();
    assert_eq!(answer["settle"][0]["status"], "invalid", "{answer}");
    assert!(answer["settle"][0]["detail"].as_str().unwrap().contains("the result is invalid"));
    assert_eq!(answer["settle"][1]["status"], "settled");
}

#[tokio::test]
async fn a_lease_is_known_again_after_its_server_was_replaced() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let lease = shop.lease().await;
    // Another server on the same store knows nothing of the lease but its text.
    let setup = super::Setup { store: shop.store.clone(), ..super::Setup::default() };
    let other = Shop { server: super::Server::with(setup).await, store: shop.store.clone() };
    let answer = other.report(json!({"extend": [lease]})).await;
    assert_eq!(answer["extend"][0]["status"], "kept");
    assert_eq!(other.settle(&lease, "done").await["state"], "completed");
    assert_eq!(shop.settle(&lease, "done").await["state"], "completed");
    assert_eq!(shop.store.get(id).await.unwrap().0.unwrap().status.state.as_str(), "completed");
}

/// A server on a store in which a worker holds a job, and which has not heard of the worker.
async fn restarted(timeout: Option<Duration>) -> (Shop, JobId) {
    let store = store_with(StoreLimits::default());
    let new = job(timeout);
    let id = new.id;
    store.enqueue(vec![new]).await.unwrap();
    let claim = Claim {
        queues: vec![QueueName::default()],
        kinds: Arc::new([Kind::parse("resize").unwrap()].into()),
        max: 1,
        worker: WorkerName::parse("web-1").unwrap(),
        place: WorkerPlace::Remote,
        ttl: Duration::from_secs(60),
    };
    assert_eq!(store.claim(claim).await.unwrap().leases.len(), 1);
    (Shop::on(store.clone(), store, HttpLimits::default()).await, id)
}

#[tokio::test]
async fn a_worker_that_has_not_spoken_since_a_restart_is_known_by_its_leases() {
    let (shop, id) = restarted(None).await;
    let engine = &shop.server.engine;
    within(async {
        while engine.remote_workers().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let list = shop.server.get("/api/v1/workers").await.json();
    let is_it = |worker: &&Value| worker["name"] == "web-1";
    let worker = list["workers"].as_array().unwrap().iter().find(is_it).unwrap();
    assert_eq!((&worker["state"], &worker["running"]), (&json!("silent"), &json!(1)), "{worker}");
    assert_eq!((&worker["kinds"], &worker["lease_ms"]), (&json!(["resize"]), &json!(60_000)));
    let quiet = shop.server.send("POST", "/api/v1/workers/web-1/quiet", &[], "").await;
    assert_eq!(quiet.status, 204, "{quiet:?}");
    let claim = shop.claim(json!({"about": {"pid": 7}})).await.json();
    assert_eq!(claim["command"], "quiet", "it is the same process: {claim}");
    let sign_off = shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
    assert_eq!(sign_off.json(), json!({"returned": 1}));
    assert_eq!(shop.job(id).await.status.state.as_str(), "available");
}

#[tokio::test]
async fn the_timeout_of_an_attempt_holds_after_a_restart_although_its_worker_is_silent() {
    let (shop, id) = restarted(Some(Duration::from_millis(50))).await;
    shop.has_happened(id, "job.retry_scheduled").await;
    assert_eq!(shop.job(id).await.last_failure().unwrap().class.as_str(), "timeout");
}

#[tokio::test]
async fn the_leases_of_a_report_are_looked_up_together_after_a_restart() {
    let shop = Shop::open().await;
    shop.add(9).await;
    let all = leases(&shop.claim(json!({"max": 9})).await.json());
    let done = |lease: &String| json!({"lease": lease, "outcome": "done"});
    let settle = json!({"settle": all[..5].iter().map(done).collect::<Vec<_>>()});
    for (report, kept) in [(json!({"extend": all}), 9), (settle, 5)] {
        let store = Faulty::new(shop.store.clone());
        // The start cannot read the leases, so the report is the first that names them.
        store.lists.store(1, Ordering::SeqCst);
        let setup = Setup { store: store.clone(), ..Setup::default() };
        let other = Shop { server: Server::with(setup).await, store: shop.store.clone() };
        store.reads.lock().unwrap().clear();
        let answer = other.report(report).await;
        assert_eq!(*store.reads.lock().unwrap(), ["running"], "{answer}");
        let answers = [&answer["extend"], &answer["settle"]].map(|part| part.as_array().unwrap());
        let good = answers.into_iter().flatten();
        let good =
            good.filter(|answer| answer["status"] == "kept" || answer["state"] == "completed");
        assert_eq!(good.count(), kept, "{answer}");
    }
}
