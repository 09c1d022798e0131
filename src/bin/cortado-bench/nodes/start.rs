//! The start of a server on a log with many waiting jobs.

use std::time::Instant;

use anyhow::ensure;

use super::cluster::{Cluster, node};
use crate::Setup;
use crate::figures::{Table, median};
use crate::http::{Client, get, state};

/// How many jobs wait.
const JOBS: usize = 1_000_000;

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let dir = setup.dir.join("nodes");
    let mut seconds = Vec::new();
    for _ in 0..setup.passes {
        let mut cluster = Cluster::start(&dir, 1, &[]).await?;
        cluster.submit("echo", r#","delay_ms":3600000"#, JOBS).await?;
        let begun = Instant::now();
        let second = node(&cluster.postgres, &dir, 1, &[]).await?;
        let stats = get(&second.address, "/api/v1/stats");
        let answer = Client::connect(&second.address).await?.ask(&stats, 200).await?;
        seconds.push(begun.elapsed().as_secs_f64());
        ensure!(
            state(&answer, "scheduled")? == JOBS as u64,
            "the new server does not know all jobs"
        );
        second.stop().await?;
        cluster.stop().await?;
        std::fs::remove_dir_all(&dir)?;
    }
    table.row(
        "start of a server on a log with 1,000,000 waiting jobs, until it answers",
        format!("{:.2} s (target 10 s)", median(seconds)),
    );
    Ok(())
}
