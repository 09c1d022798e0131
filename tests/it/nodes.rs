//! Several servers on one PostgreSQL database: what one of them has answered holds on all, and any of them may die.

use reqwest::Method;
use serde_json::json;

use crate::support::postgres::Postgres;
use crate::support::{Client, Dir, Fold, Server, eventually};

/// Servers that share a database, each with a directory and a name of its own.
struct Cluster {
    postgres: Postgres,
    dirs: Vec<Dir>,
}

impl Cluster {
    async fn new(nodes: usize) -> Cluster {
        let dirs = (0..nodes).map(|_| Dir::new()).collect();
        Cluster { postgres: Postgres::start().await, dirs }
    }

    async fn node(&self, number: usize) -> Server {
        let (url, name) = (self.postgres.url(), format!("node-{number}"));
        Server::start(&self.dirs[number], &["--store", &url, "--node", &name]).await
    }
}

fn sleep(ms: u64) -> serde_json::Value {
    json!({ "kind": "sleep", "payload": { "ms": ms } })
}

async fn completed(client: &Client) -> u64 {
    client.count("completed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_what_another_has_accepted() {
    let cluster = Cluster::new(2).await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    one.client.post("/api/v1/queues/default/pause", None).await;
    let ids = two.client.submit_all((0..20).map(|_| json!({ "kind": "echo" })).collect()).await;
    for id in &ids {
        // Read once and at once: nothing is waited for.
        assert_eq!(one.client.job(id).await["state"], "available");
    }
    let queues = two.client.get("/api/v1/queues").await;
    assert_eq!(queues["queues"][0]["paused"], true, "{queues}");
    two.client.post("/api/v1/queues/default/resume", None).await;
    for (number, id) in ids.iter().enumerate() {
        let client = if number % 2 == 0 { &one.client } else { &two.client };
        client.job_in(id, "completed").await;
    }
    let log = one.client.log().await;
    assert_eq!(log, two.client.log().await, "both nodes have the same log");
    Fold::of(&log).assert_agrees(&one.client.rows().await);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_killed_node_run_on_another() {
    let cluster = Cluster::new(2).await;
    let one = cluster.node(0).await;
    let ids = one.client.submit_all((0..10).map(|_| sleep(5_000)).collect()).await;
    for id in &ids {
        one.client.job_in(id, "running").await;
    }
    let two = cluster.node(1).await;
    one.kill().await;
    for id in &ids {
        let job = two.client.job_in(id, "completed").await;
        let timeline = job["timeline"].as_array().unwrap();
        let rescued = timeline.iter().filter(|moment| moment["type"] == "job.rescued");
        assert_eq!(rescued.count(), 1, "{job}");
    }
    // The killed node comes back under its name and takes part again.
    let one = cluster.node(0).await;
    let id = one.client.submit(&sleep(1)).await;
    two.client.job_in(&id, "completed").await;
    assert_eq!(completed(&one.client).await, 11);
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_survives_the_death_of_postgresql() {
    let mut cluster = Cluster::new(2).await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    let before = one.client.submit(&json!({ "kind": "echo" })).await;
    two.client.job_in(&before, "completed").await;
    cluster.postgres.crash().await;
    let job = json!({ "kind": "echo" });
    let refused = one.client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await.unwrap();
    assert_eq!(refused.0, 503, "{}", refused.1);
    cluster.postgres.start_again().await;
    for client in [&one.client, &two.client] {
        let accepted = eventually("a node accepts jobs again", || async {
            let answer = client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await.ok()?;
            (answer.0 == 202).then(|| serde_json::from_str(&answer.1).unwrap())
        });
        let accepted: serde_json::Value = accepted.await;
        client.job_in(accepted["id"].as_str().unwrap(), "completed").await;
    }
    assert_eq!(one.client.job(&before).await["state"], "completed");
    Fold::of(&two.client.log().await);
    one.stop().await;
    two.stop().await;
}
