//! A thousand requests that wait for the ends of their jobs: what each costs the server, and how soon all
//! get their answers.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::JoinSet;

use super::Setup;
use super::figures::{Latencies, Table, mib, rss};
use super::http::{Client, Server, act, get, post, state};

const WAITERS: usize = 1_000;
const JOB: &str = r#"{"kind":"echo","queue":"held"}"#;

/// Memory of a server with a thousand waiting requests, beside the same server with as many connections that
/// have asked something before and wait for nothing.
pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start_with(&setup.dir.join("waiters"), &[]).await?;
    let mut control = Client::connect(&server.address).await?;
    control.ask(&act(&server.address, "/api/v1/queues/held/pause"), 204).await?;
    let before = rss(server.pid);
    let (health, wait) = (get(&server.address, "/healthz"), waiting(&server.address));
    let mut clients = Vec::new();
    for _ in 0..WAITERS {
        let mut client = Client::connect(&server.address).await?;
        client.ask(&health, 200).await?;
        clients.push(client);
    }
    let idle = rss(server.pid);
    let mut answers = JoinSet::new();
    for mut client in clients {
        let wait = wait.clone();
        answers.spawn(async move {
            client.ask(&wait, 200).await?;
            anyhow::Ok(Instant::now())
        });
    }
    let begun = Instant::now();
    let stats = get(&server.address, "/api/v1/stats");
    while state(&control.ask(&stats, 200).await?, "available")? < WAITERS as u64 {
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("the submissions do not arrive");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let held = rss(server.pid);
    let resumed = Instant::now();
    control.ask(&act(&server.address, "/api/v1/queues/held/resume"), 204).await?;
    let mut answered = Latencies::default();
    while let Some(answer) = answers.join_next().await {
        answered.add(answer??.saturating_duration_since(resumed));
    }
    let each = |more: u64| more as f64 / 1_024.0 / WAITERS as f64;
    table.row(
        format!("{WAITERS} requests that wait for their jobs: the server's memory"),
        format!(
            "{}, without them {}: {:.1} KiB each, {:.1} KiB of it for the connection",
            mib(held),
            mib(before),
            each(held.saturating_sub(before)),
            each(idle.saturating_sub(before)),
        ),
    );
    table.row("· from the start of their jobs to the answers", answered.words());
    server.stop().await
}

/// A submission that waits for the end of its job.
fn waiting(address: &str) -> Vec<u8> {
    let request = String::from_utf8_lossy(&post(address, JOB)).into_owned();
    request.replacen("/api/v1/jobs ", "/api/v1/jobs?wait=60s ", 1).into_bytes()
}
