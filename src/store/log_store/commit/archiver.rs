//! Moves finished jobs from the journal into the archive: the committer selects them, a thread reads and folds their
//! records, and a later group writes the run and removes the jobs from the index.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakSender;

use super::command::{Command, Mutation};
use super::core::Core;
use super::group::CommitGroup;
use super::shared::Shared;
use crate::job::{Job, JobId};
use crate::store::StoreError;
use crate::store::log::Mark;
use crate::store::log_store::archive::new_run::NewRun;
use crate::store::log_store::archive::runs::MAX_JOBS;
use crate::store::log_store::read::records::fold_each;
use crate::supervise::{Part, PartFailures, pass};

/// How long a node waits for the runs of each node that comes before it.
const RUN_PATIENCE: Duration = Duration::from_secs(1);

/// Jobs to archive in the order in which they finished, each with the chunks that hold its record.
pub type Selection = Vec<(JobId, Vec<u64>)>;

/// A request for a run.
struct RunRequest {
    /// The version of the archive when its jobs were selected. They are not archived in a later one.
    version: u64,
    /// The number of the run.
    no: u64,
    jobs: Selection,
}

/// The handle through which the committer requests runs. It has one request open at a time.
pub struct Archiver {
    requests: Sender<RunRequest>,
}

impl Archiver {
    /// Starts the thread; it ends when the committer drops this.
    pub fn start(
        shared: Arc<Shared>,
        commands: WeakSender<Command>,
        failures: &PartFailures,
    ) -> std::io::Result<(Archiver, JoinHandle<()>)> {
        let (requests, work) = channel::<RunRequest>();
        let thread = failures.thread(Part::Archiver, move || {
            for RunRequest { version, no, jobs } in work {
                pass(Part::Archiver);
                let built = read_all(&shared, &jobs).and_then(|jobs| NewRun::build(no, jobs));
                let Some(commands) = commands.upgrade() else { return };
                let command = Command::Mutate(Mutation::Archive(version, built));
                if commands.blocking_send(command).is_err() {
                    return;
                }
            }
        })?;
        Ok((Archiver { requests }, thread))
    }

    /// Whether enough jobs have finished for a run and no run is being built. All nodes would build the same run, of which one
    /// would be written, so the first one builds it, and the others only when none was written for a while.
    pub fn is_due(&self, core: &mut Core) -> bool {
        let finished = core.index.sets.finished.values().map(|state| state.len());
        if finished.sum::<usize>() < core.shared.tuning.run_from {
            core.waits_for_run_since = None;
            return false;
        }
        let since = *core.waits_for_run_since.get_or_insert_with(Instant::now);
        !core.archiving && since.elapsed() >= RUN_PATIENCE * core.nodes_before()
    }

    /// Requests the next run. Every earlier group must be durable, because the thread reads the jobs from the log.
    pub fn request_run(&self, core: &mut Core) {
        let jobs = select(core);
        let version = core.archive_version();
        let no = core.meta.take_run_number();
        core.archiving = self.requests.send(RunRequest { version, no, jobs }).is_ok();
    }
}

/// The jobs that finished first. They are marked, so that controls wait for the run.
fn select(core: &mut Core) -> Selection {
    let mut states: Vec<_> =
        core.index.sets.finished.values().map(|state| state.iter().peekable()).collect();
    let mut ids = Vec::new();
    while ids.len() < MAX_JOBS {
        let earliest = states
            .iter_mut()
            .filter_map(|state| state.peek().map(|(seq, _)| **seq).map(|seq| (seq, state)))
            .min_by_key(|(seq, _)| *seq);
        let Some((_, id)) = earliest.and_then(|(_, state)| state.next()) else { break };
        ids.push(*id);
    }
    let mut selection = Selection::with_capacity(ids.len());
    for id in ids {
        if let Some(entry) = core.index.entries.get_mut(&id) {
            entry.archiving = true;
            selection.push((id, entry.trail.iter().collect()));
        }
    }
    selection
}

fn read_all(shared: &Shared, selection: &[(JobId, Vec<u64>)]) -> Result<Vec<Job>, StoreError> {
    let trails = selection.iter().map(|(id, trail)| (*id, trail.as_slice()));
    let jobs = fold_each(shared, trails)?.into_iter().zip(selection);
    let whole = jobs.map(|(job, (id, _))| {
        job.ok_or_else(|| StoreError::Corrupt(format!("a journal chunk of job {id} is missing")))
    });
    whole.collect()
}

impl NewRun {
    /// Whether its jobs are still as they were when they were selected. Another node may have changed one meanwhile.
    pub fn is_current(&self, core: &Core) -> bool {
        self.jobs.iter().all(|(id, seq)| {
            let finished = core.index.entries.get(id).and_then(|entry| entry.finished);
            finished.is_some_and(|(end, _)| end == *seq)
        })
    }
}

impl CommitGroup<'_> {
    /// Writes a run and removes its jobs from the index.
    pub fn archive(&mut self, built: NewRun) {
        self.core.archiving = false;
        self.writes.mark(Mark::Run);
        for (id, seq) in built.jobs {
            self.forget(id);
            self.core.meta.archived = self.core.meta.archived.max(seq);
        }
        self.writes.append(built.writes);
        self.add_run(built.run);
    }
}
