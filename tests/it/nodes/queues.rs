//! Queues that a node knows from another one: it runs their jobs and keeps to their limits at once.

use serde_json::json;

use crate::support::nodes::Nodes;

/// Nodes look at the queues rarely, unless they are told that another node has changed something.
const RARE: &str = "[engine]\npoll_interval = '1h'\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_runs_the_first_job_of_a_queue_that_another_one_has_accepted() {
    let cluster = Nodes::new(2).await;
    let config = |number: usize| cluster.dirs[number].config(RARE);
    let one = cluster.node_with(0, &["--config", &config(0), "--paused"]).await;
    let two = cluster.node_with(1, &["--config", &config(1)]).await;
    // Jobs that run now, that become due, and that come from another queue.
    let now = one.client.submit(&json!({ "kind": "echo", "queue": "first" })).await;
    two.client.job_in(&now, "completed").await;
    let later = json!({ "kind": "echo", "queue": "second", "delay_ms": 300 });
    let later = one.client.submit(&later).await;
    two.client.job_in(&later, "completed").await;
    one.client.post("/api/v1/queues/first/pause", None).await;
    let moved = one.client.submit(&json!({ "kind": "echo", "queue": "first" })).await;
    let move_to = json!({ "queue": "third" });
    one.client.post(&format!("/api/v1/jobs/{moved}/move"), Some(&move_to)).await;
    two.client.job_in(&moved, "completed").await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_another_node_has_set_applies_to_the_slots_of_all() {
    let cluster = Nodes::new(2).await;
    let config = |number: usize| {
        cluster.dirs[number].config(&format!("{RARE}[queues.mail]\nconcurrency = 1\n"))
    };
    let one = cluster.node_with(0, &["--config", &config(0), "--paused"]).await;
    let two = cluster.node_with(1, &["--config", &config(1)]).await;
    // There are two slots more only if the other node hears of the limit.
    let limit = json!({ "concurrency": 3 });
    one.client.post("/api/v1/queues/mail/concurrency", Some(&limit)).await;
    let sleep = json!({ "kind": "sleep", "queue": "mail", "payload": { "ms": 600_000 } });
    let ids = one.client.submit_all(vec![sleep; 3]).await;
    for id in &ids {
        two.client.job_in(id, "running").await;
    }
    for id in &ids {
        one.client.post(&format!("/api/v1/jobs/{id}/cancel"), None).await;
    }
    one.stop().await;
    two.stop().await;
}
