//! All subscribers reconnect after a restart with an old cursor, while jobs are submitted.

use std::time::Instant;

use super::Plan;
use super::peers::{Clients, subscribers};
use super::submit::{Sort, Submitter};
use crate::Setup;
use crate::figures::{Latencies, Table, cpu_seconds, per_second};

/// Queues that the events are of; a client reads one of them, and one that all read.
const QUEUES: usize = 100;

pub async fn measure(setup: &Setup, plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let dir = setup.dir.join("returning");
    let server = subscribers(&dir, &[]).await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    let from = submitter.cursor().await?;
    for _ in 0..plan.missed / 1_000 {
        let job = |n| format!(r#"{{"kind":"echo","queue":"q{}","delay_ms":3600000}}"#, n % QUEUES);
        let jobs: Vec<String> = (0..1_000).map(job).collect();
        submitter.submit(&format!("[{}]", jobs.join(","))).await?;
    }
    submitter.submit(r#"{"kind":"echo","queue":"all","delay_ms":3600000}"#).await?;
    let head = submitter.head().await?;
    server.stop().await?;

    let n = plan.sockets;
    let path = format!("/api/v1/ws?after={from}&queue=q{{n%100}},all");
    let Return { took, processor, acks } = come_back(&dir, n, &path, head).await?;
    let share = plan.missed / QUEUES;
    let name = format!("{n} clients back after a restart, {} events behind", plan.missed);
    table.row(
        format!("{name}, each of one queue of {QUEUES}: until all have caught up (target 20 s)"),
        format!(
            "{took:.1} s with the handshakes; {} deliveries; {processor:.1} s of processor",
            per_second((n * share) as f64 / took)
        ),
    );
    table.row("· submissions meanwhile (target p99 50 ms)", acks);

    let n = n / 10;
    let path = format!("/api/v1/ws?after={from}");
    let Return { took, processor, acks } = come_back(&dir, n, &path, head).await?;
    table.row(
        format!("{n} clients back, each with all {} events", plan.missed),
        format!(
            "{took:.1} s; {} deliveries; {processor:.1} s of processor",
            per_second((n * plan.missed) as f64 / took)
        ),
    );
    table.row("· submissions meanwhile", acks);
    Ok(())
}

/// What it took until all subscribers had caught up.
struct Return {
    /// In seconds.
    took: f64,
    /// The processor time of the server meanwhile, in seconds. Other programs on the machine hardly change it.
    processor: f64,
    /// The latency of submissions meanwhile, as text.
    acks: String,
}

/// Opens the sockets at a fresh start and waits until each has seen the event `head`.
async fn come_back(
    dir: &std::path::Path,
    n: usize,
    path: &str,
    head: u64,
) -> anyhow::Result<Return> {
    let server = subscribers(dir, &[]).await?;
    let mut clients = Clients::start().await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    let (begun, processor_before) = (Instant::now(), cpu_seconds(server.pid));
    let with = [
        ("address", server.address.as_str().into()),
        ("path", path.into()),
        ("count", n.into()),
        ("quiet", true.into()),
    ];
    clients.begin("open", &with).await?;
    clients.begin("reach", &[("seq", head.into()), ("seconds", 300.0.into())]).await?;
    let mut acks = Latencies::default();
    let caught_up = async move {
        clients.done().await?;
        let reply = clients.done().await?;
        anyhow::Ok((reply, begun.elapsed().as_secs_f64()))
    };
    tokio::pin!(caught_up);
    let (reply, took) = loop {
        tokio::select! {
            done = &mut caught_up => break done?,
            more = submitter.steady(Sort::Waiting, 100.0, 0.1) => acks.append(more?),
        }
    };
    anyhow::ensure!(
        reply.number("reached") == n as f64,
        "{} of {n} caught up",
        reply.number("reached")
    );
    let processor = cpu_seconds(server.pid) - processor_before;
    server.stop().await?;
    Ok(Return { took, processor, acks: acks.words() })
}
