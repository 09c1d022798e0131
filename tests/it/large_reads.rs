//! Reads of jobs with large payloads: one response examines only a few of them, and the server stops reading for
//! clients that have disconnected.

use serde_json::{Value, json};

use crate::support::{Client, Dir, Server, eventually};

const JOBS: usize = 40;
const BYTES: usize = 900_000;
/// The number of jobs that one read examines before it reaches 2 MiB.
const AT_ONCE: usize = 3;
const CONFIG: &str = "[store]\nread_bytes = \"2MiB\"\nlog_readers = 1\n";

async fn log_reads(client: &Client) -> f64 {
    let metrics = client.text("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("cortado_store_log_reads "));
    line.unwrap_or_else(|| panic!("no gauge: {metrics}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_of_large_jobs_come_in_parts_and_end_with_their_clients() {
    let dir = Dir::new();
    let config = dir.config(CONFIG);
    let server = Server::start(&dir, &["--config", &config]).await;
    let client = &server.client;
    let job = json!({ "kind": "echo", "delay_ms": 3_600_000, "payload": "x".repeat(BYTES) });
    let stats: Value = serde_json::from_str(&client.text("/api/v1/stats").await).unwrap();
    let start = stats["cursor"].as_str().unwrap().to_owned();
    for _ in 0..JOBS {
        client.submit(&job).await;
    }

    let (mut after, mut told, mut polls) = (start.clone(), 0, 0);
    while told < JOBS {
        let path = format!("/api/v1/events?limit=1000&after={after}");
        let answer: Value = serde_json::from_str(&client.text(&path).await).unwrap();
        let events = answer["events"].as_array().unwrap();
        assert!((1..=4 * AT_ONCE).contains(&events.len()), "{answer}");
        assert!(events.iter().all(|event| event["job"]["id"].is_string()), "{answer}");
        after = answer["cursor"].as_str().unwrap().to_owned();
        (told, polls) = (told + events.len(), polls + 1);
    }
    assert_eq!(told, JOBS);
    assert!(polls > 3, "all in {polls} polls");

    let path = format!("/api/v1/events?limit=1000&type=job.deleted&after={start}");
    let polls: Vec<_> = (0..30)
        .map(|_| {
            let (client, path) = (client.clone(), path.clone());
            tokio::spawn(async move { client.try_send(reqwest::Method::GET, &path, None).await })
        })
        .collect();
    eventually("reads under way", || async { (log_reads(client).await > 1.0).then_some(()) }).await;
    polls.iter().for_each(|poll| poll.abort());
    eventually("no read under way", || async { (log_reads(client).await == 0.0).then_some(()) })
        .await;
}
