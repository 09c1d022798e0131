//! Moves finished jobs from the journal into the archive: the committer chooses them, this thread reads
//! and folds their records, and a later group writes the run and lets the jobs go from the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::WeakSender;

use super::committer::{Change, Command};
use super::disk::Ops;
use super::faults::Point;
use super::group::{Core, Group};
use super::read::Reader;
use super::shared::{Shared, unique_key};
use crate::job::{Job, JobId};
use crate::store::StoreError;

/// Jobs in a run at most: writing one again takes about ten milliseconds.
pub(super) const RUN: usize = 4_096;

/// Jobs to be archived and the chunks that make the record of each, in the order they finished.
pub(super) type Chosen = Vec<(JobId, Vec<u64>)>;

/// The committer's end of the thread. One run is under way at a time.
pub(super) struct Archiver {
    give: Sender<(u64, Chosen)>,
}

impl Archiver {
    /// Starts the thread; it ends when the committer drops this.
    pub fn start(
        shared: Arc<Shared>,
        commands: WeakSender<Command>,
    ) -> std::io::Result<(Archiver, JoinHandle<()>)> {
        let (give, work) = channel::<(u64, Chosen)>();
        let thread =
            std::thread::Builder::new().name("cortado-archive".into()).spawn(move || {
                for (outages, chosen) in work {
                    let jobs = read_all(&shared, chosen);
                    let Some(commands) = commands.upgrade() else { return };
                    let command = Command::Change(Change::Archive(outages, jobs));
                    if commands.blocking_send(command).is_err() {
                        return;
                    }
                }
            })?;
        Ok((Archiver { give }, thread))
    }

    /// Hands out the next run when enough jobs have finished and none is under way.
    pub fn feed(&self, core: &mut Core) {
        if core.archiving {
            return;
        }
        let finished: usize = core.index.sets.finished.values().map(|state| state.len()).sum();
        if finished < core.shared.tuning.run_from {
            return;
        }
        let chosen = choose(core);
        let outages = core.shared.outages.load(Ordering::Acquire);
        core.archiving = self.give.send((outages, chosen)).is_ok();
    }
}

/// The jobs that finished first, marked so that controls wait for the run.
fn choose(core: &mut Core) -> Chosen {
    let mut states: Vec<_> =
        core.index.sets.finished.values().map(|state| state.iter().peekable()).collect();
    let mut ids = Vec::new();
    while ids.len() < RUN {
        let earliest = states
            .iter_mut()
            .filter_map(|state| state.peek().map(|(seq, _)| **seq).map(|seq| (seq, state)))
            .min_by_key(|(seq, _)| *seq);
        let Some((_, id)) = earliest.and_then(|(_, state)| state.next()) else { break };
        ids.push(*id);
    }
    let mut chosen = Chosen::with_capacity(ids.len());
    for id in ids {
        if let Some(entry) = core.index.entries.get_mut(&id) {
            entry.archiving = true;
            chosen.push((id, entry.trail.iter().collect()));
        }
    }
    chosen
}

fn read_all(shared: &Shared, chosen: Chosen) -> Result<Vec<Job>, StoreError> {
    let mut reader = Reader::new(shared);
    let whole = |(id, trail): (JobId, Vec<u64>)| {
        let missing = || StoreError::Corrupt(format!("a journal chunk of job {id} is missing"));
        reader.fold(id, &trail)?.ok_or_else(missing)
    };
    chosen.into_iter().map(whole).collect()
}

impl Group<'_> {
    /// Writes a run and lets its jobs go from the index.
    pub fn archive(&mut self, jobs: Vec<Job>) {
        self.core.archiving = false;
        self.ops.mark(Point::Run);
        for job in &jobs {
            self.forget(job.id);
            self.core.meta.archived = self.core.meta.archived.max(job.seq);
            if let Some(key) = &job.spec.idempotency_key {
                self.ops.put(&unique_key(key), &job.id.as_u128().to_be_bytes());
            }
        }
        self.add_run(jobs);
    }
}

/// Removes the row of an archived job's key.
pub(super) fn forget_key(job: &Job, ops: &mut Ops) {
    if let Some(key) = &job.spec.idempotency_key {
        ops.remove(&unique_key(key), 1);
    }
}
