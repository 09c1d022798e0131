//! Callbacks of services that run jobs but cannot connect themselves.

use serde_json::{Value, json};

use super::Shop;
use crate::http::tests::support::{Answer, within};
use crate::job::JobId;

/// Submits a job that waits for a callback. Returns its id and the text of its lease.
async fn pushed(shop: &Shop, more: &str) -> (JobId, String) {
    let body = format!(r#"{{"kind":"push"{more}}}"#);
    let job = shop.server.post("/api/v1/jobs", &body).await.json();
    let id = job["id"].as_str().unwrap().parse().unwrap();
    let lease = within(async {
        loop {
            if let Some(line) = shop.job(id).await.log.first() {
                return line.text.to_string();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    (id, lease)
}

async fn report(shop: &Shop, lease: &str, body: Value) -> Answer {
    shop.server.post(&format!("/api/v1/leases/{lease}"), &body.to_string()).await
}

#[tokio::test]
async fn a_callback_notes_extends_and_settles_with_its_lease_alone() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    let (id, lease) = pushed(&shop, "").await;
    crate::http::tests::team::add_user(engine, "root", crate::job::Role::Admin).await;
    shop.server.get("/api/v1/jobs").await.is_problem(401, "unauthorized");
    let note = json!({"lines": [{"text": "half done"}], "progress": {"done": 1, "total": 2}});
    let answer = report(&shop, &lease, json!({"extend": true, "note": note})).await;
    assert_eq!(answer.json(), json!({"extend": "kept", "note": "noted"}));
    let settle = json!({"settle": {"outcome": "done", "result": {"bytes": 5120}}});
    let expected = json!({"settle": {"status": "settled", "state": "completed"}});
    assert_eq!(report(&shop, &lease, settle.clone()).await.json(), expected);
    assert_eq!(report(&shop, &lease, settle).await.json(), expected, "a repetition");
    let job = shop.job(id).await;
    assert_eq!(job.result().unwrap().as_str(), r#"{"bytes":5120}"#);
    assert_eq!(&*job.log.last().unwrap().text, "half done");
    let late = report(&shop, &lease, json!({"extend": true})).await.json();
    assert_eq!(late, json!({"extend": "lost"}));
}

#[tokio::test]
async fn the_address_of_another_lease_cannot_be_made_up() {
    let shop = Shop::open().await;
    let (_, lease) = pushed(&shop, "").await;
    let mut other = lease.clone();
    other.replace_range(10..11, if &lease[10..11] == "A" { "B" } else { "A" });
    for made_up in [other.as_str(), "nonsense", &lease[1..]] {
        report(&shop, made_up, json!({"extend": true})).await.is_problem(404, "no_such_lease");
    }
    let problem = report(&shop, &lease, json!({"extend": [lease]})).await;
    problem.is_problem(422, "invalid_fields");
}

#[tokio::test]
async fn the_timeout_of_the_job_bounds_the_wait_for_a_callback() {
    let shop = Shop::open().await;
    let (id, lease) = pushed(&shop, r#","timeout_ms":50,"max_attempts":1"#).await;
    shop.has_happened(id, "job.discarded").await;
    let settle = json!({"settle": {"outcome": "done"}});
    assert_eq!(report(&shop, &lease, settle).await.json(), json!({"settle": {"status": "stale"}}));
}
