//! Opening a store: everything is read, and a first group gives back the jobs that nobody runs any more.

use std::sync::Arc;
use std::time::Instant;

use super::command::{CommandBatch, Mutation};
use super::core::Core;
use super::epoch;
use super::group::CommitGroup;
use super::index::Index;
use super::recover;
use super::shared_group;
use super::tuning::Tuning;
use super::writer::PendingGroup;
use crate::clock::Clock;
use crate::job::{Interruption, JobId, State};
use crate::store::log::{Log, Mark};
use crate::store::log_store::journal::nodes::ChangedRows;
use crate::store::{StoreError, StoreLimits, remember_start};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// To run its jobs: those that the previous process was running are rescued, and the start is recorded.
    ToRunJobs,
    /// To change what has nothing to do with jobs, by a command that ends at once: jobs and the list of starts stay as they
    /// are.
    ToMaintain,
}

/// Opens a log and builds everything the committer owns.
pub fn open(
    log: impl FnOnce() -> Result<Box<dyn Log>, StoreError>,
    limits: StoreLimits,
    clock: Arc<dyn Clock>,
    tuning: Tuning,
    opening: Opening,
) -> Result<Core, StoreError> {
    let begun = Instant::now();
    let mut core = epoch::read(log()?, &limits, &clock, tuning)?;
    core.correct_times(core.shared.clock.now());
    let lost = match opening {
        Opening::ToRunJobs if core.shared.node.is_some() => {
            join(&mut core)?;
            0
        }
        Opening::ToRunJobs => {
            let lost = rescue_running(&mut core)?;
            remember_start(&mut core.meta.starts, core.shared.clock.now());
            recover::write_meta(&*core.shared.log, &core.meta)?;
            lost
        }
        Opening::ToMaintain => {
            if core.shared.node.is_some() {
                read_as_of_now(&mut core)?;
            }
            0
        }
    };
    core.schedules.reconsider(core.shared.clock.now());
    core.publish_starts();
    if let Some(started_at) = core.meta.starts.last() {
        core.shared.started_at.get_or_init(|| *started_at);
    }
    core.shared.log.record_head(core.shared.head())?;
    tracing::info!(
        data_dir = %core.shared.log.location(),
        jobs = core.index.entries.len(),
        archived = core.archive.runs.values().flat_map(|run| &run.counts).map(|c| c.3).sum::<u64>(),
        chunks = core.journal.len(),
        rescued = lost,
        duration_ms = begun.elapsed().as_millis() as u64,
        "store opened"
    );
    Ok(core)
}

/// Joins the nodes that work on a shared log: reads it to its end, and gives back what nobody runs any more.
fn join(core: &mut Core) -> Result<(), StoreError> {
    read_as_of_now(core)?;
    let Some(own) = core.shared.node else { return Ok(()) };
    let (nodes, mutations) = (Some(core.shared.heartbeat(own)?), vec![Mutation::RecordStart]);
    let batch = CommandBatch { nodes, mutations, ..CommandBatch::default() };
    shared_group::run(core, own, batch, false).map(drop)
}

/// Reads a shared log to its end.
fn read_as_of_now(core: &mut Core) -> Result<(), StoreError> {
    core.stale_rows = ChangedRows::ALL; // they were not read at the same moment as the journal
    core.catch_up()
}

/// Rescues every job that the previous process was running, because it has ended. Those of remote workers keep their
/// leases. Returns their number.
fn rescue_running(core: &mut Core) -> Result<usize, StoreError> {
    let Index { entries, leases, .. } = &core.index;
    let running = entries.iter().filter(|(_, entry)| entry.status.state == State::Running);
    let ids: Vec<JobId> =
        running.map(|(id, _)| *id).filter(|id| !leases.contains_key(id)).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let now = core.shared.clock.now();
    let mut group = CommitGroup::new(core, now);
    group.writes.mark(Mark::Rescue);
    for id in &ids {
        group.rescue(*id, Interruption::Crash)?;
    }
    let packed = group.pack()?;
    // There are no followers yet. Later ones read these events from the log.
    core.write(PendingGroup::without_callers(packed))?;
    Ok(ids.len())
}
