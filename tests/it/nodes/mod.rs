//! Several servers on one PostgreSQL database: what one of them has answered holds on all, and any of them may die.

mod bulk;
mod history;
mod names;
mod queues;

use reqwest::Method;
use serde_json::json;

use crate::support::nodes::Nodes;
use crate::support::{Client, Fold, eventually};

fn sleep(ms: u64) -> serde_json::Value {
    json!({ "kind": "sleep", "payload": { "ms": ms } })
}

async fn completed(client: &Client) -> u64 {
    client.count("completed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_what_another_has_accepted() {
    let cluster = Nodes::new(2).await;
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
    let cluster = Nodes::new(2).await;
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
    let mut cluster = Nodes::new(2).await;
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

/// Nodes whose configurations disagree do the same all the same, and say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_was_started_last_decides_when_configurations_disagree() {
    let cluster = Nodes::new(2).await;
    let config = |number: usize, concurrency: u32, cron: &str| {
        cluster.dirs[number].config(&format!(
            "[queues.mail]\nconcurrency = {concurrency}\nrate_limit = '{concurrency}0/1m'\n\
             [schedules.report]\ncron = '{cron}'\nkind = 'echo'\n"
        ))
    };
    let (first, second) = (config(0, 2, "0 3 * * *"), config(1, 5, "0 4 * * *"));
    let one = cluster.node_with(0, &["--config", &first]).await;
    one.client.post("/api/v1/queues/mail/pause", None).await;
    let two = cluster.node_with(1, &["--config", &second]).await;
    let settings = async |client: &Client| {
        let queues = client.get("/api/v1/queues").await;
        let schedules = client.get("/api/v1/schedules").await;
        let mail = &queues["queues"][0];
        let cron = &schedules["schedules"][0]["cron"];
        (mail["concurrency"].clone(), mail["rate_limit"].clone(), cron.clone())
    };
    let last = (json!(5), json!("50/1m"), json!("0 4 * * *"));
    for client in [&one.client, &two.client] {
        assert_eq!(settings(client).await, last);
        let topics = eventually("the disagreement is shown", || async {
            let nodes = client.get("/api/v1/nodes").await;
            let topics = nodes["nodes"][0]["disagrees"].clone();
            let both = topics.as_array().is_some_and(|topics| topics.len() == 2);
            both.then_some((topics, nodes))
        });
        let (topics, nodes) = topics.await;
        assert_eq!(topics, json!(["queues", "schedules"]), "{nodes}");
        assert_eq!(nodes["nodes"][1]["disagrees"], json!([]), "{nodes}");
        assert_eq!(
            (&nodes["nodes"][0]["name"], &nodes["nodes"][1]["name"]),
            (&json!("node-0"), &json!("node-1"))
        );
        assert!(nodes["nodes"][1]["address"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        let page = client.text("/system").await;
        assert!(
            page.contains("The configurations of node-0 and node-1 have different schedules"),
            "{page}"
        );
    }
    for server in [&one, &two] {
        let warned = eventually("both nodes warn", || async {
            let lines = server.process.err.so_far();
            let about = |words: &str| {
                let warned = lines.iter().filter(|line| line.contains(words));
                warned.filter(|line| line.contains("node-0") && line.contains("node-1")).count()
            };
            let counts = (about("different limits of queues"), about("different schedules"));
            (counts.0 > 0 && counts.1 > 0).then_some(counts)
        });
        assert_eq!(warned.await, (1, 1));
    }
    // The end of the last node changes nothing. The start of the other one puts its own configuration in force.
    two.stop().await;
    assert_eq!(settings(&one.client).await, last);
    one.stop().await;
    let one = cluster.node_with(0, &["--config", &first]).await;
    assert_eq!(settings(&one.client).await, (json!(2), json!("20/1m"), json!("0 3 * * *")));
    one.stop().await;
}
