//! Takes a group back. Where the log is shared, another node may append first: then nothing of the group was written, and
//! its changes in memory are undone before it is applied again to what the other node has written.

use std::sync::Arc;

use super::core::Core;
use super::index_undo::IndexUndo;
use super::meta::Meta;
use crate::access::AccessTable;
use crate::job::Time;
use crate::store::SharedLimits;
use crate::store::clock_changes::TickWatch;
use crate::store::kinds::DeclaredKinds;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::schedules::Schedules;

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
    limits_in_force: Arc<SharedLimits>,
    archive: Archive,
    retired: Vec<Arc<Run>>,
    schedules: Schedules,
}

impl Core {
    /// Begins to keep what the next group changes. `tables` says whether it may change the archive or schedules.
    pub fn begin_undo(&mut self, tables: bool) -> CoreUndo {
        self.index.undo = Some(IndexUndo::default());
        self.journal.begin_undo();
        let tables = tables.then(|| {
            Box::new(TablesUndo {
                meta: self.meta.clone(),
                limits_in_force: self.limits_in_force.clone(),
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
        let TablesUndo { meta, limits_in_force, archive, retired, schedules } = *tables;
        self.put_in_force(limits_in_force);
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
