//! What `/metrics` says about workers in other processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Shop, job, say};
use crate::engine::{Interest, WorkerCaller, WorkerRegistration, WorkerTransport};
use crate::http::tests::support::within;
use crate::job::{Kind, WorkerName};

/// The samples about workers.
async fn scrape(shop: &Shop) -> BTreeMap<String, f64> {
    let text = shop.server.get("/metrics").await.body;
    let lines = text.lines().filter(|line| line.starts_with("cortado_worker"));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn ended(samples: &BTreeMap<String, f64>, outcome: &str) -> f64 {
    samples[&format!("cortado_worker_attempts_ended_total{{outcome=\"{outcome}\"}}")]
}

#[tokio::test]
async fn what_workers_do_is_counted_without_a_series_per_worker() {
    let shop = Shop::open().await;
    let before = scrape(&shop).await;
    assert!(before.values().all(|value| *value == 0.0), "{before:?}");
    let outcomes = ["done", "retry", "snooze", "discard", "returned"];
    shop.add(outcomes.len() + 1).await;
    let mut last = String::new();
    for outcome in outcomes {
        last = shop.lease().await;
        let item = json!({"lease": last, "outcome": outcome, "error": "x", "delay_ms": 60_000});
        let item = match outcome {
            "done" | "returned" => json!({"lease": last, "outcome": outcome}),
            "snooze" => json!({"lease": last, "outcome": outcome, "delay_ms": 60_000}),
            _ => json!({"lease": last, "outcome": outcome, "error": item["error"]}),
        };
        let answer = shop.report(json!({"settle": [item]})).await;
        assert_eq!(answer["settle"][0]["status"], "settled", "{outcome}: {answer}");
    }
    let cancelled = shop.add(1).await[0];
    let held = shop.claim(json!({"max": 5})).await.json()["leases"].as_array().unwrap().len();
    assert_eq!(held, 3, "one was returned, one is left, and one is new");
    shop.server.engine.cancel(cancelled).await.unwrap();
    // A repeated report is answered as before and counted once.
    shop.settle(&last, "returned").await;
    let samples = scrape(&shop).await;
    for outcome in outcomes {
        assert_eq!(ended(&samples, outcome), 1.0, "{outcome}");
    }
    assert_eq!(samples["cortado_worker_attempts_started_total"], 8.0);
    assert_eq!(samples["cortado_worker_attempts_running"], 3.0);
    assert_eq!(samples["cortado_workers{state=\"active\"}"], 1.0);
    assert!(!samples.keys().any(|name| name.contains("web-1")), "{samples:?}");
    let signed_off = shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
    assert_eq!(signed_off.status, 200, "{signed_off:?}");
    let samples = scrape(&shop).await;
    assert_eq!(samples["cortado_worker_attempts_running"], 0.0);
    assert_eq!(samples["cortado_workers{state=\"active\"}"], 0.0);
}

#[tokio::test]
async fn attempts_that_the_server_ends_are_counted_and_reports_about_them() {
    let shop = Shop::open().await;
    let late = shop.enqueue(vec![job(Some(Duration::from_millis(50)))]).await[0];
    let overdue = shop.lease().await;
    shop.has_happened(late, "job.retry_scheduled").await;
    let lost = shop.add(1).await[0];
    shop.claim(json!({"lease_ms": 1000})).await;
    shop.has_happened(lost, "job.rescued").await;
    assert_eq!(shop.settle(&overdue, "done").await["status"], "stale");
    let samples = within(async {
        loop {
            let samples = scrape(&shop).await; // the keeper hears of a rescue a little later
            if ended(&samples, "expired") == 1.0 {
                return samples;
            }
        }
    })
    .await;
    assert_eq!(ended(&samples, "timed_out"), 1.0);
    assert_eq!(ended(&samples, "done"), 0.0);
    assert_eq!(samples["cortado_worker_reports_stale_total"], 1.0);
}

#[tokio::test]
async fn claims_that_wait_and_workers_that_are_refused_are_counted() {
    let shop = Shop::open().await;
    let mut socket = shop.ready("web-1", 1).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong");
    let quiet = "/api/v1/workers/web-1/quiet";
    let waiting = async || scrape(&shop).await["cortado_worker_claims_waiting"];
    within(async { while waiting().await != 1.0 {} }).await;
    assert_eq!(shop.server.send("POST", quiet, &[], "").await.status, 204);
    within(async { while waiting().await != 0.0 {} }).await;
    assert_eq!(scrape(&shop).await["cortado_workers{state=\"quiet\"}"], 1.0);

    let engine = &shop.server.engine;
    let interest = Arc::new(Interest {
        queues: BTreeSet::new(),
        kinds: Arc::new([Kind::parse("resize").unwrap()].into()),
    });
    let registration = WorkerRegistration {
        interest,
        lease: Duration::from_secs(30),
        about: None,
        transport: WorkerTransport::Http,
        caller: WorkerCaller::default(),
    };
    let connect = |n: usize| {
        let name = WorkerName::parse(&format!("many-{n}")).unwrap();
        engine.connect_worker(name, registration.clone())
    };
    let limit = engine.config().max_workers;
    let sessions: Vec<_> = (1..limit).map(|n| connect(n).unwrap()).collect();
    assert!(connect(limit).is_err());
    let samples = scrape(&shop).await;
    assert_eq!(samples["cortado_workers_refused_total"], 1.0);
    assert_eq!(samples["cortado_workers{state=\"active\"}"], sessions.len() as f64);
}
