//! The same load before a snapshot of the database is opened, and when it has been open for two minutes. Whatever updates
//! or deletes rows suffers then, because their old versions cannot be removed. So the server keeps little: it archives,
//! deletes and trims all the time.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use crate::Setup;
use crate::figures::{Latencies, Table, per_second};
use crate::http::{Client, post};

const CALLERS: usize = 32;
/// What the server keeps.
const CONFIG: &str = "[store]\ncarry_above = '1MiB'\n[retention]\n\
    completed = { age = '2s', count = 10_000 }\nevents = { age = '2s', count = 10_000 }\n";

/// What the load achieved in one part of the run.
struct Part {
    jobs: usize,
    acks: Latencies,
}

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    // The quick run only shows that it works.
    let (part, open) = match setup.jobs {
        0..100_000 => (Duration::from_secs(2), Duration::from_secs(4)),
        _ => (Duration::from_secs(20), Duration::from_secs(120)),
    };
    let dir = setup.dir.join("nodes");
    std::fs::create_dir_all(&dir)?;
    let config = dir.join("cortado.toml");
    std::fs::write(&config, CONFIG)?;
    let config = config.to_string_lossy().into_owned();
    let cluster = Cluster::start(&dir, 1, &["--concurrency", "256", "--config", &config]).await?;
    load(&cluster, part / 4).await?; // warms up
    let mut before = load(&cluster, part).await?;
    let mut session = cluster.postgres.session()?;
    session.execute("begin isolation level repeatable read").await?;
    session.execute("create temporary table seen as select count(*) from cortado.chunk").await?;
    load(&cluster, open - part).await?;
    let mut after = load(&cluster, part).await?;
    session.execute("rollback").await?;
    let rate = |one: &Part| one.jobs as f64 / part.as_secs_f64();
    let change = |was: f64, is: f64| (is / was - 1.0) * 100.0;
    table.row(
        format!(
            "jobs submitted and run, before a snapshot and with one open for {} s",
            open.as_secs()
        ),
        format!(
            "{} → {}, {:+.0} % (target at most 20 %)",
            per_second(rate(&before)),
            per_second(rate(&after)),
            change(rate(&before), rate(&after))
        ),
    );
    table.row(
        "· ack",
        format!(
            "{} → {}, p50 {:+.0} %",
            before.acks.words(),
            after.acks.words(),
            change(before.acks.at(0.5), after.acks.at(0.5))
        ),
    );
    cluster.stop().await?;
    Ok(std::fs::remove_dir_all(&dir)?)
}

/// Submits jobs for a time; they run meanwhile.
async fn load(cluster: &Cluster, time: Duration) -> anyhow::Result<Part> {
    let address = &cluster.nodes[0].address;
    let until = Instant::now() + time;
    let mut tasks = Vec::new();
    for _ in 0..CALLERS {
        let mut client = Client::connect(address).await?;
        let request = post(address, r#"{"kind":"echo","payload":{"user":7}}"#);
        tasks.push(tokio::spawn(async move {
            let mut acks = Latencies::default();
            while Instant::now() < until {
                let sent = Instant::now();
                client.ask(&request, 202).await?;
                acks.add(sent.elapsed());
            }
            anyhow::Ok(acks)
        }));
    }
    let mut part = Part { jobs: 0, acks: Latencies::default() };
    for task in tasks {
        part.acks.append(task.await??);
    }
    part.jobs = part.acks.count();
    Ok(part)
}
