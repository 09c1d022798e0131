//! How soon a worker on an idle server hears of a job, and of a request to cancel what it runs.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::sleep;

use super::process::{Program, WorkerProcess, server};
use crate::Setup;
use crate::baseline;
use crate::fanout::wire::micros;
use crate::figures::{Latencies, Table};
use crate::http::{Client, act, post};

/// The pause before each job, after which the server is idle again.
const PAUSE: Duration = Duration::from_millis(3);

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let (_, mut sync) = baseline::append(&setup.dir, 1_000, 1)?;
    for protocol in ["websocket", "http"] {
        let server = server(&setup.dir.join(format!("latency-{protocol}"))).await?;
        let mut worker = WorkerProcess::start(Program::Rust, protocol, &server).await?;
        let mut client = Client::connect(&server.address).await?;
        let mark = post(&server.address, r#"{"kind":"mark"}"#);
        let mut starts = Latencies::default();
        for _ in 0..setup.jobs / 100 {
            sleep(PAUSE).await;
            let sent = micros();
            client.ask(&mark, 202).await?;
            starts.add(worker.since(sent).await?);
        }
        table.row(
            format!("submission → start in a Rust worker over {protocol}, idle"),
            format!("{} (targets 1 ms and 5 ms + one sync)", starts.words()),
        );
        if protocol == "websocket" {
            let mut cancels = Latencies::default();
            for _ in 0..setup.jobs / 200 {
                let job = client.ask(&post(&server.address, r#"{"kind":"hold"}"#), 202).await?;
                let job: Value = serde_json::from_str(&job)?;
                let id = job["id"].as_str().context("a job without id")?;
                worker.line().await?; // it runs
                sleep(PAUSE).await;
                let sent = micros();
                let path = format!("/api/v1/jobs/{id}/cancel");
                client.ask(&act(&server.address, &path), 200).await?;
                cancels.add(worker.since(sent).await?);
            }
            table.row(
                "request to cancel → handler in a Rust worker notified, over websocket",
                format!("{} (target p99 10 ms)", cancels.words()),
            );
        }
        drop(worker);
        server.stop().await?;
    }
    table.row("· one fdatasync of one job", sync.words());
    Ok(())
}
