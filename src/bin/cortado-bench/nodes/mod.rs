//! Several servers on one PostgreSQL: how fast they accept and run jobs, alone and together. PostgreSQL, the servers and the
//! load run on this machine, with `fsync` and `synchronous_commit` on. Beside the figures stands what pgbench inserts at
//! the same time with one row per transaction.

mod cluster;
mod contention;
mod drain;
mod enqueue;
mod postgres;
mod snapshot;
mod start;

use clap::ValueEnum;

use super::Setup;
use super::figures::Table;

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Jobs that do nothing, run by one server and by four.
    Drain,
    /// Submissions to one server, and how soon a worker at another one has the job.
    Enqueue,
    /// One to eight servers that all submit at once.
    Contention,
    /// Jobs of 10 ms on one server and on four.
    Work,
    /// The start of a server with 1,000,000 waiting jobs.
    Start,
    /// A snapshot that is held open for two minutes.
    Snapshot,
}

/// Every figure that docs/benchmarks.md gives for several servers.
pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    for part in Part::value_variants() {
        if !setup.parts.is_empty() && !setup.parts.contains(part) {
            continue;
        }
        match part {
            Part::Drain => drain::measure(setup, table).await?,
            Part::Enqueue => enqueue::measure(setup, table).await?,
            Part::Contention => contention::measure(setup, table).await?,
            Part::Work => drain::real_work(setup, table).await?,
            Part::Start => start::measure(setup, table).await?,
            Part::Snapshot => snapshot::measure(setup, table).await?,
        }
    }
    Ok(())
}
