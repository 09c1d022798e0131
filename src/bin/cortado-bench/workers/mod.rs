//! Workers in processes of their own: how fast they drain a server, how soon they hear of a job and of its cancellation,
//! and what a connected worker costs while it waits.

pub mod program;

mod drain;
mod idle;
mod latency;
pub mod process;

use super::figures::Table;
use super::{Setup, waiters};

/// Every figure that docs/benchmarks.md gives for workers.
pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    drain::measure(setup, table).await?;
    latency::measure(setup, table).await?;
    idle::measure(setup, table).await?;
    // Claims that wait should cost what other requests that wait do.
    waiters::measure(setup, table).await
}
