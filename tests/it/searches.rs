//! Searches that would take minutes: the server keeps serving everything else, a search ends when its client
//! disconnects, and the stop does not wait for any.

use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Client, Dir, Server, eventually, within};

/// Time limits that are too long to end a search during the test.
const CONFIG: &str = "[http]\nrequest_timeout = \"10m\"\n[store]\nsearch_time = \"10m\"\n";
/// The number of jobs to search, and the size of each payload in bytes.
const JOBS: usize = 40;
const BYTES: usize = 900_000;
/// Concurrent searches: more than there are readers.
const SEARCHES: usize = 10;

/// A server with jobs that take long to search.
async fn with_hay(dir: &Dir, args: &[&str]) -> Server {
    let config = dir.config(CONFIG);
    let server = Server::start(dir, &[&["--config", &config], args].concat()).await;
    let text = "\n".repeat(BYTES / 2);
    let hay = json!({ "kind": "echo", "queue": "hay", "delay_ms": 3_600_000,
        "payload": { "text": text, "a": 1 } });
    for _ in 0..JOBS {
        server.client.submit(&hay).await;
    }
    server
}

/// A search that finds nothing and scans every payload once for each of its terms.
fn hostile() -> String {
    format!("/api/v1/jobs?q=queue:hay+{}payload.a:2", "payload.a:1+".repeat(19))
}

/// Starts a search whose client waits for the response.
fn begin(client: &Client) -> JoinHandle<Value> {
    let client = client.clone();
    tokio::spawn(async move {
        let path = hostile();
        let patient = Duration::from_secs(600);
        let answer = client.try_send(reqwest::Method::GET, &path, None);
        let (status, body) = tokio::time::timeout(patient, answer).await.unwrap().unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    })
}

/// The number of running lists and searches, from the server's metrics.
async fn under_way(client: &Client) -> u64 {
    let metrics = client.text("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("cortado_store_searches "));
    line.unwrap_or_else(|| panic!("no gauge: {metrics}")).parse::<f64>().unwrap() as u64
}

async fn begin_all(client: &Client) -> Vec<JoinHandle<Value>> {
    let searches: Vec<_> = (0..SEARCHES).map(|_| begin(client)).collect();
    eventually("searches under way", || async {
        (under_way(client).await >= SEARCHES as u64).then_some(())
    })
    .await;
    searches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_jobs_go_on_beside_hostile_searches_and_a_client_that_leaves_frees_its_reader() {
    let dir = Dir::new();
    let server = with_hay(&dir, &[]).await;
    let searches = begin_all(&server.client).await;
    for path in ["/", "/jobs", "/jobs?queue=hay", "/queues", "/failures", "/api/v1/jobs?limit=5"] {
        server.client.text(path).await;
    }
    let job = server.client.submit(&json!({ "kind": "echo", "payload": "needle" })).await;
    server.client.job_in(&job, "completed").await;
    // Another search makes progress among them.
    let found = server.client.get("/api/v1/jobs?q=queue:default+payload:needle").await;
    assert_eq!(found["jobs"][0]["id"], json!(job), "{found}");

    searches.iter().for_each(JoinHandle::abort);
    eventually("readers that are free again", || async {
        (under_way(&server.client).await == 0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_searches_at_once_and_they_answer_with_what_they_found() {
    let dir = Dir::new();
    let mut server = with_hay(&dir, &["--grace", "10m"]).await;
    let searches = begin_all(&server.client).await;
    server.process.signal(SIGTERM);
    let mut cut_short = 0;
    for search in searches {
        let page = within("the answer of a search", search).await.unwrap();
        assert!(page["examined"].as_u64() <= Some(JOBS as u64), "{page}");
        cut_short += usize::from(!page["next"].is_null());
    }
    assert!(cut_short > 0, "every search was over before the stop");
    assert_eq!(server.process.exit().await.code(), Some(0));
    let log = server.process.err.so_far();
    assert!(!log.iter().any(|line| line.contains("still in flight")), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_answers_in_time_and_a_bulk_run_over_it_can_be_stopped() {
    let dir = Dir::new();
    let config = dir.config("[store]\nsearch_time = \"1ms\"\n");
    let server = Server::start(&dir, &["--config", &config]).await;
    let hay =
        json!({ "kind": "echo", "queue": "hay", "delay_ms": 3_600_000, "payload": { "a": 1 } });
    server.client.submit_all(vec![hay; 500]).await;
    let (mut path, mut examined, mut found) = (hostile(), 0, 0);
    loop {
        let page = server.client.get(&path).await;
        examined += page["examined"].as_u64().unwrap();
        found += page["jobs"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{}&after={next}", hostile());
    }
    assert_eq!((found, examined), (0, 500), "each job is examined once");
    let filter = json!({ "q": "queue:hay payload.a:1" });
    let asked = json!({ "action": "reprioritise", "priority": 3, "filter": filter });
    let count = server.client.post("/api/v1/bulk/preview", Some(&asked)).await;
    assert!(count["count"].as_u64() <= Some(500), "{count}");
    let run = server.client.post("/api/v1/bulk", Some(&asked)).await;
    let path = format!("/api/v1/bulk/{}", run["id"].as_str().unwrap());
    let report = eventually("the end of the run", || async {
        Some(server.client.get(&path).await).filter(|report| report["state"] != "running")
    })
    .await;
    assert_eq!((&report["state"], &report["done"]), (&json!("finished"), &json!(500)), "{report}");
    server.stop().await;
}
