//! The jobs for queries, `cortado.jobs`: they are those of the API, also after the server that keeps them up was killed,
//! and after a gap in the log.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client as SqlClient;

use super::{Nodes, job_in, value};
use crate::support::{Client, Server, eventually};

const CONFIG: &str = "[store]\nprojection = true\n";

async fn node(cluster: &Nodes, number: usize, config: &str) -> Server {
    let config = cluster.dirs[number].config(config);
    cluster.node_with(number, &["--config", &config]).await
}

/// The jobs of the API, with the columns of the table.
async fn jobs_of_api(client: &Client) -> BTreeMap<String, Value> {
    let mut jobs = BTreeMap::new();
    for id in client.rows().await.keys() {
        let job = client.job(id).await;
        let started = job["attempts"].as_array().unwrap().last().map(|it| it["started_at"].clone());
        let is_short = |value: &Value| value.to_string().len() <= 1_024 && !value.is_null();
        let row = json!({
            "kind": job["kind"], "queue": job["queue"], "state": job["state"],
            "priority": job["priority"], "attempt": job["attempt"],
            "max_attempts": job["max_attempts"], "created_at": job["enqueued_at"],
            "run_at": job["run_at"], "started_at": started, "finished_at": job["finished_at"],
            "error": job["error"]["message"], "tags": job["tags"],
            "payload": Some(&job["payload"]).filter(|value| is_short(value)),
            "result": Some(&job["result"]).filter(|value| is_short(value)), "idempotency_key": job["idempotency_key"],
        });
        jobs.insert(id.clone(), row);
    }
    jobs
}

/// The jobs of the table.
async fn jobs_of_table(sql: &SqlClient) -> BTreeMap<String, Value> {
    let time = |name: &str| {
        let text = "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'";
        format!("'{name}', to_char({name} at time zone 'UTC', {text})")
    };
    let times = ["created_at", "run_at", "started_at", "finished_at"].map(time).join(", ");
    let select = format!(
        "select json_object_agg(id, json_build_object('kind', kind, 'queue', queue, 'state', state,
            'priority', priority, 'attempt', attempt, 'max_attempts', max_attempts, {times},
            'error', error, 'tags', tags, 'payload', payload::json, 'result', result::json,
            'idempotency_key', idempotency_key)) from cortado.jobs"
    );
    let text = value(sql, &select).await;
    if text.is_empty() { BTreeMap::new() } else { serde_json::from_str(&text).unwrap() }
}

/// Waits until the table has the jobs of the API.
async fn agrees(sql: &SqlClient, client: &Client) {
    eventually("cortado.jobs is what the API has", || async {
        let (table, api) = (jobs_of_table(sql).await, jobs_of_api(client).await);
        let wrong = api.iter().find(|(id, job)| table.get(*id) != Some(job));
        if let Some((id, job)) = wrong {
            println!("{id} is not the same:\n{job}\n{:?}", table.get(id)); // shown if it stays so
        }
        (wrong.is_none() && table.len() == api.len()).then_some(())
    })
    .await;
}

/// Does everything that changes a job.
async fn mixed_load(client: &Client, round: usize) {
    let all = [
        json!({ "kind": "echo", "payload": { "round": round }, "tags": ["a", "b c"] }),
        json!({ "kind": "echo", "payload": "x".repeat(2_000), "idempotency_key": format!("k{round}") }),
        json!({ "kind": "fail", "payload": { "times": 1 }, "max_attempts": 1 }),
        json!({ "kind": "fail", "payload": { "times": 9 }, "max_attempts": 2, "backoff": { "base_ms": 10, "cap_ms": 10 } }),
        json!({ "kind": "echo", "delay_ms": 3_600_000, "priority": 3 }),
        json!({ "kind": "echo", "delay_ms": 3_600_000 }),
        json!({ "kind": "echo", "delay_ms": 3_600_000 }),
        json!({ "kind": "echo", "delay_ms": 3_600_000 }),
        json!({ "kind": "sleep", "payload": { "ms": 60_000 } }),
    ];
    let mut ids = Vec::new();
    for job in &all {
        ids.push(client.submit(job).await);
    }
    client.job_in(&ids[0], "completed").await;
    client.job_in(&ids[2], "discarded").await;
    client.job_in(&ids[3], "discarded").await;
    client.job_in(&ids[8], "running").await;
    let act = |id: &str, action: &str| format!("/api/v1/jobs/{id}/{action}");
    client.post(&act(&ids[2], "retry"), None).await;
    client.post(&act(&ids[4], "cancel"), None).await;
    client.post(&act(&ids[5], "retry"), None).await;
    client.post(&act(&ids[6], "move"), Some(&json!({ "queue": "elsewhere" }))).await;
    client.post(&act(&ids[7], "reprioritise"), Some(&json!({ "priority": 9 }))).await;
    client.post(&act(&ids[8], "cancel"), None).await;
    client.job_in(&ids[8], "cancelled").await;
    let path = format!("/api/v1/jobs/{}", ids[1]);
    client.job_in(&ids[1], "completed").await;
    if round.is_multiple_of(2) {
        client.try_send(Method::DELETE, &path, None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_for_queries_are_those_of_the_api() {
    let cluster = Nodes::new(2).await;
    let mut nodes = [Some(node(&cluster, 0, CONFIG).await), Some(node(&cluster, 1, CONFIG).await)];
    let sql = cluster.postgres.connect("cortado").await;
    let client =
        |nodes: &[Option<Server>; 2], number: usize| nodes[number].as_ref().unwrap().client.clone();
    for round in 0..3 {
        mixed_load(&client(&nodes, round % 2), round).await;
    }
    agrees(&sql, &client(&nodes, 0)).await;
    let lag = "select lag < interval '5 seconds' from cortado.projection_lag";
    assert_eq!(value(&sql, lag).await, "t");

    // The one that keeps them up is killed.
    let holder = "select name from cortado.node join cortado.projection on session = holder";
    let killed = usize::from(value(&sql, holder).await == "node-1");
    nodes[killed].take().unwrap().kill().await;
    let other = client(&nodes, 1 - killed);
    mixed_load(&other, 4).await;
    agrees(&sql, &other).await;
    nodes[killed] = Some(node(&cluster, killed, CONFIG).await);

    // They are read again after a gap, and whoever may only read them sees them.
    sql.batch_execute(
        "create role reports login; grant usage on schema cortado to reports;
        grant select on cortado.jobs, cortado.projection_lag to reports;
        update cortado.projection set cursor = '1' || cursor;
        update cortado.projected_job set kind = 'wrong'",
    )
    .await
    .unwrap();
    mixed_load(&other, 5).await;
    agrees(&sql, &other).await;
    let reports = cluster.postgres.connect("reports").await;
    assert_eq!(jobs_of_table(&reports).await, jobs_of_table(&sql).await);
    assert!(reports.batch_execute("delete from cortado.jobs").await.is_err());
    for node in nodes.into_iter().flatten() {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_jobs_past_their_retention_go_and_without_the_setting_there_are_none() {
    let cluster = Nodes::new(1).await;
    let node_without = node(&cluster, 0, "").await;
    let sql = cluster.postgres.connect("cortado").await;
    let id = node_without.client.submit(&json!({ "kind": "echo" })).await;
    job_in(&node_without.client, &id, "completed").await;
    assert_eq!(value(&sql, "select count(*) from cortado.jobs").await, "0");
    assert_eq!(value(&sql, "select lag is null from cortado.projection_lag").await, "t");
    node_without.stop().await;
    let few = format!("{CONFIG}[retention]\ncompleted = {{ age = '1h', count = 5 }}\n");
    let node = node(&cluster, 0, &few).await;
    let jobs = (0..40).map(|_| json!({ "kind": "echo" })).collect();
    node.client.submit_all(jobs).await;
    eventually("jobs past their retention are gone", || async {
        (node.client.rows().await.len() < 20).then_some(())
    })
    .await;
    agrees(&sql, &node.client).await;
    node.stop().await;
}
