//! Bulk runs, charts and failures on two nodes: each shows the same, and either can stop a run that the other one executes.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client as SqlClient;

use super::{Nodes, eventually};
use crate::support::{Client, Server};

/// A node that waits long for the database, and is taken for dead soon.
async fn node(cluster: &Nodes, number: usize) -> Server {
    let config = "[store]\nstatement_timeout = '1m'\nnode_silence = '5s'\n";
    let config = cluster.dirs[number].config(config);
    cluster.node_with(number, &["--config", &config]).await
}

/// Keeps all nodes from appending until the session's transaction ends.
async fn hold_appends(sql: &SqlClient) {
    sql.batch_execute("begin; lock table cortado.chunk in exclusive mode").await.unwrap();
}

/// Begins to cancel all jobs.
async fn begin(client: &Client) -> String {
    let all = json!({ "action": "cancel", "filter": { "tag": "bulk" } });
    let run = client.post("/api/v1/bulk", Some(&all)).await;
    run["id"].as_str().unwrap().to_owned()
}

async fn runs(client: &Client) -> Value {
    client.get("/api/v1/bulk").await["runs"].clone()
}

/// Waits until another node has sent this many heartbeats more.
async fn heartbeats(sql: &SqlClient, node: &str, more: usize) {
    let last = || async {
        let select = "select heartbeat::text from cortado.node where name = $1";
        sql.query_one(select, &[&node]).await.unwrap().get::<_, String>(0)
    };
    for _ in 0..more {
        let before = last().await;
        eventually("there is another heartbeat", || async {
            (last().await != before).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_the_bulk_runs_of_all_and_can_stop_them() {
    let cluster = Nodes::new(2).await;
    let (one, two) = (node(&cluster, 0).await, node(&cluster, 1).await);
    let job = json!({ "kind": "echo", "delay_ms": 3_600_000, "tags": ["bulk"] });
    one.client.submit_all(vec![job; 900]).await;
    let (holder, sql) =
        (cluster.postgres.connect("cortado").await, cluster.postgres.connect("cortado").await);

    hold_appends(&holder).await;
    let id = begin(&one.client).await;
    let path = format!("/api/v1/bulk/{id}");
    // Read once and at once: nothing is waited for.
    let seen = two.client.get(&path).await;
    assert_eq!((&seen["state"], &seen["node"]), (&json!("running"), &json!("node-0")), "{seen}");
    assert_eq!(seen["expected"], json!({ "count": 500, "exact": false }), "{seen}");
    assert_eq!(runs(&two.client).await, runs(&one.client).await);
    let page = two.client.text("/jobs/bulk").await;
    assert!(page.contains(&id) && page.contains("· on node-0"), "{page}");
    let page = two.client.text(&format!("/jobs/bulk/{id}")).await;
    assert!(page.contains("executed by the node node-0") && page.contains(">bulk<"), "{page}");

    let stopping = tokio::spawn({
        let (client, path) = (two.client.clone(), format!("{path}/stop"));
        async move { client.post(&path, None).await }
    });
    let asked = "select figures like '%' || $1 || '%' from cortado.node where name = 'node-1'";
    eventually("the other node asks for the stop", || async {
        let row = sql.query_one(asked, &[&format!("\"stop\":[\"{id}\"]")]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    heartbeats(&sql, "node-0", 3).await;
    holder.batch_execute("rollback").await.unwrap();
    let stopped = stopping.await.unwrap();
    assert_eq!((&stopped["state"], &stopped["done"]), (&json!("stopped"), &json!(200)));
    assert_eq!(one.client.get(&path).await, stopped);
    assert_eq!(two.client.count("cancelled").await, 200);

    // A run that ends by itself is the same on both nodes.
    let finished = begin(&two.client).await;
    let path_of_two = format!("/api/v1/bulk/{finished}");
    let ended = eventually("the run ends", || async {
        let run = one.client.get(&path_of_two).await;
        (run["state"] == "finished").then_some(run)
    });
    let ended = ended.await;
    assert_eq!((&ended["node"], &ended["done"]), (&json!("node-1"), &json!(700)), "{ended}");
    assert_eq!(ended["refused"][0]["count"], 200, "{ended}");
    assert_eq!(two.client.get(&path_of_two).await, ended);
    assert_eq!(runs(&two.client).await, runs(&one.client).await);

    // A run ends with its node, and the others say so.
    one.client.submit(&json!({ "kind": "echo", "delay_ms": 3_600_000, "tags": ["bulk"] })).await;
    hold_appends(&holder).await;
    let lost = begin(&one.client).await;
    one.kill().await;
    holder.batch_execute("rollback").await.unwrap();
    let path = format!("/api/v1/bulk/{lost}");
    eventually("the run is known to be lost", || async {
        (two.client.get(&path).await["state"] == "server_stopped").then_some(())
    })
    .await;
    let page = two.client.text(&format!("/jobs/bulk/{lost}")).await;
    assert!(page.contains("The node node-0 stopped during the run."), "{page}");
    // Whoever starts later hears of it, too.
    let one = node(&cluster, 0).await;
    let same = eventually("both nodes list the same runs", || async {
        let (first, second) = (runs(&one.client).await, runs(&two.client).await);
        (first == second).then_some(first)
    });
    let same = same.await;
    let states: Vec<_> = same.as_array().unwrap().iter().map(|run| &run["state"]).collect();
    assert_eq!(states, ["server_stopped", "finished", "stopped"], "{same}");
    let unknown = "/api/v1/bulk/00000000-0000-0000-0000-000000000000";
    for client in [&one.client, &two.client] {
        let answer = client.try_send(Method::GET, unknown, None).await.unwrap();
        assert_eq!(answer.0, 404, "{}", answer.1);
        let stop = format!("{unknown}/stop");
        assert_eq!(client.try_send(Method::POST, &stop, None).await.unwrap().0, 404);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_and_failures_are_the_same_on_every_node() {
    let cluster = Nodes::new(2).await;
    let one = node(&cluster, 0).await;
    let failing = json!({ "kind": "fail", "payload": { "times": 9 }, "max_attempts": 1 });
    let mut jobs = vec![failing; 7];
    jobs.extend(vec![json!({ "kind": "echo", "queue": "mail" }); 30]);
    let before = one.client.submit_all(jobs.clone()).await;
    for id in &before {
        let wanted =
            if one.client.job(id).await["kind"] == "fail" { "discarded" } else { "completed" };
        one.client.job_in(id, wanted).await;
    }
    // The second node reads the failures and the charts of the time before its start.
    let two = node(&cluster, 1).await;
    let after = two.client.submit_all(jobs).await;
    for id in &after {
        let wanted =
            if one.client.job(id).await["kind"] == "fail" { "discarded" } else { "completed" };
        two.client.job_in(id, wanted).await;
    }
    for path in
        ["/api/v1/failures", "/api/v1/metrics/history", "/api/v1/metrics/history?queue=mail"]
    {
        eventually(&format!("both nodes show the same {path}"), || async {
            let mut shown = Vec::new();
            for client in [&one.client, &two.client] {
                let mut shows = client.get(path).await;
                if let Some(fields) = shows.as_object_mut() {
                    // The time of the answer, and since when there is data, which ends now.
                    fields.remove("now");
                    fields.remove("periods");
                }
                shown.push(shows);
            }
            let is_complete = shown[0]["counting"] != true;
            let is_same = shown[0] == shown[1];
            if !is_same {
                println!("{}\n{}", shown[0], shown[1]); // shown if it stays so
            }
            (is_same && is_complete).then_some(())
        })
        .await;
    }
    let failures = two.client.get("/api/v1/failures").await;
    assert_eq!(failures["groups"][0]["dead"], 14, "{failures}");
    one.stop().await;
    two.stop().await;
}
