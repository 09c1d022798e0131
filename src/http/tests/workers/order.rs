//! The order of what a worker says on its WebSocket: reports take effect one after the other, and `bye` after all of them.

use serde_json::{Value, json};

use super::{Shop, leases, say_at_once};
use crate::engine::tests::faults::Faulty;
use crate::http::HttpLimits;
use crate::http::tests::support::within;
use crate::job::State;

fn report(id: u64, lease: &str, outcome: Value) -> Value {
    let mut settle = outcome;
    settle["lease"] = json!(lease);
    json!({"type": "update", "id": id, "settle": [settle]})
}

/// A report with a log line, too, which is stored before the end.
fn report_with_note(id: u64, lease: &str) -> Value {
    let mut report = report(id, lease, json!({"outcome": "done"}));
    report["note"] = json!([{"lease": lease, "lines": [{"text": "half done"}]}]);
    report
}

/// Lets the store go on once it has been given the note.
async fn note_is_stored(store: &Faulty) {
    within(async {
        while !store.calls.lock().unwrap().contains(&"annotate") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    store.annotate_gate.add_permits(1);
}

#[tokio::test]
async fn a_worker_that_says_bye_has_its_reports_applied_and_answered_first() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    let ids = shop.add(2).await;
    let mut socket = shop.ready("web-1", 2).await;
    let held = leases(&socket.next_of("jobs").await);
    store.annotate_gate.forget_permits(1);
    let bye = json!({"type": "bye"});
    say_at_once(&mut socket, &[report_with_note(1, &held[0]), bye]).await;
    note_is_stored(&store).await;
    let answer = socket.next().await;
    let settled = json!({"lease": held[0], "status": "settled", "state": "completed"});
    assert_eq!((&answer["id"], &answer["settle"][0]), (&json!(1), &settled), "{answer}");
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!((u16::from(code), &bye.unwrap()["why"]), (1000, &json!("signed_off")));
    assert_eq!(shop.job(ids[0]).await.status.state, State::Completed);
    assert_eq!(shop.job(ids[1]).await.status.state, State::Available);
}

#[tokio::test]
async fn a_report_does_not_overtake_the_one_before_it() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    let lease = leases(&socket.next_of("jobs").await).remove(0);
    store.annotate_gate.forget_permits(1);
    let second = report(2, &lease, json!({"outcome": "discard", "error": "too late"}));
    say_at_once(&mut socket, &[report_with_note(1, &lease), second]).await;
    note_is_stored(&store).await;
    let (first, second) = (socket.next().await, socket.next().await);
    assert_eq!((&first["id"], &first["settle"][0]["state"]), (&json!(1), &json!("completed")));
    assert_eq!((&second["id"], &second["settle"][0]["status"]), (&json!(2), &json!("stale")));
    assert_eq!(shop.job(id).await.status.state, State::Completed);
}

#[tokio::test]
async fn a_worker_that_has_said_bye_gets_no_jobs_whatever_it_says_after_that() {
    let shop = Shop::open().await;
    shop.add(5).await;
    let mut socket = shop.ready("web-1", 0).await;
    let more = json!({"type": "update", "id": 1, "free": 5});
    let ready = json!({"type": "ready", "free": 5, "kinds": ["resize"]});
    say_at_once(&mut socket, &[json!({"type": "bye"}), more, ready]).await;
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!((u16::from(code), &bye.unwrap()["why"]), (1000, &json!("signed_off")));
    let others = leases(&shop.claim_as("other", json!({"max": 10})).await.json());
    assert_eq!(others.len(), 5, "none was leased to the worker that has left");
}
