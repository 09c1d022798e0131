//! A database that is brought back to a point in time, with the commands of docs/several-nodes.md: the jobs are those of
//! that point, and the nodes begin a new epoch.

use reqwest::Method;
use serde_json::{Value, json};

use crate::failover::epoch_of;
use crate::support::nodes::Nodes;
use crate::support::socket::Socket;
use crate::support::{Client, Fold, eventually};

/// The block of commands in the document that has these words.
fn documented(words: &str) -> &'static str {
    let page = include_str!("../../docs/several-nodes.md");
    let block = page.split("```").find(|block| block.starts_with("sh\n") && block.contains(words));
    block.and_then(|block| block.strip_prefix("sh\n")).unwrap()
}

async fn complete(client: &Client, jobs: usize) -> Vec<String> {
    let ids =
        client.submit_all((0..jobs).map(|n| json!({ "kind": "echo", "payload": n })).collect());
    let ids = ids.await;
    for id in &ids {
        client.job_in(id, "completed").await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_in_time_is_restored_and_begins_a_new_epoch() {
    let mut cluster = Nodes::new(2).await;
    let url = cluster.postgres.url();
    cluster.postgres.run_script(documented("archive_command"), "").await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    // What the base backup has.
    let mut before = complete(&one.client, 20).await;
    let later = json!({ "kind": "echo", "delay_ms": 3_600_000 });
    let scheduled = two.client.submit(&later).await;
    let running =
        one.client.submit(&json!({ "kind": "sleep", "payload": { "ms": 600_000 } })).await;
    one.client.job_in(&running, "running").await;
    cluster.postgres.run_script(documented("pg_basebackup"), "").await;
    // What only the archive has.
    before.extend(complete(&two.client, 20).await);
    let worker = json!({ "kinds": ["resize"], "wait_ms": 0 });
    one.client.post("/api/v1/workers/web-1/claim", Some(&worker)).await;
    let resize = one.client.submit(&json!({ "kind": "resize" })).await;
    let point = cluster.postgres.sql_in(&url, "select clock_timestamp()").await;
    // What must not have happened.
    let claimed = two.client.post("/api/v1/workers/web-1/claim", Some(&worker)).await;
    let lease = claimed["leases"][0]["lease"].as_str().unwrap().to_owned();
    two.client.post(&format!("/api/v1/jobs/{scheduled}/cancel"), None).await;
    let lost = complete(&one.client, 30).await;
    let cursor = two.client.head().await;
    one.kill().await;
    two.kill().await;

    cluster.postgres.run_script(documented("recovery_target_action"), &point).await;
    cluster.postgres.start_again().await;
    eventually("the recovery has ended", || async {
        let is_over = cluster.postgres.try_sql("select not pg_is_in_recovery()").await?;
        (is_over == "t").then_some(())
    })
    .await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    let mut epochs = vec![epoch_of(&cursor)];
    for server in [&one, &two] {
        let client = &server.client;
        let read = client.get(&format!("/api/v1/events?after={cursor}")).await;
        assert!(read["gap"].is_object(), "{read}");
        let mut subscriber = Socket::open(server.address, &format!("?after={cursor}")).await;
        subscriber.next_of("gap").await;
        epochs.push(epoch_of(&client.head().await));
        for id in &before {
            assert_eq!(client.job(id).await["state"], "completed");
        }
        for id in &lost {
            let path = format!("/api/v1/jobs/{id}");
            let answer = client.try_send(Method::GET, &path, None).await.unwrap();
            assert_eq!(answer.0, 404, "{}", answer.1);
        }
        assert_eq!(client.job(&scheduled).await["state"], "scheduled");
        let end: Value = json!({ "settle": [{ "lease": lease, "outcome": "done" }] });
        let refused = client.post("/api/v1/leases", Some(&end)).await;
        assert_ne!(refused["settle"][0]["status"], "settled", "{refused}");
    }
    assert!(epochs[0] != epochs[1] && epochs[1] == epochs[2], "{epochs:?}");
    // The job that was running then runs again, and the one that nobody had claimed can be claimed.
    let job = one.client.job_in(&running, "running").await;
    let timeline = job["timeline"].as_array().unwrap();
    assert!(timeline.iter().any(|moment| moment["type"] == "job.rescued"), "{job}");
    let claimed = two.client.post("/api/v1/workers/web-1/claim", Some(&worker)).await;
    assert_eq!(claimed["leases"][0]["job"]["id"], *resize, "{claimed}");
    complete(&two.client, 5).await;
    let log = one.client.log().await;
    assert_eq!(log, two.client.log().await, "both nodes have the same log");
    Fold::of(&log).assert_agrees(&one.client.rows().await);
    one.stop().await;
    two.stop().await;
}
