//! Moves finished jobs from the journal into the archive: the committer chooses them, this thread reads
//! and folds their records, and a later group writes the run and lets the jobs go from the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::WeakSender;

use super::committer::{Change, Command};
use super::group::{Core, Group};
use super::shared::{Shared, unique_key};
use crate::job::{Job, JobId};
use crate::store::StoreError;
use crate::store::log::Mark;
use crate::store::log::WriteBatch;
use crate::store::log_store::archive::runs::Run;
use crate::store::log_store::read::records::Reader;
use crate::supervise::{Failures, Part, pass};

/// Jobs in a run at most: writing one again takes about ten milliseconds.
pub const RUN: usize = 4_096;

/// Jobs to be archived and the chunks that make the record of each, in the order they finished.
pub type Chosen = Vec<(JobId, Vec<u64>)>;

/// A run to be made: the outages before it, its number, its jobs.
type Order = (u64, u64, Chosen);

/// A run ready to be written, with the rows of its jobs' keys.
pub struct Built {
    run: Option<Run>,
    writes: WriteBatch,
    /// Each job, and the event that ended it.
    jobs: Vec<(JobId, u64)>,
}

/// The committer's end of the thread. One run is under way at a time.
pub struct Archiver {
    give: Sender<Order>,
}

impl Archiver {
    /// Starts the thread; it ends when the committer drops this.
    pub fn start(
        shared: Arc<Shared>,
        commands: WeakSender<Command>,
        failures: &Failures,
    ) -> std::io::Result<(Archiver, JoinHandle<()>)> {
        let (give, work) = channel::<Order>();
        let thread = failures.thread(Part::Archiver, move || {
            for (outages, no, chosen) in work {
                pass(Part::Archiver);
                let built = read_all(&shared, chosen).and_then(|jobs| build(no, jobs));
                let Some(commands) = commands.upgrade() else { return };
                let command = Command::Change(Change::Archive(outages, built));
                if commands.blocking_send(command).is_err() {
                    return;
                }
            }
        })?;
        Ok((Archiver { give }, thread))
    }

    /// Whether enough jobs have finished for a run and none is under way.
    pub fn is_due(&self, core: &Core) -> bool {
        let finished = core.index.sets.finished.values().map(|state| state.len());
        !core.archiving && finished.sum::<usize>() >= core.shared.tuning.run_from
    }

    /// Hands out the next run. Every group is on the disk.
    pub fn feed(&self, core: &mut Core) {
        let chosen = choose(core);
        let outages = core.shared.outages.load(Ordering::Acquire);
        let no = core.meta.take_run_number();
        core.archiving = self.give.send((outages, no, chosen)).is_ok();
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

fn build(no: u64, jobs: Vec<Job>) -> Result<Built, StoreError> {
    let mut writes = WriteBatch::default();
    for job in &jobs {
        if let Some(key) = &job.spec.idempotency_key {
            writes.put(unique_key(key), job.id.as_u128().to_be_bytes().into());
        }
    }
    let ended = jobs.iter().map(|job| (job.id, job.seq)).collect();
    let run = Run::build(no, jobs, &mut writes).map_err(StoreError::Corrupt)?;
    Ok(Built { run, writes, jobs: ended })
}

impl Group<'_> {
    /// Writes a run and lets its jobs go from the index.
    pub fn archive(&mut self, built: Built) {
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

/// Removes the row of an archived job's key.
pub fn forget_key(job: &Job, writes: &mut WriteBatch) {
    if let Some(key) = &job.spec.idempotency_key {
        writes.remove(unique_key(key), 1);
    }
}
