//! Moves finished jobs from the journal into the archive: the committer chooses them, this thread reads
//! and folds their records, and a later group writes the run and lets the jobs go from the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::WeakSender;

use super::command::{Change, Command};
use super::core::Core;
use super::group::Group;
use super::shared::Shared;
use crate::job::{Job, JobId};
use crate::store::StoreError;
use crate::store::log::Mark;
use crate::store::log_store::archive::new_run::NewRun;
use crate::store::log_store::archive::runs::MAX_JOBS;
use crate::store::log_store::read::records::Reader;
use crate::supervise::{Failures, Part, pass};

/// Jobs to be archived and the chunks that make the record of each, in the order they finished.
pub type Chosen = Vec<(JobId, Vec<u64>)>;

/// A run to be made: the outages before it, its number, its jobs.
type Order = (u64, u64, Chosen);

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
                let built = read_all(&shared, chosen).and_then(|jobs| NewRun::build(no, jobs));
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
    while ids.len() < MAX_JOBS {
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
