//! `/metrics`, as a scraper reads it.

use std::collections::BTreeMap;

use super::support::{Server, within};

/// All samples, by name with labels.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let accept = ("accept", "application/openmetrics-text; version=1.0.0, text/plain; q=0.5");
    let answer = server.send("GET", "/metrics", &[accept], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.header("content-type").starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(answer.body.ends_with("# EOF\n"), "{answer:?}");
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

#[tokio::test]
async fn what_happened_can_be_scraped() {
    let server = Server::start().await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!answer.body.contains("# EOF"), "{answer:?}");
    server.post("/api/v1/jobs?wait=20s", r#"{"kind":"echo","queue":"odd"}"#).await;
    server.job(r#","queue":"later""#).await;
    server.post("/api/v1/queues/later/pause", "").await;
    let _socket = server.socket("").await;
    let samples = within(async {
        loop {
            let samples = scrape(&server).await; // the counters follow the events a little later
            let paused_events = samples[r#"cortado_events_total{type="queue.paused"}"#];
            if paused_events == 1.0
                && samples[r#"cortado_subscribers{transport="websocket"}"#] == 1.0
            {
                return samples;
            }
        }
    })
    .await;
    for (name, value) in [
        (r#"cortado_jobs{state="completed"}"#, 1.0),
        (r#"cortado_jobs{state="running"}"#, 0.0),
        (r#"cortado_queue_jobs{queue="later",state="scheduled"}"#, 1.0),
        (r#"cortado_queue_paused{queue="later"}"#, 1.0),
        (r#"cortado_queue_paused{queue="odd"}"#, 0.0),
        (r#"cortado_events_total{type="job.enqueued"}"#, 2.0),
        (r#"cortado_events_total{type="job.discarded"}"#, 0.0),
        ("cortado_attempts_running", 0.0),
        ("cortado_ready", 1.0),
        ("cortado_store_groups_total", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}: {samples:#?}");
    }
    assert!(!samples.keys().any(|name| name.starts_with("cortado_queue_concurrency")), "no limit");
    server.post("/api/v1/queues/odd/concurrency", r#"{"concurrency":3}"#).await;
    let limits = scrape(&server).await;
    assert_eq!(limits[r#"cortado_queue_concurrency{queue="odd"}"#], 3.0);
    assert!(!limits.contains_key(r#"cortado_queue_concurrency{queue="later"}"#));
    for name in ["cortado_wait_seconds", "cortado_run_seconds"] {
        let start = format!("{name}_bucket{{le=\"");
        let bucket = |(sample, count): (&String, &f64)| {
            let bound = sample.strip_prefix(&start)?.strip_suffix("\"}")?.replace("+Inf", "inf");
            Some((bound.parse::<f64>().unwrap(), *count))
        };
        let mut buckets: Vec<(f64, f64)> = samples.iter().filter_map(bucket).collect();
        buckets.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert!(buckets.len() > 10 && buckets.is_sorted_by_key(|(_, count)| *count), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1.0)), "one job has run: {name}");
        assert_eq!(samples[&format!("{name}_count")], 1.0);
        assert!((0.0..20.0).contains(&samples[&format!("{name}_sum")]));
    }
    assert!(!samples.keys().any(|name| name.contains("quantile=")), "{samples:#?}");
    assert!(samples["cortado_start_time_seconds"] > 1.7e9);
}
