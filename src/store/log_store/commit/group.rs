//! One group: commands applied one after the other to the index, their records packed for the journal.
//! Nothing here waits or touches the disk, but for the archive, where a control has to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Notify;

use super::core::Core;
use super::index::{Entry, Index};
use super::meta::Meta;
use crate::job::{
    Change, Event, Fact, IdempotencyKey, Job, JobId, NewJob, QueueChange, QueueName, State, Status,
    Time,
};
use crate::store::StoreError;
use crate::store::log::Mark;
use crate::store::log::WriteBatch;
use crate::store::log_store::archive::keys;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::log_store::journal::codec::{Packer, Raw};
use crate::store::log_store::journal::trail::Trail;

/// A group under way.
pub struct Group<'a> {
    pub core: &'a mut Core,
    pub now: Time,
    pub writes: WriteBatch,
    pub events: Vec<Event>,
    /// Queues with new work, to be woken when the group is durable.
    pub woken: BTreeSet<u32>,
    packer: Packer,
    first_chunk: u64,
    /// Runs that are written at the end of the group, by number.
    open_runs: BTreeMap<u64, OpenRun>,
    /// Whether the archive's table changed and readers need the new one.
    archive_changed: bool,
}

impl<'a> Group<'a> {
    pub fn new(core: &'a mut Core, now: Time) -> Self {
        let packer = Packer::new(now, core.next_seq);
        let first_chunk = core.journal.next_chunk();
        Group {
            core,
            now,
            writes: WriteBatch::default(),
            events: Vec::new(),
            woken: BTreeSet::new(),
            packer,
            first_chunk,
            open_runs: BTreeMap::new(),
            archive_changed: false,
        }
    }

    /// Ends the applying: what is to be written, and what follows when it is.
    pub fn pack(mut self) -> Result<Packed, StoreError> {
        self.write_runs()?;
        let packer = std::mem::replace(&mut self.packer, Packer::new(self.now, 0));
        self.writes.event_bytes = packer.event_bytes;
        let chunks = packer.finish().map_err(StoreError::Corrupt)?;
        for chunk in &chunks {
            self.core.journal.stage(chunk.first_seq, self.now);
        }
        let queues = &self.core.index.sets.queues;
        let wakes = self.woken.iter().map(|queue| queues[*queue as usize].wake.clone());
        Ok(Packed {
            first_chunk: self.first_chunk,
            chunks,
            writes: self.writes,
            events: self.events,
            head: self.core.next_seq - 1,
            wakes: wakes.collect(),
            archive: self.archive_changed.then(|| self.core.archive.clone()),
        })
    }

    /// Whether a chunk belongs to this group, so that it cannot be read yet.
    pub fn is_fresh(&self, chunk: u64) -> bool {
        chunk >= self.first_chunk
    }

    /// Appends a fact; answers with the chunk it stands in.
    pub fn event(&mut self, fact: Fact) -> Result<u64, StoreError> {
        let event = Event { seq: self.core.next_seq, at: self.now, fact };
        let place = self.packer.event(&event).map_err(StoreError::Corrupt)?;
        self.core.next_seq += 1;
        self.events.push(event);
        Ok(self.first_chunk + place as u64)
    }

    /// A queue's fact.
    pub fn queue_event(&mut self, queue: QueueName, change: QueueChange) -> Result<(), StoreError> {
        self.event(Fact::Queue { queue, change }).map(drop)
    }

    /// Adds a new job.
    pub fn insert(&mut self, new: NewJob) -> Result<Job, StoreError> {
        let run_at = new.run_at(self.now);
        let state = if run_at > self.now { State::Scheduled } else { State::Available };
        let status = Status::new(new.spec.retry.max_attempts, state);
        let (labels, group) = self.core.group_of(&new.labels);
        let (id, spec) = (new.id, new.spec);
        let change = Change::Enqueued { spec: spec.clone(), run_at };
        let fact = Fact::Job { id, labels: labels.clone(), state, attempt: 0, change };
        let chunk = self.event(fact)?;
        self.core.journal.hold(chunk);
        let entry = Entry {
            group,
            labels,
            priority: spec.priority,
            status,
            run_at,
            finished: None,
            key: spec.idempotency_key.clone().map(Box::new),
            trail: Trail::new(chunk),
            archiving: false,
        };
        self.core.index.insert(id, entry);
        self.hint(group, state, run_at);
        let job = self.events.last().and_then(Job::from_enqueued);
        job.ok_or_else(|| StoreError::Corrupt("an enqueued event made no job".into()))
    }

    /// The one way a job changes: the event is appended, the entry moves, hints are given. Answers with
    /// the event's number.
    pub fn change(&mut self, id: JobId, status: Status, change: Change) -> Result<u64, StoreError> {
        let core = &mut *self.core;
        let Index { entries, sets, .. } = &mut core.index;
        let Some(entry) = entries.get_mut(&id) else {
            return Err(StoreError::Corrupt(format!("job {id} left the index under a change")));
        };
        sets.take(id, entry);
        // An attempt that is given back keeps its number in the event that ends it.
        let gives_back = matches!(change, Change::Interrupted { .. } | Change::Snoozed { .. });
        let attempt = if gives_back { entry.status.attempt } else { status.attempt };
        entry.status = status;
        entry.run_at = change.run_at(self.now).unwrap_or(entry.run_at);
        let seq = core.next_seq;
        entry.finished = status.state.is_final().then_some((seq, self.now));
        let fact =
            Fact::Job { id, labels: entry.labels.clone(), state: status.state, attempt, change };
        let event = Event { seq, at: self.now, fact };
        let place = self.packer.event(&event).map_err(StoreError::Corrupt)?;
        let chunk = self.first_chunk + place as u64;
        core.next_seq += 1;
        self.events.push(event);
        if entry.trail.add(chunk) {
            core.journal.hold(chunk);
        }
        sets.put(id, entry);
        let (group, run_at) = (entry.group, entry.run_at);
        if status.state != State::Running {
            core.index.unlease(id);
        }
        self.hint(group, status.state, run_at);
        Ok(seq)
    }

    /// Takes a job out of the index and lets its chunks go.
    pub fn forget(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.core.index.remove(id)?;
        self.core.index.unlease(id);
        self.core.journal.release(entry.trail.iter());
        Some(entry)
    }

    /// Removes a finished job that is past its retention.
    pub fn forget_for_good(&mut self, id: JobId) -> Result<(), StoreError> {
        self.packer.pruned(id).map_err(StoreError::Corrupt)?;
        self.forget(id);
        Ok(())
    }

    /// Writes a whole job into the journal again, so that older chunks (or the archive) may let it go.
    pub fn carry(&mut self, job: Job) -> Result<(), StoreError> {
        let id = job.id;
        let place = self.packer.carried(&job).map_err(StoreError::Corrupt)?;
        let chunk = self.first_chunk + place as u64;
        self.core.journal.hold(chunk);
        let expires = self.core.index.leases.get(&id).cloned();
        let entry = match self.forget(id) {
            Some(entry) => Entry { trail: Trail::new(chunk), ..entry },
            None => self.entry_of(&job, chunk),
        };
        self.core.index.insert(id, entry);
        if let Some(held) = expires {
            self.core.index.lease(id, held.token, held.expires);
        }
        Ok(())
    }

    /// An archived job, as this group has left the archive so far, and the run it is in.
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

    /// The archived job that has a key, as this group has left the archive so far.
    pub fn find_archived_key(&self, key: &IdempotencyKey) -> Result<Option<JobId>, StoreError> {
        let mut open = self.open_runs.values().flat_map(|run| &run.jobs);
        if let Some(job) = open.find(|job| job.spec.idempotency_key.as_ref() == Some(key)) {
            return Ok(Some(job.id));
        }
        let Some(id) = keys::owner(&*self.core.shared.log, key)? else { return Ok(None) };
        // The row is older than what this group did to the job's run.
        Ok(self.find_archived(id)?.map(|_| id))
    }

    /// Brings an archived job back into the index; its run is written again without it.
    pub fn unarchive(&mut self, id: JobId) -> Result<(), StoreError> {
        let Some((job, place)) = self.find_archived(id)? else { return Ok(()) };
        self.jobs_of(&place)?.retain(|job| job.id != id);
        keys::remove(&mut self.writes, &job);
        self.carry(job)
    }

    /// The jobs of a run, which is written (again) at the end of the group with what is left of them.
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

    /// Drops a whole run without reading it.
    pub fn drop_run(&mut self, run: &Arc<Run>) {
        self.open_runs.insert(run.no, OpenRun { replaces: run.clone(), jobs: Vec::new() });
    }

    /// Whether this group has touched the archive, so that its counts are not yet right.
    pub fn has_open_runs(&self) -> bool {
        !self.open_runs.is_empty()
    }

    /// Adds a run, whose chunks are among the changes, to the archive.
    pub fn add_run(&mut self, run: Option<Run>) {
        if let Some(run) = run {
            self.core.count_run(&run);
            self.core.archive.add(run);
        }
        self.archive_changed = true;
    }

    /// Writes the runs of this group and removes those that earlier groups have replaced.
    fn write_runs(&mut self) -> Result<(), StoreError> {
        if !self.core.shared.pins.hold(self.now, self.core.shared.limits.max_export) {
            for run in std::mem::take(&mut self.core.retired) {
                run.remove(&mut self.writes).map_err(StoreError::Corrupt)?;
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

    /// The queue's number.
    pub fn queue(&mut self, name: &QueueName) -> u32 {
        self.core.queue(name)
    }

    fn entry_of(&mut self, job: &Job, chunk: u64) -> Entry {
        self.core.entry_of(job, Trail::new(chunk))
    }

    /// Notes whom the job's new place concerns: the queue's dispatcher, or the timer.
    fn hint(&mut self, group: u32, state: State, run_at: Time) {
        match state {
            State::Available => {
                self.woken.insert(self.core.index.queue_of(group));
            }
            State::Scheduled | State::Retryable => self.core.expect(run_at),
            State::Running | State::Completed | State::Discarded | State::Cancelled => {}
        }
    }
}

/// A run that this group writes again with what is left of its jobs.
struct OpenRun {
    replaces: Arc<Run>,
    jobs: Vec<Job>,
}

/// The run that an archived job is in.
pub enum InRun {
    /// One that this group will write.
    Open(u64),
    /// One as it is stored.
    Stored(Arc<Run>),
}

/// A group on its way to the disk.
pub struct Packed {
    pub first_chunk: u64,
    pub chunks: Vec<Raw>,
    /// What else it changes there.
    pub writes: WriteBatch,
    pub events: Vec<Event>,
    /// The number of its last event, or of the last one before it.
    pub head: u64,
    /// Those who have new work when it is durable.
    pub wakes: Vec<Arc<Notify>>,
    /// The archive as it is then, if it changed.
    pub archive: Option<Archive>,
}
