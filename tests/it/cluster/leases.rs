//! Leases between servers: whichever server a worker reports to, a lease ends one attempt once.

use serde_json::{Value, json};

use super::{Cluster, Node};
use crate::support::eventually;

/// Claims a job for a worker over HTTP, for so many milliseconds. Returns the lease.
async fn claim(node: &Node, worker: &str, lease_ms: u32) -> String {
    eventually("a job for a worker", || async {
        let request = json!({ "kinds": ["work"], "lease_ms": lease_ms, "wait_ms": 1_000 });
        let path = format!("/api/v1/workers/{worker}/claim");
        let answer = node.client.post(&path, Some(&request)).await;
        answer["leases"][0]["lease"].as_str().map(str::to_owned)
    })
    .await
}

/// Ends the attempt of a lease. Returns the status and the state.
async fn settle(node: &Node, lease: &str, end: Value) -> (String, Value) {
    let mut settle = json!({ "lease": lease });
    settle.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
    let answer = node.client.post("/api/v1/leases", Some(&json!({ "settle": [settle] }))).await;
    let answer = &answer["settle"][0];
    (answer["status"].as_str().unwrap().to_owned(), answer["state"].clone())
}

fn done(result: &str) -> Value {
    json!({ "outcome": "done", "result": result })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_ends_one_attempt_once_on_whichever_server_it_is_settled() {
    let cluster = Cluster::new(2, "[kinds.work]\n").await;
    let servers = cluster.start().await;
    let (one, two) = (&cluster.nodes[0], &cluster.nodes[1]);
    let id = one.client.submit(&json!({ "kind": "work" })).await;
    let expired = claim(one, "first", 1_000).await;
    // The first worker says no more, so its job is given to the second one.
    let lease = claim(two, "second", 60_000).await;
    for node in [one, two] {
        assert_eq!(settle(node, &expired, done("too late")).await.0, "stale");
        assert_eq!(node.client.job(&id).await["state"], "running");
    }
    let (here, there) =
        tokio::join!(settle(one, &lease, done("here")), settle(two, &lease, done("there")));
    let settled = ("settled".to_owned(), json!("completed"));
    assert_eq!((&here, &there), (&settled, &settled));
    let result = one.client.job(&id).await["result"].clone();
    assert!(result == "here" || result == "there", "{result}");
    for node in [two, one] {
        let failed = json!({ "outcome": "retry", "error": "it is too late" });
        assert_eq!(settle(node, &lease, failed).await.0, "stale");
        assert_eq!(node.client.job(&id).await["result"], result);
    }
    let log = two.client.log().await;
    let of_job = log.iter().filter(|event| event.is_of(&id)).map(|event| &*event.kind);
    let expected = ["job.enqueued", "job.started", "job.rescued", "job.started", "job.completed"];
    assert_eq!(of_job.collect::<Vec<_>>(), expected);
    for server in servers {
        server.stop().await;
    }
}
