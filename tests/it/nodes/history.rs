//! Nodes on one database share one history, whichever of them runs the jobs, and however they end.

use serde_json::{Value, json};

use crate::support::nodes::Nodes;
use crate::support::{Client, eventually};

const HISTORY: &str = "/api/v1/metrics/history?range=1h&queue=mail";

/// What was counted in each minute, without the latencies, of which each node has a sample of its own.
async fn counts(client: &Client) -> Vec<Value> {
    let answer = client.get(HISTORY).await;
    let counts = |point: &Value| {
        json!([
            point["at"],
            point["enqueued"],
            point["started"],
            point["completed"],
            point["failed"]
        ])
    };
    answer["points"].as_array().unwrap().iter().map(counts).collect()
}

fn total(counts: &[Value], field: usize) -> u64 {
    counts.iter().map(|count| count[field].as_u64().unwrap()).sum()
}

/// Waits until all of these nodes have counted so many jobs, and checks that they agree on every minute.
async fn agree(clients: &[&Client], jobs: u64) {
    let mut all = Vec::new();
    for client in clients {
        let counted = eventually("the jobs are counted", || async {
            let counts = counts(client).await;
            (total(&counts, 3) >= jobs).then_some(counts)
        });
        all.push(counted.await);
    }
    for counts in &all {
        assert_eq!((total(counts, 1), total(counts, 2), total(counts, 3)), (jobs, jobs, jobs));
        assert_eq!(counts, &all[0], "the nodes disagree");
    }
}

async fn submit(client: &Client, jobs: usize) {
    let job = json!({ "kind": "echo", "queue": "mail" });
    for id in client.submit_all(vec![job; jobs]).await {
        client.job_in(&id, "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_one_history_that_survives_their_ends() {
    let cluster = Nodes::new(2).await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    submit(&one.client, 7).await;
    submit(&two.client, 5).await;
    agree(&[&one.client, &two.client], 12).await;
    // Nothing is lost or counted twice by a node that is killed, nor by the one that goes on.
    one.kill().await;
    submit(&two.client, 4).await;
    let one = cluster.node(0).await;
    submit(&one.client, 3).await;
    agree(&[&one.client, &two.client], 19).await;
    // What both have stored at their ends is there for whoever comes next.
    two.stop().await;
    one.stop().await;
    let next = cluster.node(1).await;
    agree(&[&next.client], 19).await;
    next.stop().await;
}
