//! Servers that all submit at once, so that each append has competitors.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::drain::servers;
use crate::Setup;
use crate::figures::{Table, median, per_second};
use crate::http::{Client, job, post};

/// Connections to all servers together. With few of them a server among several has few requests at a time, so its groups
/// are small.
const CALLERS: [usize; 2] = [64, 512];
/// How long the servers compete.
const TIME: Duration = Duration::from_secs(8);

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    for callers in CALLERS {
        let mut one = f64::NAN;
        for nodes in [1, 2, 4, 8] {
            let (mut rates, mut shares) = (Vec::new(), Vec::new());
            for _ in 0..setup.passes {
                let dir = setup.dir.join("nodes");
                let cluster = Cluster::start(&dir, nodes, &[]).await?;
                let counts = compete(&cluster, callers).await?;
                let total: usize = counts.iter().sum();
                rates.push(total as f64 / TIME.as_secs_f64());
                let least = counts.iter().min().copied().unwrap_or_default();
                shares.push(least as f64 * nodes as f64 / total as f64);
                cluster.stop().await?;
                std::fs::remove_dir_all(&dir)?;
            }
            let rate = median(rates);
            one = if nodes == 1 { rate } else { one };
            table.row(
                format!("{callers} callers that submit single jobs to {}", servers(nodes)),
                format!(
                    "{} jobs, {:.0} % of one server; the least share is {:.2} of a fair one (target 0.5)",
                    per_second(rate),
                    rate / one * 100.0,
                    median(shares)
                ),
            );
        }
    }
    Ok(())
}

/// Submits to all servers, and returns how many jobs each has accepted.
async fn compete(cluster: &Cluster, callers: usize) -> anyhow::Result<Vec<usize>> {
    let nodes = cluster.nodes.len();
    let mut tasks = Vec::new();
    let until = Instant::now() + TIME;
    for caller in 0..callers {
        let number = caller % nodes;
        let address = cluster.nodes[number].address.clone();
        let mut client = Client::connect(&address).await?;
        let request = post(&address, &job("noop_later", 3_600_000));
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                client.ask(&request, 202).await?;
                count += 1;
            }
            anyhow::Ok((number, count))
        }));
    }
    let mut counts = vec![0; nodes];
    for task in tasks {
        let (number, count) = task.await??;
        counts[number] += count;
    }
    Ok(counts)
}
