//! What workers cost the server while they wait for jobs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Setup;
use crate::fanout::peers::{Clients, subscribers};
use crate::figures::{Table, mib, rss};
use crate::http::{Client, get, post_to};

/// The first message of a worker.
const READY: &str = r#"{"type":"ready","free":1,"kinds":["noop"],"lease_ms":3600000}"#;
/// How often each list of workers is requested.
const LISTS: usize = 51;
/// Files of a process that are no connections of workers.
const OTHER_FILES: u64 = 200;

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    sockets(setup, table).await?;
    long_polls(setup, table).await
}

/// Memory of a server with idle workers on WebSockets, beside what it took before they came.
async fn sockets(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let count = setup.sockets.min(usize::try_from(files.saturating_sub(OTHER_FILES))?);
    let server = subscribers(&setup.dir.join("idle-workers"), &[]).await?;
    let mut clients = Clients::start().await?;
    // The first worker pays for what all of them share.
    clients.open_workers(&server.address, "first", 1, READY).await?;
    let before = rss(server.pid);
    clients.open_workers(&server.address, "idle", count, READY).await?;
    let held = rss(server.pid).saturating_sub(before);
    table.row(
        format!("{count} idle workers on WebSockets: the server's memory"),
        format!("{:.2} KiB each, {} in all (target 4 KiB)", each(held, count), mib(held)),
    );
    lists(&server.address, count, table).await?;
    clients.command("drop", &[]).await?;
    server.stop().await
}

/// What the lists of workers cost while many are connected.
async fn lists(address: &str, count: usize, table: &mut Table) -> anyhow::Result<()> {
    let mut control = Client::connect(address).await?;
    for (path, what) in [
        ("/api/v1/workers", "the first page of the API"),
        ("/api/v1/workers?limit=1000", "1,000 workers from the API"),
        ("/api/v1/workers?q=nowhere", "a search that finds none"),
        ("/workers", "the page of workers"),
        ("/metrics", "the metrics"),
    ] {
        let request = get(address, path);
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..LISTS {
            let begun = Instant::now();
            bytes = control.ask(&request, 200).await?.len();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let median = times[LISTS / 2].as_secs_f64() * 1e3;
        table.row(
            format!("{count} workers: {what}"),
            format!("{median:.2} ms, {:.1} KiB", bytes as f64 / 1_024.0),
        );
    }
    Ok(())
}

/// Memory of a server with claims that wait for jobs, beside the same server with as many connections that wait for nothing.
async fn long_polls(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let count = setup.sockets.min(1_000);
    let server = subscribers(&setup.dir.join("long-polls"), &[]).await?;
    let mut control = Client::connect(&server.address).await?;
    let before = rss(server.pid);
    let health = get(&server.address, "/healthz");
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(&server.address).await?;
        client.ask(&health, 200).await?;
        clients.push(client);
    }
    let idle = rss(server.pid);
    let mut claims = JoinSet::new();
    for (n, mut client) in clients.into_iter().enumerate() {
        let path = format!("/api/v1/workers/poll-{n}/claim");
        let claim = post_to(&server.address, &path, r#"{"kinds":["noop"],"wait_ms":60000}"#);
        claims.spawn(async move { client.ask(&claim, 200).await });
    }
    let begun = Instant::now();
    let metrics = get(&server.address, "/metrics");
    loop {
        let metrics = control.ask(&metrics, 200).await?;
        let mut waiting =
            metrics.lines().filter_map(|line| line.strip_prefix("cortado_worker_claims_waiting "));
        if waiting.next().and_then(|text| text.parse().ok()).unwrap_or(0.0) >= count as f64 {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(50), "the claims do not arrive");
        sleep(Duration::from_millis(100)).await;
    }
    let held = rss(server.pid).saturating_sub(before);
    let connections = idle.saturating_sub(before);
    table.row(
        format!("{count} claims that wait for jobs: the server's memory"),
        format!(
            "{:.1} KiB each, {:.1} KiB of it for the connection",
            each(held, count),
            each(connections, count)
        ),
    );
    claims.abort_all();
    while claims.join_next().await.is_some() {}
    server.stop().await
}

/// KiB of each.
fn each(bytes: u64, count: usize) -> f64 {
    bytes as f64 / 1_024.0 / count as f64
}
