//! How much a server delivers, how soon, and what it costs: memory, processor, and the thread that commits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::peers::{Clients, Raw, Reply, subscribers};
use super::submit::{Sort, Submitter};
use super::{Plan, each};
use crate::Setup;
use crate::figures::{Table, cpu_seconds, mib, per_second, rss};
use crate::http::Server;

/// A run with a steady stream of events.
struct Run {
    /// Deliveries a second.
    rate: f64,
    /// Bytes of one event on the wire.
    event_bytes: usize,
    /// Cores that the server used.
    cores: f64,
    reply: Reply,
}

pub async fn measure(
    setup: &Setup,
    plan: &Plan,
    raw: Raw,
    table: &mut Table,
) -> anyhow::Result<()> {
    let dir = in_memory(setup);
    let measured = in_dir(&dir, plan, raw, table).await;
    std::fs::remove_dir_all(&dir)?;
    measured
}

async fn in_dir(dir: &Path, plan: &Plan, mut raw: Raw, table: &mut Table) -> anyhow::Result<()> {
    let n = plan.sockets;
    let server = subscribers(&dir.join("all"), &[]).await?;
    let mut clients = Clients::start().await?;
    // What the first few subscribers need anyway is allocated before anything is compared.
    clients.open(&server.address, "/api/v1/ws", n.min(200)).await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    submitter.steady(Sort::Running, 100.0, 1.0).await?;
    clients.command("drop", &[]).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = rss(server.pid);
    let opened = clients.open(&server.address, "/api/v1/ws", n).await?;
    table.row(format!("opening {n} WebSockets"), format!("{:.2} s", opened.seconds("took_us")));
    table.row(
        format!("memory of {n} idle subscribers (target 1 KiB each)"),
        each(more_than(before, &server), n),
    );

    single_events(plan, (&mut submitter, &mut clients), &mut raw, table).await?;

    let [low, busy, most] = LOADS.map(|events| events * n as f64);
    let run = steady(plan, low, &server, (&mut submitter, &mut clients)).await?;
    let publish = submitter.stats().await?;
    let size = (100.0_f64 / 10.0, run.event_bytes);
    let (wrote, base) = raw.write((size.0 as usize, size.1), 100_000, plan.seconds).await?;
    let name = format!("{} deliveries offered", per_second(low));
    table.row(
        format!("{name}: processor (target 0.9 cores), p99 (target 250 ms)"),
        format!(
            "{:.2} cores, {}; {} delivered",
            run.cores,
            run.reply.latency(),
            per_second(run.rate)
        ),
    );
    let cores = wrote.number("cpu_s") / wrote.seconds("took_us");
    table.row("· raw, a frame every 100 ms", format!("{cores:.2} cores, {}", base.latency()));
    let publish = &publish["store"];
    let us = |name: &str| publish[name].as_f64().unwrap_or(f64::NAN) / 1e3;
    table.row(
        format!(
            "the committer's processor time to publish a group to {n} subscribers (target p99 2 µs)"
        ),
        format!("p50 {:.1} µs, p99 {:.1} µs", us("publish_p50_ns"), us("publish_p99_ns")),
    );

    let run = steady(plan, busy, &server, (&mut submitter, &mut clients)).await?;
    let (_, base) = raw.write((50, run.event_bytes), 0, plan.seconds).await?;
    let base_rate = base.number("events") / plan.seconds;
    table.row(
        format!("{} deliveries offered (targets 4.6 M/s, 0.7 × raw)", per_second(busy)),
        format!(
            "{} delivered = {:.2} × raw; {}; {:.2} cores; {} bytes an event",
            per_second(run.rate),
            run.rate / base_rate,
            run.reply.latency(),
            run.cores,
            run.event_bytes
        ),
    );
    table.row("· raw, as fast as it goes, 50 events a frame", per_second(base_rate));
    let run = steady(plan, most, &server, (&mut submitter, &mut clients)).await?;
    table.row(
        format!("as fast as it goes: {} deliveries offered (target 0.7 × raw)", per_second(most)),
        format!(
            "{} delivered = {:.2} × raw; {:.2} cores",
            per_second(run.rate),
            run.rate / base_rate,
            run.cores
        ),
    );
    settle_memory(&mut submitter).await?;
    let with_all = more_than(before, &server);
    clients.command("drop", &[]).await?;
    drop(raw);
    server.stop().await?;
    let with_one = with_one_subscriber(&dir.join("one"), plan).await?;
    table.row(
        "· memory after that load and 3 s of 20 jobs/s, beyond that of one subscriber (target 1 KiB each)",
        format!("{}; {} with one", each(with_all.saturating_sub(with_one), n), mib(with_one)),
    );
    few(&dir.join("few"), plan, table).await
}

/// How much the memory of a server has grown, in bytes.
fn more_than(before: u64, server: &Server) -> u64 {
    rss(server.pid).saturating_sub(before)
}

/// The memory that the same jobs take with hardly any subscribers.
async fn with_one_subscriber(dir: &Path, plan: &Plan) -> anyhow::Result<u64> {
    let server = subscribers(dir, &[]).await?;
    let mut clients = Clients::start().await?;
    clients.open(&server.address, "/api/v1/ws", 1).await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    submitter.steady(Sort::Running, 100.0, 1.0).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = rss(server.pid);
    submitter.singles(plan.singles, Duration::from_millis(10)).await?;
    for events in LOADS {
        let offered = events * plan.sockets as f64;
        steady(plan, offered, &server, (&mut submitter, &mut clients)).await?;
    }
    settle_memory(&mut submitter).await?;
    let more = more_than(before, &server);
    server.stop().await?;
    Ok(more)
}

/// Runs a few jobs, because an allocator returns memory only while it is used.
async fn settle_memory(submitter: &mut Submitter) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    submitter.steady(Sort::Running, 20.0, 3.0).await.map(|_| ())
}

/// Sends single events to all subscribers.
async fn single_events(
    plan: &Plan,
    (submitter, clients): (&mut Submitter, &mut Clients),
    raw: &mut Raw,
    table: &mut Table,
) -> anyhow::Result<()> {
    let pause = Duration::from_millis(400);
    let seconds = pause.as_secs_f64() * plan.singles as f64;
    clients.command("count", &[("seq", submitter.head().await?.into())]).await?;
    clients.begin("watch", &[("seconds", (seconds + 1.0).into())]).await?;
    submitter.singles(plan.singles, pause).await?;
    let reply = clients.done().await?;
    let bytes = (reply.number("bytes") / reply.number("events")) as usize;
    let every = pause.as_micros() as u64;
    let (_, base) = raw.write((1, bytes.saturating_sub(FRAME)), every, seconds).await?;
    table.row(
        format!("one event to {}: p99 ≤ 1.2 × raw", plan.sockets),
        format!(
            "{} = {:.2} and {:.2} × raw",
            reply.latency(),
            reply.ms("p50_us") / base.ms("p50_us"),
            reply.ms("p99_us") / base.ms("p99_us")
        ),
    );
    table.row("· raw", base.latency());
    Ok(())
}

/// A tenth of the sockets and a hundred events a second: how soon does each arrive?
async fn few(dir: &Path, plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let n = (plan.sockets / 10).max(10);
    let server = subscribers(dir, &[]).await?;
    let mut clients = Clients::start().await?;
    clients.open(&server.address, "/api/v1/ws", n).await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    clients.command("count", &[("seq", submitter.head().await?.into())]).await?;
    clients.begin("watch", &[("seconds", (plan.seconds + 0.5).into())]).await?;
    submitter.steady(Sort::Waiting, 100.0, plan.seconds).await?;
    let reply = clients.done().await?;
    server.stop().await?;
    let bytes = (reply.number("bytes") / reply.number("events")) as usize;
    let mut raw = Raw::with(n).await?;
    let (_, base) = raw.write((1, bytes.saturating_sub(FRAME)), 10_000, plan.seconds).await?;
    table.row(
        format!("{n} subscribers × 100 events/s: p50 ≤ 1.3 × raw, p99 ≤ 1.5 × raw"),
        format!(
            "{} = {:.2} and {:.2} × raw",
            reply.latency(),
            reply.ms("p50_us") / base.ms("p50_us"),
            reply.ms("p99_us") / base.ms("p99_us")
        ),
    );
    table.row("· raw", base.latency());
    Ok(())
}

/// Events per second of the three runs: a rate that must cost little, a high one, and one that is too high.
const LOADS: [f64; 3] = [100.0, 500.0, 1_000.0];
/// The bytes of a frame without its events.
const FRAME: usize = 60;

/// Jobs that run, so many that this many deliveries a second are offered.
async fn steady(
    plan: &Plan,
    offered: f64,
    server: &Server,
    (submitter, clients): (&mut Submitter, &mut Clients),
) -> anyhow::Result<Run> {
    let jobs = offered / plan.sockets as f64 / Sort::Running.events() as f64;
    submitter.steady(Sort::Running, jobs, plan.seconds / 5.0).await?; // until the rate is steady
    clients.command("count", &[("seq", submitter.head().await?.into())]).await?;
    let cpu = cpu_seconds(server.pid);
    clients.begin("watch", &[("seconds", plan.seconds.into())]).await?;
    submitter.steady(Sort::Running, jobs, plan.seconds).await?;
    let reply = clients.done().await?;
    let cores = (cpu_seconds(server.pid) - cpu) / plan.seconds;
    let events = reply.number("events");
    Ok(Run {
        rate: events / plan.seconds,
        event_bytes: (reply.number("bytes") / events) as usize,
        cores,
        reply,
    })
}

/// A directory that is not on a disk where there is such a thing: these figures are about the stream.
fn in_memory(setup: &Setup) -> PathBuf {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => memory.join(format!("cortado-bench-{}", std::process::id())),
        false => setup.dir.join("deliveries"),
    }
}
