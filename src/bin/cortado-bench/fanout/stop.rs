//! The stop with all subscribers connected, and with peers that vanished without closing.

use std::time::Instant;

use super::Plan;
use super::peers::{Clients, subscribers};
use crate::Setup;
use crate::figures::Table;

pub async fn measure(setup: &Setup, plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let n = plan.sockets;
    let mut server = subscribers(&setup.dir.join("stop"), &[]).await?;
    let mut clients = Clients::start().await?;
    clients.open(&server.address, "/api/v1/ws", n).await?;
    clients.begin("end", &[("seconds", 10.0.into())]).await?;
    let begun = Instant::now();
    server.ask_to_stop()?;
    let reply = clients.done().await?;
    server.gone().await?;
    table.row(
        format!("stop with {n} WebSockets (targets 100 %, none, 0.5 s)"),
        format!(
            "{:.1} % close frames, {} resets, all closed after {:.2} s, gone after {:.2} s",
            reply.number("close_frames") / n as f64 * 100.0,
            reply.number("resets"),
            reply.seconds("took_us"),
            begun.elapsed().as_secs_f64()
        ),
    );

    let dead = (n / 100).max(5);
    let mut server = subscribers(&setup.dir.join("dead"), &[]).await?;
    let mut clients = Clients::start().await?;
    clients.open(&server.address, "/api/v1/ws", n / 10).await?;
    clients.command("stall", &[("count", dead.into())]).await?;
    let begun = Instant::now();
    server.ask_to_stop()?;
    server.gone().await?;
    table.row(
        format!("· with {dead} dead peers among {} (target 2.5 s)", n / 10),
        format!("{:.2} s", begun.elapsed().as_secs_f64()),
    );
    Ok(())
}
