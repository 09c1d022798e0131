//! `/metrics` as scrapers read it: promtool finds nothing to complain about, in both formats no series occurs twice, and
//! the number of series is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::{Client, Dir, Server, eventually, tools, within};

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

/// The output of `promtool check metrics` for a text; it must exit with 0.
async fn lint(text: &str) -> String {
    let mut command = tokio::process::Command::new("promtool");
    command.args(["check", "metrics"]).env("PATH", tools::path()).kill_on_drop(true);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = pipes.spawn().expect("promtool is missing: ./test fetches it");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let output = within("promtool", promtool.wait_with_output()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}\n{text}");
    said
}

/// Returns the metrics, and their type, for an `Accept` header.
async fn scrape(client: &Client, accept: &str) -> (String, String) {
    let http = cortado::internal::cli::http_client().unwrap();
    let request = http.get(format!("{}/metrics", client.base())).header("accept", accept);
    let answer = within("metrics", request.send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["vary"].to_str().unwrap().matches("accept").count(), 1);
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.text().await.unwrap(), content_type)
}

/// The samples by name and labels. None may occur twice, and each must belong to the family described before it.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} is described twice");
            assert!(help.ends_with('.'), "{help}");
            (family, kind) = (name, "");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            kind = of;
        } else if !line.starts_with("# ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let suffix = bare.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
            let expected: &[&str] = match kind {
                "gauge" => &[""],
                "counter" => &["", "_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{family} has the type {other:?}"),
            };
            assert!(expected.contains(&suffix), "{line}");
            assert!(kind != "counter" || bare.ends_with("_total"), "{line}");
            let value = value.replace("+Inf", "inf").parse().unwrap();
            assert_eq!(samples.insert(name, value), None, "{name} occurs twice");
        }
    }
    samples
}

#[tokio::test]
async fn promtool_accepts_the_metrics_of_an_empty_and_of_a_busy_server() {
    let dir = Dir::new();
    let config = dir.config("[http]\nmetrics_queues = 3\n");
    let server = Server::start(&dir, &["--config", &config]).await;
    let client = &server.client;
    let (text, content_type) = scrape(client, "*/*").await;
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(lint(&text).await, "");

    let jobs = (0..8).flat_map(|n| {
        ["echo", "fail"]
            .map(|kind| json!({"kind": kind, "payload": {"times": 9}, "queue": format!("q{n}"), "max_attempts": 1}))
    });
    let later = json!({"kind": "echo", "queue": "q7", "delay_ms": 3_600_000});
    let ids = client.submit_all(jobs.chain([later]).collect()).await;
    for (n, id) in ids.iter().take(16).enumerate() {
        client.job_in(id, if n % 2 == 0 { "completed" } else { "discarded" }).await;
    }
    let _socket = server.socket("").await;
    // The counters follow the events a little later.
    let text = eventually("all attempts are counted", || async {
        let (text, _) = scrape(client, "text/plain").await;
        text.contains("\ncortado_run_seconds_count 16\n").then_some(text)
    })
    .await;
    assert_eq!(lint(&text).await, "");
    let (open_metrics, content_type) = scrape(client, OPEN_METRICS).await;
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open_metrics.ends_with("\n# EOF\n"));
    let (plain, open) = (samples(&text), samples(&open_metrics));
    assert_eq!(plain.keys().collect::<Vec<_>>(), open.keys().collect::<Vec<_>>());

    // Three queues have series of their own, and the jobs of the others are added up.
    let queues: BTreeSet<&str> =
        plain.keys().filter_map(|name| name.split_once("queue=\"")?.1.split('"').next()).collect();
    assert_eq!(queues, BTreeSet::from(["q0", "q1", "q2", "(other)"]));
    assert_eq!(plain["cortado_queues"], 8.0);
    for (name, value) in [
        ("cortado_queue_jobs{queue=\"q0\",state=\"completed\"}", 1.0),
        ("cortado_queue_jobs{queue=\"(other)\",state=\"completed\"}", 5.0),
        ("cortado_queue_jobs{queue=\"(other)\",state=\"scheduled\"}", 1.0),
        ("cortado_enqueue_seconds_count", 1.0),
        ("cortado_enqueue_seconds_bucket{le=\"+Inf\"}", 1.0),
    ] {
        assert_eq!(plain.get(name), Some(&value), "{name}: {text}");
    }
    assert!(plain["cortado_enqueue_seconds_sum"] > 0.0);
    for family in ["enqueue", "wait", "run", "store_publish"] {
        let count = plain[format!("cortado_{family}_seconds_count").as_str()];
        let last = plain[format!("cortado_{family}_seconds_bucket{{le=\"+Inf\"}}").as_str()];
        assert!(count > 0.0 && count == last, "{family}: {count} and {last}");
    }
}
