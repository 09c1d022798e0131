//! One group: commands are applied to the index in order, and their records are packed for the journal. Nothing here
//! waits or reads the log, except for archived jobs that a control changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Notify;

use super::core::Core;
use super::entry::{Entry, LeaseKeeper};
use super::index::Index;
use super::meta::Meta;
use crate::access::AccessTable;
use crate::job::{
    Actor, Change, Event, Fact, IdempotencyKey, Job, JobId, NewJob, QueueName, Start, State,
    Status, Time,
};
use crate::store::kinds::DeclaredKinds;
use crate::store::log::Mark;
use crate::store::log::WriteBatch;
use crate::store::log_store::archive::keys;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::log_store::journal::codec::{Packer, RawChunk};
use crate::store::log_store::journal::limits_row;
use crate::store::log_store::journal::nodes::{ChangedRows, NodeNote};
use crate::store::log_store::journal::trail::Trail;
use crate::store::{StoreError, remember_start};

/// A group while its commands are applied.
pub struct CommitGroup<'a> {
    pub core: &'a mut Core,
    pub now: Time,
    /// The reading of the steady clock, by which leases end.
    pub steady: Time,
    pub writes: WriteBatch,
    pub events: Vec<Event>,
    /// In whose name the events are that are appended now.
    by: Option<Actor>,
    /// Queues with new work. Their dispatchers are woken when the group is durable.
    pub woken: BTreeSet<u32>,
    packer: Packer,
    first_chunk: u64,
    /// The runs that are rewritten at the end of the group, by number.
    open_runs: BTreeMap<u64, OpenRun>,
    /// Whether the table of runs changed, so that readers need the new one.
    archive_changed: bool,
    /// Whether the table of users changed, so that readers need the new one.
    pub access_changed: bool,
    /// Whether the table of declared kinds changed.
    pub kinds_changed: bool,
    /// Whether the chunks of retired runs are removed.
    retired_removed: bool,
    /// Whether a schedule changed.
    pub schedules_changed: bool,
    /// The number of the oldest chunk before the group.
    oldest_chunk: u64,
}

impl<'a> CommitGroup<'a> {
    pub fn new(core: &'a mut Core, now: Time) -> Self {
        let packer = Packer::new(now, core.next_seq).written_by(core.shared.node);
        let first_chunk = core.journal.next_chunk();
        let steady = core.shared.clock.steady();
        let oldest_chunk = core.journal.first_chunk();
        CommitGroup {
            core,
            now,
            steady,
            writes: WriteBatch::default(),
            events: Vec::new(),
            by: None,
            woken: BTreeSet::new(),
            packer,
            first_chunk,
            open_runs: BTreeMap::new(),
            archive_changed: false,
            access_changed: false,
            kinds_changed: false,
            retired_removed: false,
            schedules_changed: false,
            oldest_chunk,
        }
    }

    /// Ends the group. Returns what has to be written, and what has to be done once it is durable.
    pub fn pack(mut self) -> Result<PackedGroup, StoreError> {
        self.write_runs()?;
        self.note_rows()?;
        let packer = std::mem::replace(&mut self.packer, Packer::new(self.now, 0));
        self.writes.event_bytes = packer.event_bytes;
        let chunks = packer.finish().map_err(StoreError::Corrupt)?;
        for chunk in &chunks {
            self.core.journal.stage(chunk.first_seq, self.now);
        }
        let queues = &self.core.index.sets.queues;
        let wakes = self.woken.iter().map(|queue| queues[*queue as usize].wake.clone());
        Ok(PackedGroup {
            first_chunk: self.first_chunk,
            chunks,
            writes: self.writes,
            events: self.events,
            head: self.core.next_seq - 1,
            wakes: wakes.collect(),
            archive: self.archive_changed.then(|| self.core.archive.clone()),
            access: self.access_changed.then(|| self.core.access.clone()),
            kinds: self.kinds_changed.then(|| self.core.kinds.clone()),
        })
    }

    /// Notes for other nodes what the group has changed besides events.
    fn note_rows(&mut self) -> Result<(), StoreError> {
        let rows = ChangedRows {
            archive: self.archive_changed || self.retired_removed,
            schedules: self.schedules_changed,
            kinds: self.kinds_changed,
            access: self.access_changed,
        };
        if rows.any() {
            self.note(NodeNote::Rows(rows))?;
        }
        let oldest = self.core.journal.first_chunk();
        if oldest > self.oldest_chunk {
            self.note(NodeNote::Trimmed(oldest))?;
        }
        Ok(())
    }

    /// Tells the other nodes something, if there can be any.
    pub fn note(&mut self, note: NodeNote) -> Result<(), StoreError> {
        if self.core.shared.node.is_some() {
            self.packer.note(note).map_err(StoreError::Corrupt)?;
        }
        Ok(())
    }

    /// Notes which node holds the lease of a job from now on.
    pub fn note_holder(&mut self, job: JobId, keeper: LeaseKeeper) -> Result<(), StoreError> {
        let node = match keeper {
            LeaseKeeper::Here(_) => self.core.shared.node,
            LeaseKeeper::Node(node) => Some(node),
        };
        node.map_or(Ok(()), |node| self.note(NodeNote::Holds { job, node }))
    }

    /// Whether a chunk belongs to this group and so cannot be read yet.
    pub fn is_fresh(&self, chunk: u64) -> bool {
        chunk >= self.first_chunk
    }

    /// Does something whose events are in the name of an actor.
    pub fn in_the_name_of<T>(&mut self, by: Option<Actor>, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.by, by);
        let answer = act(self);
        self.by = before;
        answer
    }

    /// Appends an event. Returns the chunk that holds it.
    pub fn event(&mut self, fact: Fact) -> Result<u64, StoreError> {
        let by = self.by.clone();
        let event = Event { seq: self.core.next_seq, at: self.now, by, fact };
        let place = self.packer.event(&event).map_err(StoreError::Corrupt)?;
        self.core.next_seq += 1;
        self.events.push(event);
        Ok(self.first_chunk + place as u64)
    }

    /// Adds a new job.
    pub fn insert(&mut self, new: NewJob) -> Result<Job, StoreError> {
        let run_at = new.run_at(self.now);
        let is_delayed = matches!(new.start, Start::After(_));
        let state = if run_at > self.now { State::Scheduled } else { State::Available };
        let status = Status::new(new.spec.retry.max_attempts, state);
        let (labels, counters) = self.core.counters_of(&new.labels);
        let (id, spec) = (new.id, new.spec);
        let change = Change::Enqueued { spec: spec.clone(), run_at };
        let fact = Fact::Job { id, labels: labels.clone(), state, attempt: 0, change };
        let chunk = self.in_the_name_of(new.by, |group| group.event(fact))?;
        self.core.journal.hold(chunk);
        let entry = Entry {
            counters,
            labels,
            priority: spec.priority,
            status,
            run_at,
            is_delayed,
            finished: None,
            key: spec.idempotency_key.clone().map(Box::new),
            trail: Trail::new(chunk),
            archiving: false,
        };
        self.core.index.insert(id, entry);
        if is_delayed {
            self.note(NodeNote::Delayed(id))?;
        }
        self.notify_about(counters, state, run_at);
        let job = self.events.last().and_then(Job::from_enqueued);
        job.ok_or_else(|| StoreError::Corrupt("an enqueued event made no job".into()))
    }

    /// Changes a job; every change goes through here. It appends the event, moves the entry in the index, and records
    /// which loop to wake. Returns the number of the event.
    pub fn change(&mut self, id: JobId, status: Status, change: Change) -> Result<u64, StoreError> {
        let core = &mut *self.core;
        core.index.remember(id);
        let Index { entries, sets, .. } = &mut core.index;
        let Some(entry) = entries.get_mut(&id) else {
            return Err(StoreError::Corrupt(format!("job {id} left the index under a change")));
        };
        let before = entry.status.state;
        sets.take(id, entry);
        // When an attempt is not counted, the event that ends it still has its number.
        let gives_back = matches!(change, Change::Interrupted { .. } | Change::Snoozed { .. });
        let attempt = if gives_back { entry.status.attempt } else { status.attempt };
        entry.status = status;
        if let Some(run_at) = change.run_at(self.now) {
            (entry.run_at, entry.is_delayed) = (run_at, change.starts_delay());
        }
        let is_start = matches!(change, Change::Started { .. });
        let seq = core.next_seq;
        entry.finished = status.state.is_final().then_some((seq, self.now));
        let fact =
            Fact::Job { id, labels: entry.labels.clone(), state: status.state, attempt, change };
        let event = Event { seq, at: self.now, by: self.by.clone(), fact };
        let place = self.packer.event(&event).map_err(StoreError::Corrupt)?;
        let chunk = self.first_chunk + place as u64;
        core.next_seq += 1;
        self.events.push(event);
        if entry.trail.add(chunk) {
            core.journal.hold(chunk);
        }
        sets.put(id, entry);
        let (counters, run_at) = (entry.counters, entry.run_at);
        if status.state != State::Running {
            core.index.unlease(id);
        }
        let number = core.index.queue_of(counters);
        if is_start {
            core.index.queue_mut(number).limits.started(self.steady);
        }
        let queue = &core.index.sets.queues[number as usize];
        if before == State::Running
            && status.state != State::Running
            && queue.limits.freed_slot(queue.running)
            && !queue.ready.is_empty()
        {
            self.woken.insert(number);
        }
        self.notify_about(counters, status.state, run_at);
        Ok(seq)
    }

    /// Removes a job from the index and releases its chunks.
    pub fn forget(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.core.index.remove(id)?;
        self.core.index.unlease(id);
        self.core.journal.release(entry.trail.iter());
        Some(entry)
    }

    /// Removes a finished job that is past its retention.
    pub fn prune_job(&mut self, id: JobId) -> Result<(), StoreError> {
        self.packer.pruned(id).map_err(StoreError::Corrupt)?;
        self.forget(id);
        Ok(())
    }

    /// Writes the whole record of a job to the end of the journal, so that older chunks, or the archive, no longer have
    /// to keep it.
    pub fn carry(&mut self, job: Job) -> Result<(), StoreError> {
        let id = job.id;
        let place = self.packer.carried(&job).map_err(StoreError::Corrupt)?;
        let chunk = self.first_chunk + place as u64;
        self.core.journal.hold(chunk);
        let held = self.core.index.leases.get(&id).cloned();
        let entry = match self.forget(id) {
            Some(entry) => Entry { trail: Trail::new(chunk), ..entry },
            None => self.entry_of(&job, chunk),
        };
        self.core.index.insert(id, entry);
        if let Some(held) = held {
            self.note_holder(id, held.keeper)?;
            self.core.index.put_lease(id, held);
        }
        Ok(())
    }

    /// Finds an archived job and its run, with the changes that this group has made to the archive.
    pub fn find_archived(&self, id: JobId) -> Result<Option<(Job, InRun)>, StoreError> {
        for (no, run) in &self.open_runs {
            if let Some(job) = run.jobs.iter().find(|job| job.id == id) {
                return Ok(Some((job.clone(), InRun::Open(*no))));
            }
        }
        let found = self.core.archive.find(&*self.core.shared.log, id)?;
        let found = found.filter(|(_, run)| !self.open_runs.contains_key(&run.no));
        Ok(found.map(|(job, run)| (job, InRun::Stored(run))))
    }

    /// Finds the archived job that holds a key, with the changes that this group has made to the archive.
    pub fn find_archived_key(&self, key: &IdempotencyKey) -> Result<Option<JobId>, StoreError> {
        let mut open = self.open_runs.values().flat_map(|run| &run.jobs);
        if let Some(job) = open.find(|job| job.spec.idempotency_key.as_ref() == Some(key)) {
            return Ok(Some(job.id));
        }
        let Some(id) = keys::owner(&*self.core.shared.log, key)? else { return Ok(None) };
        // This group may have changed the job's run since the row was written.
        Ok(self.find_archived(id)?.map(|_| id))
    }

    /// Brings an archived job back into the index. Its run is rewritten without it.
    pub fn unarchive(&mut self, id: JobId) -> Result<(), StoreError> {
        let Some((job, place)) = self.find_archived(id)? else { return Ok(()) };
        self.jobs_of(&place)?.retain(|job| job.id != id);
        keys::remove(&mut self.writes, &job);
        self.carry(job)
    }

    /// The jobs of a run. The run is rewritten at the end of the group with the remaining ones.
    pub fn jobs_of(&mut self, place: &InRun) -> Result<&mut Vec<Job>, StoreError> {
        let no = match place {
            InRun::Open(no) => *no,
            InRun::Stored(run) if self.open_runs.contains_key(&run.no) => run.no,
            InRun::Stored(run) => {
                let jobs = run.jobs(&*self.core.shared.log)?;
                self.open_runs.insert(run.no, OpenRun { replaces: run.clone(), jobs });
                run.no
            }
        };
        let open = self.open_runs.get_mut(&no).map(|run| &mut run.jobs);
        open.ok_or_else(|| StoreError::Corrupt(format!("run {no} was lost while it was open")))
    }

    /// Removes a whole run without reading it.
    pub fn drop_run(&mut self, run: &Arc<Run>) {
        self.open_runs.insert(run.no, OpenRun { replaces: run.clone(), jobs: Vec::new() });
    }

    /// Whether this group has changed the archive, so that its counts are not yet right.
    pub fn has_open_runs(&self) -> bool {
        !self.open_runs.is_empty()
    }

    /// Records that a process has opened the store, and puts the limits of its configuration in force.
    pub fn record_start(&mut self) -> Result<(), StoreError> {
        remember_start(&mut self.core.meta.starts, self.now);
        self.archive_changed = true; // the description is written with the archive
        let limits = self.core.shared.limits.shared();
        limits_row::put(&mut self.writes, &limits)?;
        self.core.put_in_force(Arc::new(limits));
        Ok(())
    }

    /// Adds a run to the archive. Its chunks are among the writes of the group.
    pub fn add_run(&mut self, run: Option<Run>) {
        if let Some(run) = run {
            self.core.count_run(&run);
            self.core.archive.add(run);
        }
        self.archive_changed = true;
    }

    /// Writes the changed runs of this group, and removes runs that earlier groups have replaced.
    fn write_runs(&mut self) -> Result<(), StoreError> {
        let pinned =
            self.core.shared.pins.prevent_removal(self.steady, self.core.shared.limits.max_export);
        if !pinned && !self.core.retired.is_empty() && !self.core.others_read_snapshots()? {
            for run in std::mem::take(&mut self.core.retired) {
                run.remove(&mut self.writes).map_err(StoreError::Corrupt)?;
                self.retired_removed = true;
            }
        }
        for OpenRun { replaces: run, jobs } in std::mem::take(&mut self.open_runs).into_values() {
            self.writes.mark(Mark::Prune);
            run.retire(&mut self.writes).map_err(StoreError::Corrupt)?;
            self.core.uncount_run(&run);
            self.core.archive.runs.remove(&run.first_seq);
            self.core.retired.push(run);
            let no = self.core.meta.take_run_number();
            let left = Run::build(no, jobs, &mut self.writes).map_err(StoreError::Corrupt)?;
            self.add_run(left);
        }
        if !self.archive_changed {
            return Ok(());
        }
        self.core.archive.generation += 1;
        self.writes.put(Meta::KEY, self.core.meta.encode()?);
        Ok(())
    }

    /// The number of a queue, which is created if it is new.
    pub fn queue(&mut self, name: &QueueName) -> u32 {
        self.core.queue(name)
    }

    fn entry_of(&mut self, job: &Job, chunk: u64) -> Entry {
        self.core.entry_of(job, Trail::new(chunk))
    }

    /// Records which loop a job's new state concerns: the dispatcher of its queue, or the timer loop.
    fn notify_about(&mut self, counters: u32, state: State, run_at: Time) {
        match state {
            State::Available => {
                self.woken.insert(self.core.index.queue_of(counters));
            }
            State::Scheduled | State::Retryable => self.core.expect_tick(run_at),
            State::Running | State::Completed | State::Discarded | State::Cancelled => {}
        }
    }
}

/// A run that this group rewrites with its remaining jobs.
struct OpenRun {
    replaces: Arc<Run>,
    jobs: Vec<Job>,
}

/// The run that an archived job is in.
pub enum InRun {
    /// A run that this group will rewrite.
    Open(u64),
    /// A run that this group has not changed.
    Stored(Arc<Run>),
}

/// A group that is ready to be written.
pub struct PackedGroup {
    pub first_chunk: u64,
    pub chunks: Vec<RawChunk>,
    /// The writes of the group besides its chunks.
    pub writes: WriteBatch,
    pub events: Vec<Event>,
    /// The number of the last event so far, in this group or an earlier one.
    pub head: u64,
    /// The loops to wake when the group is durable.
    pub wakes: Vec<Arc<Notify>>,
    /// The table of runs, if the group changed it.
    pub archive: Option<Archive>,
    /// The table of users, tokens, sessions and share links, if the group changed it.
    pub access: Option<Arc<AccessTable>>,
    /// The table of declared kinds, if the group changed it.
    pub kinds: Option<Arc<DeclaredKinds>>,
}
