//! Ten thousand subscribers: what they cost and how soon events reach them, each figure compared with a plain loop
//! that writes prebuilt frames to as many sockets.

pub mod clients;
pub mod raw;

mod deliveries;
pub mod peers;
mod returning;
mod socket;
mod stalled;
mod stop;
mod submit;
pub mod wire;

use std::time::Duration;

use peers::{Clients, Raw, subscribers};
use submit::Submitter;

use super::Setup;
use super::figures::{Table, mib};

/// How long the runs last and how large they are.
pub struct Plan {
    /// The number of subscribers.
    pub sockets: usize,
    /// Of one run.
    pub seconds: f64,
    /// Events in the log that returning clients have missed.
    pub missed: usize,
    /// Single events that are timed.
    pub singles: usize,
}

impl Plan {
    fn of(setup: &Setup) -> Plan {
        match setup.sockets {
            small @ 0..1_000 => Plan { sockets: small, seconds: 0.5, missed: 2_000, singles: 3 },
            sockets => Plan { sockets, seconds: 10.0, missed: 100_000, singles: 60 },
        }
    }
}

/// The part of [`measure`] in which all subscribers come back after a restart.
pub async fn measure_returning(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    returning::measure(setup, &Plan::of(setup), table).await
}

/// Every figure that docs/benchmarks.md gives for subscribers.
pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let plan = Plan::of(setup);
    let raw = Raw::start(&plan).await?;
    deliveries::measure(setup, &plan, raw, table).await?;
    idle(setup, &plan, table).await?;
    stalled::measure(setup, &plan, table).await?;
    stop::measure(setup, &plan, table).await?;
    returning::measure(setup, &plan, table).await
}

/// The time from a commit to its arrival at an otherwise idle subscriber, on a real disk.
async fn idle(setup: &Setup, plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let server = subscribers(&setup.dir.join("idle"), &[]).await?;
    let mut clients = Clients::start().await?;
    clients.open(&server.address, "/api/v1/ws", 1).await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    clients.command("count", &[]).await?;
    let mut acks = submitter.singles(plan.singles * 10, Duration::from_millis(5)).await?;
    let reply = clients.command("watch", &[("seconds", 0.2.into())]).await?;
    table.row(
        "one job on an idle server: submission → event in hand",
        format!("p50 {:.2} ms, p99 {:.2} ms", reply.ms("p50_us"), reply.ms("p99_us")),
    );
    table.row("· submission → its answer, the sync included", acks.words());
    table.row(
        "· commit → event in hand, p50, as the difference (target 1 ms)",
        format!("{:.2} ms", reply.ms("p50_us") - acks.at(0.5)),
    );
    server.stop().await
}

/// The memory that a server takes for its subscribers, as text: the cost of each of them.
fn each(bytes: u64, sockets: usize) -> String {
    let kib = bytes as f64 / 1_024.0 / sockets as f64;
    format!("{kib:.2} KiB each ({} in all)", mib(bytes))
}
