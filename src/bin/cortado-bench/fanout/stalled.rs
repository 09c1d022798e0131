//! Most sockets stop reading: what it costs, and whether the others notice.

use super::Plan;
use super::peers::{Clients, subscribers};
use super::submit::{Sort, Submitter};
use crate::Setup;
use crate::figures::{Table, mib, rss, tcp_memory};

pub async fn measure(setup: &Setup, plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let n = plan.sockets;
    let server = subscribers(&setup.dir.join("stalled"), &[]).await?;
    let mut clients = Clients::start().await?;
    clients.open(&server.address, "/api/v1/ws", n).await?;
    let mut submitter = Submitter::connect(&server.address).await?;
    submitter.steady(Sort::Waiting, 10.0, plan.seconds / 5.0).await?;
    let (memory, kernel) = (rss(server.pid), tcp_memory());
    let stalled = n * 4 / 5;
    clients.command("stall", &[("count", stalled.into())]).await?;
    // Long tags fill the buffers of the stalled sockets well within the ten seconds before the server closes them.
    let more: String = (0..30).map(|n| format!(",\"{n:02}{}\"", "x".repeat(90))).collect();
    clients.begin("watch", &[("seconds", (plan.seconds / 2.0).into())]).await?;
    submitter.padded(Sort::Waiting, &more, 30.0, plan.seconds / 2.0).await?;
    clients.done().await?;
    let (grown, kernel) = (
        rss(server.pid).saturating_sub(memory),
        tcp_memory().saturating_sub(kernel) as f64 / 1_048_576.0 / (2 * stalled) as f64,
    );
    clients.command("count", &[]).await?;
    clients.begin("watch", &[("seconds", (plan.seconds / 2.5 + 0.3).into())]).await?;
    submitter.steady(Sort::Waiting, 10.0, plan.seconds / 2.5).await?;
    let reply = clients.done().await?;
    let head = submitter.head().await?;
    let all = clients.command("reach", &[("seq", head.into()), ("seconds", 5.0.into())]).await?;
    let lost = match all.number("slowest") as u64 == head {
        true => "nothing lost",
        false => "EVENTS ARE MISSING",
    };
    table.row(
        format!("{stalled} of {n} take nothing: the others (target p99 40 ms)"),
        format!("{}, {lost}", reply.latency()),
    );
    table.row(
        "· memory of the server (target +20 MiB); kernel memory (target 0.2 MiB a socket)",
        format!("+{}; {kernel:.2} MiB at each end of a stalled connection", mib(grown)),
    );
    clients.command("drop", &[]).await?;
    server.stop().await
}
