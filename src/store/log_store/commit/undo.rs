//! Takes a group back. Where the log is shared, another node may append first: then nothing of the group was written, and
//! its changes in memory are undone before it is applied again to what the other node has written.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState as FastHash;

use super::core::Core;
use super::index::{Entry, HeldLease, Index, LeasesByJob, Queue};
use super::meta::Meta;
use crate::access::AccessTable;
use crate::job::{JobId, QueueSettings, Time};
use crate::store::claim_limits::ClaimLimits;
use crate::store::clock_changes::TickWatch;
use crate::store::kinds::DeclaredKinds;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::schedules::Schedules;

/// What the jobs and queues that a group has changed were before it.
#[derive(Default)]
pub struct IndexUndo {
    jobs: HashMap<JobId, JobBefore, FastHash>,
    queues: HashMap<u32, (QueueSettings, ClaimLimits), FastHash>,
}

/// A job before the group. One that did not exist has neither.
struct JobBefore {
    entry: Option<Entry>,
    lease: Option<HeldLease>,
}

impl IndexUndo {
    /// Keeps what a job is, unless the group has changed it before.
    pub fn remember_job(
        &mut self,
        id: JobId,
        entries: &BTreeMap<JobId, Entry>,
        leases: &LeasesByJob,
    ) {
        if let Slot::Vacant(slot) = self.jobs.entry(id) {
            let (entry, lease) = (entries.get(&id).cloned(), leases.get(&id).cloned());
            slot.insert(JobBefore { entry, lease });
        }
    }

    /// Keeps the settings and recent starts of a queue, unless the group has changed them before.
    pub fn remember_queue(&mut self, number: u32, queue: &Queue) {
        let before = || (queue.settings, queue.limits.clone());
        self.queues.entry(number).or_insert_with(before);
    }
}

/// What everything else was before a group.
pub struct CoreUndo {
    next_seq: u64,
    next_tick: Option<Time>,
    watch: TickWatch,
    kinds: Arc<DeclaredKinds>,
    access: Arc<AccessTable>,
    /// The tables that few groups change.
    tables: Option<Box<TablesUndo>>,
}

/// The tables that few groups change.
struct TablesUndo {
    meta: Meta,
    archive: Archive,
    retired: Vec<Arc<Run>>,
    schedules: Schedules,
}

impl Index {
    /// Takes back what was changed since the undo began.
    fn roll_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        // All changed jobs leave first, because a new one may have the key of one that the group has removed.
        for id in undo.jobs.keys() {
            self.unlease(*id);
            self.remove(*id);
        }
        for (id, JobBefore { entry, lease }) in undo.jobs {
            if let Some(entry) = entry {
                self.insert(id, entry);
            }
            if let Some(lease) = lease {
                self.put_lease(id, lease);
            }
        }
        for (number, (settings, limits)) in undo.queues {
            let queue = &mut self.sets.queues[number as usize];
            (queue.settings, queue.limits) = (settings, limits);
        }
    }
}

impl Core {
    /// Begins to keep what the next group changes. `tables` says whether it may change the archive or schedules.
    pub fn begin_undo(&mut self, tables: bool) -> CoreUndo {
        self.index.undo = Some(IndexUndo::default());
        self.journal.begin_undo();
        let tables = tables.then(|| {
            Box::new(TablesUndo {
                meta: self.meta.clone(),
                archive: self.archive.clone(),
                retired: self.retired.clone(),
                schedules: self.schedules.clone(),
            })
        });
        CoreUndo {
            next_seq: self.next_seq,
            next_tick: self.next_tick,
            watch: self.watch,
            kinds: self.kinds.clone(),
            access: self.access.clone(),
            tables,
        }
    }

    /// Forgets what the group has changed, because it was written.
    pub fn end_undo(&mut self) {
        self.index.undo = None;
        self.journal.end_undo();
    }

    /// Takes back everything that the group has changed in memory.
    pub fn roll_back(&mut self, undo: CoreUndo) {
        let CoreUndo { next_seq, next_tick, watch, kinds, access, tables } = undo;
        self.index.roll_back();
        self.journal.roll_back();
        (self.next_seq, self.next_tick, self.watch) = (next_seq, next_tick, watch);
        (self.kinds, self.access) = (kinds, access);
        let Some(tables) = tables else { return };
        let TablesUndo { meta, archive, retired, schedules } = *tables;
        self.replace_archive(archive);
        (self.meta, self.retired, self.schedules) = (meta, retired, schedules);
    }

    /// Changes to another table of runs, and counts their jobs instead.
    pub fn replace_archive(&mut self, archive: Archive) {
        let before = std::mem::replace(&mut self.archive, archive.clone());
        let is_in = |table: &Archive, run: &Run| {
            table.runs.get(&run.first_seq).is_some_and(|other| other.no == run.no)
        };
        for run in before.runs.values().filter(|run| !is_in(&archive, run)) {
            self.uncount_run(run);
        }
        for run in archive.runs.values().filter(|run| !is_in(&before, run)) {
            self.count_run(run);
        }
    }
}
