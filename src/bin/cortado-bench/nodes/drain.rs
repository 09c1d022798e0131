//! Jobs that wait, run by one server and by several.

use std::time::Instant;

use super::cluster::{BATCH, Cluster};
use crate::Setup;
use crate::figures::{Table, median, per_second, rate};

/// How many attempts a server runs at once where jobs do nothing.
const SLOTS: &str = "2048";
/// How many jobs of 10 ms a server runs at once.
const CAPPED: &str = "10";

/// Jobs that do nothing.
pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    for nodes in [1, 4] {
        let (mut rates, mut costs, mut baselines) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..setup.passes {
            let dir = setup.dir.join("nodes");
            let mut cluster = Cluster::start(&dir, nodes, &["--concurrency", SLOTS]).await?;
            cluster.set_queue("pause").await?;
            cluster.submit("echo", "", setup.jobs).await?;
            baselines.push(cluster.postgres.pgbench().await?);
            let (begun, cpu) = (Instant::now(), cluster.postgres.cpu()?);
            cluster.set_queue("resume").await?;
            cluster.completed(setup.jobs).await?;
            rates.push(rate(setup.jobs, begun.elapsed()));
            let cpu = cluster.postgres.cpu()?.saturating_sub(cpu);
            costs.push(cpu.as_secs_f64() * 1e6 / setup.jobs as f64);
            cluster.stop().await?;
            std::fs::remove_dir_all(&dir)?;
        }
        table.row(
            format!("drain of {} no-op jobs with 200 B, {}", setup.jobs, servers(nodes)),
            format!("{} jobs (target 100,000/s)", per_second(median(rates))),
        );
        table.row(
            "· PostgreSQL's processor time",
            format!("{:.1} µs per job (target 5 µs)", median(costs)),
        );
        table.row("· pgbench before it", format!("{} inserts", per_second(median(baselines))));
    }
    Ok(())
}

/// Jobs that take 10 ms, on servers that run a few at once.
pub async fn real_work(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let mut one = f64::NAN;
    for nodes in [1, 4] {
        let jobs = (setup.jobs / 20).max(BATCH) * nodes;
        let mut rates = Vec::new();
        for _ in 0..setup.passes {
            let dir = setup.dir.join("nodes");
            let mut cluster = Cluster::start(&dir, nodes, &["--concurrency", CAPPED]).await?;
            cluster.set_queue("pause").await?;
            cluster.submit("sleep", "", jobs).await?;
            let begun = Instant::now();
            cluster.set_queue("resume").await?;
            cluster.completed(jobs).await?;
            rates.push(rate(jobs, begun.elapsed()));
            cluster.stop().await?;
            std::fs::remove_dir_all(&dir)?;
        }
        let rate = median(rates);
        let compared = match nodes {
            1 => String::new(),
            _ => format!(", {:.1} times one server (target 3.5)", rate / one),
        };
        one = if nodes == 1 { rate } else { one };
        table.row(
            format!("jobs of 10 ms, {CAPPED} at once on each of {}", servers(nodes)),
            format!("{} jobs{compared}", per_second(rate)),
        );
    }
    Ok(())
}

/// A number of servers in words.
pub fn servers(nodes: usize) -> String {
    if nodes == 1 { "1 server".to_owned() } else { format!("{nodes} servers") }
}
