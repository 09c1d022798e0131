//! Servers on one database.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::postgres::Postgres;
use crate::http::{Client, Server, act, get, post, state};
use crate::store;

/// Jobs in one request.
pub const BATCH: usize = 1_000;
/// How long one run may take.
const BOUND: Duration = Duration::from_secs(300);

/// A database of its own, and the servers on it.
pub struct Cluster {
    pub postgres: Postgres,
    pub nodes: Vec<Server>,
    pub control: Client,
}

impl Cluster {
    /// Starts a database and this many servers, each with these arguments.
    pub async fn start(dir: &Path, nodes: usize, args: &[&str]) -> anyhow::Result<Cluster> {
        std::fs::create_dir_all(dir)?;
        let postgres = Postgres::start().await?;
        let mut servers = Vec::new();
        for number in 0..nodes {
            servers.push(node(&postgres, dir, number, args).await?);
        }
        let control = Client::connect(&servers[0].address).await?;
        Ok(Cluster { postgres, nodes: servers, control })
    }

    /// Pauses or resumes the queue `default`.
    pub async fn set_queue(&mut self, verb: &str) -> anyhow::Result<()> {
        let path = format!("/api/v1/queues/default/{verb}");
        self.control.ask(&act(&self.nodes[0].address, &path), 204).await?;
        Ok(())
    }

    /// Submits jobs of a kind with 200 bytes of payload; `more` are further members of each.
    pub async fn submit(&mut self, kind: &str, more: &str, jobs: usize) -> anyhow::Result<()> {
        for _ in 0..jobs / BATCH {
            let batch = batch(kind, more);
            self.control.ask(&post(&self.nodes[0].address, &batch), 202).await?;
        }
        Ok(())
    }

    /// Waits until so many jobs are completed.
    pub async fn completed(&mut self, jobs: usize) -> anyhow::Result<()> {
        let (stats, begun) = (get(&self.nodes[0].address, "/api/v1/stats"), Instant::now());
        loop {
            let completed = state(&self.control.ask(&stats, 200).await?, "completed")?;
            if completed >= jobs as u64 {
                return Ok(());
            }
            if begun.elapsed() > BOUND {
                bail!("only {completed} jobs after {:?}", begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops everything.
    pub async fn stop(self) -> anyhow::Result<()> {
        for node in self.nodes {
            node.stop().await?;
        }
        self.postgres.stop().await
    }
}

/// Starts one more server.
pub async fn node(
    postgres: &Postgres,
    dir: &Path,
    number: usize,
    args: &[&str],
) -> anyhow::Result<Server> {
    let (url, name) = (postgres.url(), format!("node-{number}"));
    let own = ["--store", &url, "--node", &name];
    Server::start_with(&dir.join(&name), &[&own, args].concat()).await
}

/// The body of a request with [`BATCH`] jobs.
pub fn batch(kind: &str, more: &str) -> String {
    let job = || {
        let payload = if kind == "sleep" { r#"{"ms":10}"#.to_owned() } else { store::payload(200) };
        format!(r#"{{"kind":"{kind}","payload":{payload}{more}}}"#)
    };
    format!("[{}]", (0..BATCH).map(|_| job()).collect::<Vec<_>>().join(","))
}
