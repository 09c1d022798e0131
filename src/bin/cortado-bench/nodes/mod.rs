//! Several servers on one PostgreSQL: how fast they accept and run jobs, alone and together. PostgreSQL, the servers and the
//! load run on this machine, with `fsync` and `synchronous_commit` on. Beside the figures stands what pgbench inserts at
//! the same time with one row per transaction.

mod cluster;
mod contention;
mod drain;
mod enqueue;
mod postgres;
mod snapshot;

use super::Setup;
use super::figures::Table;

/// Every figure that docs/benchmarks.md gives for several servers.
pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    drain::measure(setup, table).await?;
    enqueue::measure(setup, table).await?;
    contention::measure(setup, table).await?;
    drain::real_work(setup, table).await?;
    snapshot::measure(setup, table).await
}
