//! How many jobs a worker over HTTP gets: no more than it has said that it runs at once.

use serde_json::{Value, json};

use super::{Shop, leases};
use crate::http::HttpLimits;
use crate::http::tests::support::within;

fn two(instance: &str) -> Value {
    json!({"pid": 1, "concurrency": 2, "instance": instance})
}

#[tokio::test]
async fn a_worker_over_http_holds_no_more_leases_than_it_runs_jobs_at_once() {
    let shop = Shop::open().await;
    shop.add(6).await;
    let claim = async |more: Value| leases(&shop.claim(more).await.json());
    let first = claim(json!({"max": 10, "about": two("a")})).await;
    assert_eq!(first.len(), 2, "as many as it runs at once");
    assert_eq!(claim(json!({"max": 10})).await, [""; 0], "it runs as many as it can");
    assert_eq!(shop.settle(&first[0], "done").await["status"], "settled");
    assert_eq!(claim(json!({"max": 10})).await.len(), 1, "one of them has ended");
    // Another process with the name has none of these leases.
    assert_eq!(claim(json!({"max": 10, "about": two("b")})).await.len(), 2);
    assert_eq!(shop.settle(&first[1], "done").await["status"], "settled");
    assert_eq!(claim(json!({"max": 10})).await, [""; 0], "the end of a lease of the first one");
    let all = leases(&shop.claim_as("unlimited", json!({"max": 10})).await.json());
    assert_eq!(all.len(), 1, "a worker that says nothing gets what it asks for");
}

#[tokio::test]
async fn a_claim_waits_for_room_and_the_end_of_a_job_wakes_it() {
    let shop = Shop::open().await;
    let ids = shop.add(3).await;
    let held = leases(&shop.claim(json!({"max": 2, "about": two("a")})).await.json());
    let mut waiting = Box::pin(shop.claim(json!({"wait_ms": 60000})));
    tokio::select! {
        answer = &mut waiting => panic!("{answer:?}"),
        () = async {
            while !shop.server.engine.remote_workers().iter().any(|worker| worker.is_connected) {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    let (answer, settled) =
        within(async { tokio::join!(waiting, shop.settle(&held[0], "done")) }).await;
    assert_eq!(settled["status"], "settled");
    assert_eq!(answer.json()["leases"][0]["job"]["id"], json!(ids[2]));
}

#[tokio::test]
async fn claims_of_one_worker_at_the_same_time_share_its_room() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    shop.claim(json!({"about": two("a")})).await;
    let ids = shop.add(5).await;
    store.claim_answers.forget_permits(1_000);
    let mut first = Box::pin(shop.claim(json!({"max": 2})));
    tokio::select! {
        answer = &mut first => panic!("{answer:?}"),
        () = shop.has_happened(ids[1], "job.started") => {}
    }
    assert_eq!(leases(&shop.claim(json!({"max": 2})).await.json()), [""; 0]);
    store.claim_answers.add_permits(1_000);
    assert_eq!(leases(&first.await.json()).len(), 2);
}
