//! Pages of earlier moments of a log with five million events.

use std::time::Instant;

use anyhow::{Context as _, bail};

use super::Setup;
use super::figures::{Latencies, Table, mib, rss};
use super::http::{Client, Server, get, post, state};

const BATCH: usize = 1_000;
/// How many moments each page is asked for.
const MOMENTS: usize = 100;
/// A job that succeeds at once has so many events.
const EVENTS_PER_JOB: usize = 3;
/// The time of a page, in milliseconds.
const TARGET_MS: u32 = 300;

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let wanted = setup.jobs * 50;
    let dir = setup.dir.join("rewind");
    std::fs::create_dir_all(&dir)?;
    let config = dir.join("cortado.toml");
    let keep = format!("{{ age = \"7d\", count = {} }}", 2 * wanted);
    std::fs::write(&config, format!("[retention]\nevents = {keep}\ncompleted = {keep}\n"))?;
    let config = config.to_str().context("the path is not text")?;
    let args = ["--config", config, "--concurrency", "256"];
    let mut server = Server::start_with(&dir.join("data"), &args).await?;
    let mut client = Client::connect(&server.address).await?;
    let jobs = wanted / EVENTS_PER_JOB;
    let begun = Instant::now();
    for batch in 0..jobs / BATCH {
        let job = |n: usize| {
            let n = batch * BATCH + n;
            format!("{{\"kind\":\"echo\",\"queue\":\"q{}\",\"payload\":{n}}}", n % 7)
        };
        let jobs: Vec<String> = (0..BATCH).map(job).collect();
        client.ask(&post(&server.address, &format!("[{}]", jobs.join(","))), 202).await?;
    }
    let done = u64::try_from(jobs / BATCH * BATCH)?;
    while state(&client.ask(&get(&server.address, "/api/v1/stats"), 200).await?, "completed")?
        < done
    {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let head = head(&mut client, &server.address).await?;
    table.row(
        "the log",
        format!(
            "{} events in {:.0} s; {} of memory",
            head.1,
            begun.elapsed().as_secs_f64(),
            mib(rss(server.pid))
        ),
    );
    ask_for_pages(&mut client, &server.address, &head, "", table).await?;
    // After a restart, the counters come from the checkpoints that are stored.
    server.ask_to_stop()?;
    server.gone().await?;
    let server = Server::start_with(&dir.join("data"), &args).await?;
    let mut client = Client::connect(&server.address).await?;
    ask_for_pages(&mut client, &server.address, &head, ", after a restart", table).await?;
    table.row("· memory", mib(rss(server.pid)));
    server.stop().await
}

/// The epoch and the number of the newest event.
async fn head(client: &mut Client, address: &str) -> anyhow::Result<(String, u64)> {
    let stats = client.ask(&get(address, "/api/v1/stats"), 200).await?;
    let stats: serde_json::Value = serde_json::from_str(&stats)?;
    let Some((epoch, seq)) = stats["cursor"].as_str().and_then(|it| it.split_once(':')) else {
        bail!("the statistics have no cursor: {stats}");
    };
    Ok((epoch.to_owned(), seq.parse()?))
}

async fn ask_for_pages(
    client: &mut Client,
    address: &str,
    (epoch, head): &(String, u64),
    when: &str,
    table: &mut Table,
) -> anyhow::Result<()> {
    let jobs = client.ask(&get(address, "/api/v1/jobs?limit=500"), 200).await?;
    let jobs: serde_json::Value = serde_json::from_str(&jobs)?;
    let newest = jobs["jobs"][499]["id"].as_str().unwrap_or_default().to_owned();
    let pages: [(&str, &str); 7] = [
        ("home", "/?"),
        ("queues", "/queues?"),
        ("one queue", "/queues/q3?"),
        ("the jobs page", "/jobs?"),
        ("running jobs", "/jobs?state=running&"),
        ("discarded jobs, of which there are none", "/jobs?state=discarded&"),
        ("the jobs of one kind that has none", "/jobs?kind=nothing&"),
    ];
    for (name, path) in pages {
        let mut times = Latencies::default();
        for n in 0..MOMENTS as u64 {
            // Spread over the whole log, and not in its order. Every queue exists in the first of them.
            let seq = (1 + n * 7_919 % MOMENTS as u64) * head / (MOMENTS as u64 + 1);
            let request = get(address, &format!("{path}at={epoch}:{seq}"));
            let asked = Instant::now();
            client.ask(&request, 200).await?;
            times.add(asked.elapsed());
        }
        let words = times.words();
        table.row(format!("{name}{when}"), format!("{words} (target: p99 {TARGET_MS} ms)"));
    }
    let mut times = Latencies::default();
    for n in 0..MOMENTS as u64 {
        let request = get(address, &format!("/jobs/{newest}?at={epoch}:{}", head - n));
        let asked = Instant::now();
        client.ask(&request, 200).await?;
        times.add(asked.elapsed());
    }
    let words = times.words();
    table.row(format!("a job{when}"), format!("{words} (target: p99 {TARGET_MS} ms)"));
    Ok(())
}
