//! Workers on WebSockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Shop, job, leases, say};
use crate::engine::Engine;
use crate::http::tests::support::{Socket, within};

/// The next `count` leases.
async fn next_leases(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(leases(&socket.next_of("jobs").await));
    }
    all
}

fn done(lease: &str) -> Value {
    json!({"lease": lease, "outcome": "done"})
}

async fn disconnected(engine: &Engine) {
    let is_connected = || engine.remote_workers().iter().any(|worker| worker.is_connected);
    within(async {
        while is_connected() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_is_never_sent_more_jobs_than_it_has_credit_for() {
    let shop = Shop::open().await;
    shop.add(10).await;
    let mut socket = shop.ready("web-1", 3).await;
    let first = next_leases(&mut socket, 3).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong", "no more jobs came");
    let settle = [done(&first[0]), done(&first[1])];
    say(&mut socket, json!({"type": "update", "id": 7, "settle": settle, "free": 2})).await;
    let (mut sent, mut answer) = (Vec::new(), Value::Null);
    while sent.len() < 2 || answer.is_null() {
        let message = socket.next().await;
        match message["type"].as_str().unwrap() {
            "jobs" => sent.extend(leases(&message)),
            "updated" => answer = message,
            other => panic!("{other}"),
        }
    }
    assert_eq!((sent.len(), &answer["id"]), (2, &json!(7)));
    let settled = json!({"lease": first[0], "status": "settled", "state": "completed"});
    assert_eq!(answer["settle"][0], settled);
    assert_eq!((&answer["extend"], &answer["note"]), (&json!([]), &json!([])));
    say(&mut socket, json!({"type": "ready", "free": 0, "kinds": ["resize"]})).await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong");
    say(&mut socket, json!({"type": "ready", "free": 100, "kinds": ["resize"]})).await;
    assert_eq!(next_leases(&mut socket, 5).await.len(), 5);
}

#[tokio::test]
async fn idle_workers_get_new_jobs_in_turn() {
    let shop = Shop::open().await;
    let mut sockets = [shop.ready("a", 10).await, shop.ready("b", 10).await];
    for _ in 0..2 {
        for socket in &mut sockets {
            shop.add(1).await;
            assert_eq!(leases(&socket.next().await).len(), 1);
        }
    }
}

#[tokio::test]
async fn a_cancellation_is_pushed_at_once() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    let lease = next_leases(&mut socket, 1).await.remove(0);
    shop.server.engine.cancel(id).await.unwrap();
    assert_eq!(socket.next().await, json!({"type": "cancel", "lease": lease}));
    let end = json!({"lease": lease, "outcome": "cancelled"});
    say(&mut socket, json!({"type": "update", "id": 1, "settle": [end]})).await;
    assert_eq!(socket.next().await["settle"][0]["state"], "cancelled");
}

#[tokio::test]
async fn a_lost_lease_is_pushed() {
    let shop = Shop::open().await;
    let mut socket = shop.socket("web-1").await;
    say(&mut socket, json!({"type": "ready", "free": 2, "kinds": ["resize"], "lease_ms": 1000}))
        .await;
    assert_eq!(socket.next().await["heartbeat_ms"], 333);
    shop.add(1).await;
    let rescued = next_leases(&mut socket, 1).await.remove(0);
    // The job runs again here, and either message may come first.
    let messages = [socket.next().await, socket.next().await];
    let lost = messages.iter().find(|message| message["type"] == "lost").unwrap();
    assert_eq!(lost["lease"], json!(rescued), "{messages:?}");
    let again = messages.iter().find(|message| message["type"] == "jobs").unwrap();
    let again = leases(again).remove(0);
    assert_ne!(rescued, again);
    say(&mut socket, json!({"type": "update", "id": 1, "settle": [done(&again)], "free": 1})).await;
    socket.next_of("updated").await;
    shop.enqueue(vec![job(Some(Duration::from_millis(20)))]).await;
    let late = next_leases(&mut socket, 1).await.remove(0);
    assert_eq!(socket.next_of("lost").await["lease"], json!(late));
}

#[tokio::test]
async fn a_worker_that_comes_back_within_its_lease_goes_on() {
    let shop = Shop::open().await;
    shop.add(2).await;
    let mut socket = shop.ready("web-1", 1).await;
    let lease = next_leases(&mut socket, 1).await.remove(0);
    drop(socket);
    disconnected(&shop.server.engine).await;
    let mut socket = shop.socket("web-1").await;
    let held = json!([lease, "nonsense"]);
    say(&mut socket, json!({"type": "ready", "free": 0, "kinds": ["resize"], "held": held})).await;
    let hello = socket.next().await;
    let expected =
        json!([{"lease": lease, "status": "kept"}, {"lease": "nonsense", "status": "lost"}]);
    assert_eq!((&hello["type"], &hello["held"]), (&json!("hello"), &expected));
    say(&mut socket, json!({"type": "update", "id": 1, "settle": [done(&lease)]})).await;
    assert_eq!(socket.next().await["settle"][0]["status"], "settled");
}

#[tokio::test]
async fn another_connection_with_the_same_name_replaces_the_first() {
    let shop = Shop::open().await;
    let mut first = shop.ready("web-1", 1).await;
    let mut second = shop.ready("web-1", 1).await;
    let (bye, code, why) = first.close_frame().await;
    assert_eq!((u16::from(code), why.as_str()), (4409, "replaced"));
    assert_eq!(bye.unwrap()["why"], "replaced");
    shop.add(1).await;
    assert_eq!(next_leases(&mut second, 1).await.len(), 1);
}

#[tokio::test]
async fn a_worker_is_told_to_be_quiet_to_stop_and_to_resume() {
    let shop = Shop::open().await;
    let mut socket = shop.ready("web-1", 1).await;
    for command in ["quiet", "stop", "resume"] {
        let path = format!("/api/v1/workers/web-1/{command}");
        assert_eq!(shop.server.send("POST", &path, &[], "").await.status, 204);
        assert_eq!(socket.next().await, json!({"type": "command", "command": command}));
        if command == "quiet" {
            shop.add(1).await;
            say(&mut socket, json!({"type": "ping"})).await;
            assert_eq!(socket.next().await["type"], "pong", "no job came");
        }
    }
    assert_eq!(next_leases(&mut socket, 1).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_signs_off_gives_its_jobs_back() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    next_leases(&mut socket, 1).await;
    say(&mut socket, json!({"type": "bye"})).await;
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!(bye, Some(json!({"type": "bye", "why": "signed_off"})));
    assert_eq!(u16::from(code), 1000);
    let job = shop.job(id).await;
    assert_eq!((job.status.state.as_str(), job.status.attempt), ("available", 0));
    assert!(shop.server.engine.remote_workers().is_empty());
}

#[tokio::test]
async fn a_stop_closes_the_sockets_and_leaves_the_leases() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    next_leases(&mut socket, 1).await;
    let store = shop.store.clone();
    let (report, (bye, code, why)) = tokio::join!(shop.server.stop(), socket.close_frame());
    assert_eq!((u16::from(code), why.as_str()), (1001, "stopping"));
    let bye = bye.unwrap();
    assert_eq!((&bye["why"], bye["retry_ms"].is_u64()), (&json!("stopping"), true), "{bye}");
    assert!(report.clean && report.open_connections == 0, "{report:?}");
    drop((store, id));
}

#[tokio::test]
async fn the_first_message_says_what_the_worker_can_run() {
    let shop = Shop::open().await;
    let mut socket = shop.socket("web-1").await;
    say(&mut socket, json!({"type": "update", "id": 1})).await;
    let error = socket.next().await;
    assert_eq!((&error["code"], &error["field"]), (&json!("invalid_fields"), &json!("type")));
    socket.say("{").await;
    assert_eq!(socket.next().await["code"], "malformed_json");
    say(&mut socket, json!({"type": "ready", "free": 1, "kinds": ["resize"]})).await;
    assert_eq!(socket.next().await["type"], "hello", "the connection has stayed open");
}
