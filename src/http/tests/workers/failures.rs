//! Workers on WebSockets whose store fails, and a worker that does not read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Shop, job, leases, say};
use crate::http::HttpLimits;
use crate::http::tests::support::within;
use crate::job::{Json, Spec, State};

#[tokio::test]
async fn a_sign_off_that_the_store_refuses_is_an_error_and_leaves_the_leases() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    socket.next_of("jobs").await;
    store.settles.store(1, Ordering::SeqCst);
    say(&mut socket, json!({"type": "bye"})).await;
    let error = socket.next().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &Value::Null), "{error}");
    let (bye, code, _) = socket.close_frame().await;
    let bye = bye.unwrap();
    assert_eq!((u16::from(code), bye["retry_ms"].is_u64()), (1011, true), "{bye}");
    assert_eq!(shop.job(id).await.status.state, State::Running);
    let worker = shop.server.engine.remote_workers().remove(0);
    assert_eq!((worker.name.as_str(), worker.running), ("web-1", 1), "it has not left");
    let mut socket = shop.ready("web-1", 0).await;
    say(&mut socket, json!({"type": "bye"})).await;
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!((bye.unwrap()["why"].clone(), u16::from(code)), (json!("signed_off"), 1000));
    assert_eq!(shop.job(id).await.status.state, State::Available);
}

#[tokio::test]
async fn an_attempt_whose_end_was_not_stored_can_still_take_too_long() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    shop.enqueue(vec![job(Some(Duration::from_millis(500)))]).await;
    let mut socket = shop.ready("web-1", 1).await;
    let lease = leases(&socket.next_of("jobs").await).remove(0);
    store.settles.store(1, Ordering::SeqCst);
    let refused = shop.server.send("DELETE", "/api/v1/workers/web-1", &[], "").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(socket.next_of("lost").await["lease"], json!(lease));
}

#[tokio::test]
async fn an_error_has_the_number_of_the_report_that_was_refused() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    let mut socket = shop.socket("web-1").await;
    for (message, id) in [
        (json!({"type": "update", "id": 1}), json!(1)), // it comes before `ready`
        (json!({"type": "update", "id": 2, "extent": []}), json!(2)),
        (json!({"type": "update", "id": -3}), Value::Null),
        (json!({"type": "update"}), Value::Null),
        (json!({"type": "ready", "id": 4}), Value::Null),
        (json!({"type": "bye"}), Value::Null),
    ] {
        say(&mut socket, message.clone()).await;
        let error = socket.next().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &id), "{message}: {error}");
    }
    shop.add(1).await;
    let mut socket = shop.ready("web-1", 1).await;
    let lease = leases(&socket.next_of("jobs").await).remove(0);
    store.settles.store(1, Ordering::SeqCst);
    let settle = json!([{"lease": lease, "outcome": "done"}]);
    say(&mut socket, json!({"type": "update", "id": 8, "settle": settle})).await;
    let error = socket.next().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!(8)), "{error}");
    assert_eq!(u16::from(socket.close_frame().await.1), 1011);
}

#[tokio::test]
async fn a_worker_that_does_not_read_is_disconnected_and_keeps_its_leases() {
    let never = Duration::from_secs(600);
    let limits = HttpLimits {
        write_timeout: Duration::from_millis(300),
        close: Duration::from_millis(10),
        socket_ping: never,
        ..HttpLimits::default()
    };
    let shop = Shop::with(limits).await;
    let mut reads_no_more = shop.ready("web-1", 1_000).await;
    shop.add(1).await;
    reads_no_more.next_of("jobs").await;
    let payload = Json::parse(&format!("\"{}\"", "x".repeat(100_000))).unwrap();
    let large = || {
        let job = job(None);
        let spec = Spec { payload: payload.clone(), ..(*job.spec).clone() };
        crate::job::NewJob { spec: Arc::new(spec), ..job }
    };
    shop.enqueue((0..200).map(|_| large()).collect()).await;
    let worker = || shop.server.engine.remote_workers().remove(0);
    within(async {
        while worker().is_connected {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(async {
        // What it could not be sent is given back.
        while worker().running > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(worker().running, 1, "it may come back within its lease");
}
