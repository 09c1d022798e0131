//! Servers whose PostgreSQL is replaced by its standby, with and without the last commits: they go on by themselves, in a
//! new epoch, so that nobody takes what happens then for what was lost.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::socket::Socket;
use crate::support::{Client, Dir, Fold, Server, eventually};

/// Two servers on a database with a standby.
struct Pair {
    postgres: Postgres,
    nodes: [Server; 2],
    _dirs: [Dir; 2],
}

impl Pair {
    async fn start() -> Pair {
        let (mut postgres, dirs) = (Postgres::start().await, [Dir::new(), Dir::new()]);
        postgres.add_standby().await;
        let url = postgres.url_of_either();
        let one = Server::start(&dirs[0], &["--store", &url, "--node", "one"]).await;
        let two = Server::start(&dirs[1], &["--store", &url, "--node", "two"]).await;
        Pair { postgres, nodes: [one, two], _dirs: dirs }
    }

    async fn stop(self) -> Vec<String> {
        let [one, two] = self.nodes;
        let mut logs = one.stop().await;
        logs.extend(two.stop().await);
        logs
    }
}

pub fn epoch_of(cursor: &str) -> String {
    cursor.split(':').next().unwrap().to_owned()
}

/// Waits until a server accepts jobs in another epoch, and returns that epoch.
pub async fn new_epoch(client: &Client, before: &str) -> String {
    let job = json!({ "kind": "echo" });
    let accepted = eventually("a server goes on in a new epoch", || async {
        let read = client.try_send(Method::GET, "/api/v1/events", None).await.ok()?;
        let read: Value = serde_json::from_str(&read.1).ok()?;
        let epoch = epoch_of(read["cursor"].as_str()?);
        let accepted = client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await.ok()?;
        (epoch != before && accepted.0 == 202).then_some(epoch)
    });
    accepted.await
}

async fn claim(client: &Client) -> String {
    let body = json!({"kinds": ["resize"], "wait_ms": 20_000});
    let claimed = client.post("/api/v1/workers/web-1/claim", Some(&body)).await;
    claimed["leases"][0]["lease"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_loses_commits_begins_a_new_epoch_on_all_nodes() {
    let mut pair = Pair::start().await;
    let [one, two] = [pair.nodes[0].client.clone(), pair.nodes[1].client.clone()];
    // The worker announces its kind, so that jobs of it can be submitted.
    let body = json!({"kinds": ["resize"], "wait_ms": 0});
    one.post("/api/v1/workers/web-1/claim", Some(&body)).await;
    let kept = one.submit(&json!({ "kind": "echo" })).await;
    two.job_in(&kept, "completed").await;
    let job = json!({ "kind": "resize", "payload": { "width": 640 } });
    let claimed = one.submit(&job).await;
    let before = epoch_of(&one.head().await);
    // What comes now is acknowledged, and the standby does not get it.
    pair.postgres.stop_standby().await;
    let lease = claim(&two).await;
    let lost = one.submit_all((0..20).map(|_| json!({ "kind": "echo" })).collect()).await;
    for id in &lost {
        two.job_in(id, "completed").await;
    }
    let cursor = two.head().await;
    let mut subscriber = Socket::open(pair.nodes[1].address, &format!("?after={cursor}")).await;
    pair.postgres.crash().await;
    pair.postgres.promote_stopped_standby().await;
    let epochs = [new_epoch(&one, &before).await, new_epoch(&two, &before).await];
    assert_eq!(epochs[0], epochs[1], "all nodes are in the same epoch");

    subscriber.events_until_the_end().await;
    for (client, node) in [&one, &two].into_iter().zip(&pair.nodes) {
        let read = client.get(&format!("/api/v1/events?after={cursor}")).await;
        assert!(read["gap"].is_object(), "{read}");
        let mut again = Socket::open(node.address, &format!("?after={cursor}")).await;
        again.next_of("gap").await;
        assert_eq!(client.job(&kept).await["state"], "completed");
        for id in &lost {
            let path = format!("/api/v1/jobs/{id}");
            let answer = client.try_send(Method::GET, &path, None).await.unwrap();
            assert_eq!(answer.0, 404, "{}", answer.1);
        }
    }
    // The attempt that the lease was for has never begun in this history. The job can be claimed again.
    let end = json!({"settle": [{"lease": lease, "outcome": "done"}], "extend": [lease]});
    for client in [&one, &two] {
        let refused = client.post("/api/v1/leases", Some(&end)).await;
        assert_ne!(refused["extend"][0]["status"], "kept", "{refused}");
        assert_ne!(refused["settle"][0]["status"], "settled", "{refused}");
    }
    let again = claim(&one).await;
    let refused = two.post("/api/v1/leases", Some(&end)).await;
    assert_ne!(refused["settle"][0]["status"], "settled", "{refused}");
    let end = json!({"settle": [{"lease": again, "outcome": "done"}]});
    let settled = two.post("/api/v1/leases", Some(&end)).await;
    assert_eq!(settled["settle"][0]["state"], "completed", "{settled}");
    two.job_in(&claimed, "completed").await;

    let log = one.log().await;
    assert_eq!(log, two.log().await, "both nodes have the same log");
    Fold::of(&log).assert_agrees(&one.rows().await);
    let logs = pair.stop().await;
    assert!(logs.iter().any(|line| line.contains("the server starts again with a new epoch")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let mut pair = Pair::start().await;
    pair.postgres.wait_for_standby().await;
    let [one, two] = [pair.nodes[0].client.clone(), pair.nodes[1].client.clone()];
    let before = epoch_of(&one.head().await);
    // Jobs are submitted to both nodes until these are refused.
    let submit = |client: Client| async move {
        let (mut accepted, job) = (Vec::new(), json!({ "kind": "echo" }));
        while let Ok((202, text)) = client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await
        {
            let job: Value = serde_json::from_str(&text).unwrap();
            accepted.push(job["id"].as_str().unwrap().to_owned());
        }
        accepted
    };
    let submitting = [tokio::spawn(submit(one.clone())), tokio::spawn(submit(two.clone()))];
    eventually("jobs are completed", || async {
        (one.count("completed").await > 100).then_some(())
    })
    .await;
    pair.postgres.crash().await;
    pair.postgres.promote_standby().await;
    let mut accepted = Vec::new();
    for one in submitting {
        accepted.extend(one.await.unwrap());
    }
    let epochs = [new_epoch(&one, &before).await, new_epoch(&two, &before).await];
    assert_eq!(epochs[0], epochs[1], "all nodes are in the same epoch");
    assert!(accepted.len() > 100);
    for (number, id) in accepted.iter().enumerate() {
        let client = if number % 2 == 0 { &one } else { &two };
        client.job_in(id, "completed").await;
    }
    assert_eq!(one.log().await, two.log().await, "both nodes have the same log");
    pair.stop().await;
}
