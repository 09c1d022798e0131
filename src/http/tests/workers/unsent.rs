//! Jobs that were claimed for a worker that is gone before it is sent them: they are given back at once, uncharged.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use super::{Shop, leases, say};
use crate::http::tests::support::within;
use crate::http::{HttpLimits, router};
use crate::job::{JobId, State};
use crate::store::Store as _;

impl Shop {
    /// Waits until the server has noticed that its workers are gone.
    async fn is_disconnected(&self) {
        let engine = &self.server.engine;
        within(async {
            while engine.remote_workers().iter().any(|worker| worker.is_connected) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn is_given_back(&self, id: JobId) {
        self.has_happened(id, "job.interrupted").await;
        let job = self.job(id).await;
        assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
        let again = self.claim_as("other", json!({})).await.json();
        assert_eq!(again["leases"][0]["job"]["id"], json!(id));
    }
}

#[tokio::test]
async fn a_claim_whose_client_leaves_while_the_store_answers_gives_its_jobs_back() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    store.claim_answers.forget_permits(1_000);
    let id = shop.add(1).await[0];
    tokio::select! {
        answer = shop.claim(json!({})) => panic!("{answer:?}"),
        () = shop.has_happened(id, "job.started") => {}
    }
    shop.is_disconnected().await;
    store.claim_answers.add_permits(1_000);
    shop.is_given_back(id).await;
}

#[tokio::test]
async fn an_answer_that_is_never_sent_gives_its_jobs_back_and_one_that_is_sent_does_not() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let routes = router(shop.server.engine.clone(), HttpLimits::default());
    let claim = async || {
        let request = Request::post("/api/v1/workers/web-1/claim");
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"kinds":["resize"]}"#)).unwrap();
        routes.clone().oneshot(request).await.unwrap()
    };
    let unsent = claim().await;
    assert_eq!(shop.job(id).await.status.state, State::Running);
    drop(unsent);
    shop.has_happened(id, "job.interrupted").await;
    let sent = claim().await;
    let length: usize = sent.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let body = axum::body::to_bytes(sent.into_body(), 10_000).await.unwrap();
    assert_eq!(body.len(), length);
    let lease = leases(&serde_json::from_slice(&body).unwrap()).remove(0);
    assert_eq!(shop.settle(&lease, "done").await["status"], "settled");
}

#[tokio::test]
async fn a_socket_that_ends_while_the_store_answers_a_claim_gives_its_jobs_back() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    store.claim_answers.forget_permits(1_000);
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    shop.has_happened(id, "job.started").await;
    say(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong", "no job came");
    drop(socket);
    shop.is_disconnected().await;
    store.claim_answers.add_permits(1_000);
    shop.is_given_back(id).await;
}

#[tokio::test]
async fn a_stop_waits_for_jobs_that_are_given_back() {
    let (shop, store) = Shop::faulty(HttpLimits::default()).await;
    store.claim_answers.forget_permits(1_000);
    let id = shop.add(1).await[0];
    let socket = shop.ready("web-1", 1).await;
    shop.has_happened(id, "job.started").await;
    drop(socket);
    shop.is_disconnected().await;
    let Shop { server, store: memory } = shop;
    let connections = server.shutdown.connections.clone();
    let (report, ()) = tokio::join!(server.stop(), async {
        // The stop waits for nothing but connections now.
        while !connections.is_closed() {
            tokio::task::yield_now().await;
        }
        store.claim_answers.add_permits(1_000);
    });
    assert!(report.clean && report.open_connections == 0, "{report:?}");
    let job = memory.restarted().get(id).await.unwrap().0.unwrap();
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
}
