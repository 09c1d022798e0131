//! Submissions to one server, and how soon a worker at another one has the job.

use std::time::Duration;

use tokio::time::sleep;

use super::cluster::{BATCH, Cluster, batch};
use crate::Setup;
use crate::baseline;
use crate::fanout::wire::micros;
use crate::figures::{Latencies, Table, median, per_second};
use crate::http::{Client, job, load, post};
use crate::workers::process::{KINDS, Program, WorkerProcess};

const CALLERS: usize = 64;
/// The pause before each job, after which the servers are idle again.
const PAUSE: Duration = Duration::from_millis(20);

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let dir = setup.dir.join("nodes");
    let (mut single, mut many, mut words, mut baselines) =
        (Vec::new(), Vec::new(), String::new(), Vec::new());
    for _ in 0..setup.passes {
        let cluster = Cluster::start(&dir, 1, &[]).await?;
        let server = &cluster.nodes[0];
        baselines.push(cluster.postgres.pgbench().await?);
        let request = post(&server.address, &job("noop_later", 3_600_000));
        let each = setup.jobs / CALLERS;
        let (rate, mut acks) = load(server, CALLERS, each, &request, 202, 1).await?;
        single.push(rate);
        words = acks.words();
        let request = post(&server.address, &batch("echo", r#","delay_ms":3600000"#));
        let each = setup.jobs * 3 / BATCH / 4;
        many.push(load(server, 4, each, &request, 202, BATCH).await?.0);
        cluster.stop().await?;
        std::fs::remove_dir_all(&dir)?;
    }
    table.row(
        format!("durable enqueue, {CALLERS} connections, one job a request"),
        format!("{} jobs (target 10,000/s)", per_second(median(single))),
    );
    table.row("· ack, last pass", words);
    table.row(
        "durable enqueue, batches of 1,000",
        format!("{} jobs (target 100,000/s)", per_second(median(many))),
    );
    table.row("· pgbench before it", format!("{} inserts", per_second(median(baselines))));
    to_another_node(setup, table).await
}

/// From the submission to one server to the start in a worker that is connected to another one.
async fn to_another_node(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let dir = setup.dir.join("nodes");
    let (_, mut sync) = baseline::append(&setup.dir, 1_000, 1)?;
    std::fs::create_dir_all(&dir)?;
    let config = dir.join("cortado.toml");
    std::fs::write(&config, KINDS)?;
    let config = config.to_string_lossy().into_owned();
    let cluster = Cluster::start(&dir, 2, &["--config", &config]).await?;
    let mut worker = WorkerProcess::start(Program::Rust, "websocket", &cluster.nodes[1]).await?;
    let mut client = Client::connect(&cluster.nodes[0].address).await?;
    let mark = post(&cluster.nodes[0].address, r#"{"kind":"mark"}"#);
    let mut starts = Latencies::default();
    for _ in 0..setup.jobs / 200 {
        sleep(PAUSE).await;
        let sent = micros();
        client.ask(&mark, 202).await?;
        starts.add(worker.since(sent).await?);
    }
    table.row(
        "submission to one server → start in a worker at another, idle",
        format!("{} (target p50 5 ms + one sync)", starts.words()),
    );
    table.row("· one fdatasync of one job", sync.words());
    table.row("· pgbench after it", cluster.postgres.baseline().await?);
    drop(worker);
    cluster.stop().await?;
    Ok(std::fs::remove_dir_all(&dir)?)
}
