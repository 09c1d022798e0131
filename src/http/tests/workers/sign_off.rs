//! Workers that somebody else signs off: their connections end, and they get no more jobs.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Shop, leases, say};
use crate::http::HttpLimits;
use crate::http::tests::support::{Answer, within};
use crate::job::State;

impl Shop {
    async fn sign_off(&self, worker: &str) -> Answer {
        self.server.send("DELETE", &format!("/api/v1/workers/{worker}"), &[], "").await
    }
}

#[tokio::test]
async fn a_worker_on_a_websocket_that_is_signed_off_is_disconnected() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 2).await;
    socket.next_of("jobs").await;
    assert_eq!(shop.sign_off("web-1").await.json(), json!({"returned": 1}));
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!((u16::from(code), &bye.unwrap()["why"]), (1000, &json!("signed_off")));
    let job = shop.job(id).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
    assert!(shop.server.engine.remote_workers().is_empty());
    // It may come again, and is an ordinary worker then.
    let mut socket = shop.ready("web-1", 1).await;
    assert_eq!(leases(&socket.next_of("jobs").await).len(), 1);
    assert_eq!(shop.server.engine.remote_workers()[0].running, 1);
}

#[tokio::test]
async fn a_claim_that_waits_ends_when_its_worker_is_signed_off() {
    let shop = Shop::open().await;
    let waits = shop.claim(json!({"wait_ms": 60_000}));
    let signs_off = async {
        within(async {
            while shop.server.engine.remote_totals().waiting == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        shop.sign_off("web-1").await
    };
    let (claimed, signed_off) = tokio::join!(waits, signs_off);
    assert_eq!((claimed.json(), signed_off.status), (json!({"leases": []}), 200));
    assert!(shop.server.engine.remote_workers().is_empty());
}

#[tokio::test]
async fn a_worker_that_could_not_be_signed_off_gets_jobs_again() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    shop.add(1).await;
    let mut socket = shop.ready("web-1", 2).await;
    socket.next_of("jobs").await;
    store.settles.store(1, Ordering::SeqCst);
    assert_eq!(shop.sign_off("web-1").await.status, 503);
    shop.add(1).await;
    assert_eq!(leases(&socket.next_of("jobs").await).len(), 1);
}

#[tokio::test]
async fn a_job_that_is_claimed_while_its_worker_is_signed_off_is_given_back() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    let mut socket = shop.ready("web-1", 1).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(socket.next().await, json!({"type": "pong"}));
    store.claim_answers.forget_permits(1_000);
    let id = shop.add(1).await[0];
    shop.has_happened(id, "job.started").await;
    assert_eq!(shop.sign_off("web-1").await.json(), json!({"returned": 0}));
    store.claim_answers.add_permits(1_000);
    shop.has_happened(id, "job.interrupted").await;
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!(
        (u16::from(code), bye.unwrap_or(Value::Null)["why"].clone()),
        (1000, json!("signed_off"))
    );
}
