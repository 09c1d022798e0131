//! Reads a store: the headers of the archive and the whole journal are read, and the index is built from them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::Core;
use super::entry::{Entry, HeldLease, JobPlace, LeaseKeeper};
use super::future_waits::FutureWaits;
use super::index::Index;
use super::limits_in_force;
use super::meta::{Meta, StoredMeta};
use super::shared::Shared;
use super::tuning::Tuning;
use super::turns::Turns;
use crate::access::{AccessRecord, AccessTable, SigningKey};
use crate::clock::Clock;
use crate::job::{
    Change, DeclaredKind, Event, Fact, JobId, LeaseHolder, QueueName, Schedule, State, Status, Time,
};
use crate::store::clock_changes::TickWatch;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};
use crate::store::log_store::archive::runs::{self, Archive};
use crate::store::log_store::journal::access_rows;
use crate::store::log_store::journal::chunks;
use crate::store::log_store::journal::chunks::Journal;
use crate::store::log_store::journal::codec::{Chunk, Record};
use crate::store::log_store::journal::nodes::{ChangedRows, NodeId, NodeNote};
use crate::store::log_store::journal::row_lengths::RowLengths;
use crate::store::log_store::journal::trail::Trail;
use crate::store::log_store::journal::{named_rows, queue_rows};
use crate::store::log_store::read::records::status_after;
use crate::store::schedules::Schedules;
use crate::store::{DeclaredKinds, StoreError, StoreLimits};

/// How many chunks are read between two progress messages.
const CHUNKS_PER_PROGRESS_LINE: u64 = 50_000;
/// The length of the lease of an attempt of this process whose end is not known, in case nobody extends it.
pub const UNKNOWN_LEASE: Duration = Duration::from_secs(30);

/// The rows of a new, empty store.
pub fn empty_store() -> Result<WriteBatch, StoreError> {
    let mut writes = meta_row(&Meta::new())?;
    access_rows::put(&mut writes, &mut RowLengths::default(), &new_signing_key()?)?;
    Ok(writes)
}

/// The row of a new key that signs share links.
pub fn new_signing_key() -> Result<AccessRecord, StoreError> {
    let key = SigningKey::generate().map_err(|why| StoreError::Unavailable(why.to_string()))?;
    Ok(AccessRecord::SigningKey(key))
}

/// Reads everything again after an outage. No job is rescued, because this process is still running them; see
/// `outage` for what follows.
pub fn rebuild(shared: &Arc<Shared>) -> Result<Core, StoreError> {
    let stored = read_meta(&*shared.log)?;
    let published = shared.head();
    // The start has converted a store of an older format.
    if stored.meta.epoch != published.epoch || stored.is_older() {
        return Err(corrupt(&*shared.log, "meta", "it belongs to another store"));
    }
    let mut core = read_all(shared.clone(), stored, published.seq)?;
    // The process that goes on knows when its leases end.
    core.index.unlease_all();
    core.correct_times(shared.clock.now());
    core.schedules.reconsider(shared.clock.now());
    Ok(core)
}

/// Reads everything into memory and changes nothing.
pub fn load(
    log: Box<dyn Log>,
    limits: StoreLimits,
    clock: Arc<dyn Clock>,
    tuning: Tuning,
) -> Result<Core, StoreError> {
    let stored = read_meta(&*log)?;
    let least = log.recorded_head(stored.meta.epoch)?.unwrap_or(0);
    let shared = Arc::new(Shared::new(log, clock, limits, tuning, stored.meta.epoch));
    read_all(shared, stored, least)
}

/// Writes a store of an older format in the newest one.
pub fn convert(core: &Core) -> Result<(), StoreError> {
    let log = &*core.shared.log;
    log.apply_alone(converted(core)?)?;
    log.sync()?;
    let format = formats::STORE.newest;
    tracing::info!(data_dir = %log.location(), format, "store converted to a new format");
    Ok(())
}

/// A store of an older format in the newest one: its description, and the rows of queues, which format 1 did not have. It
/// is one batch, so a process that ends while it is applied leaves the store in one format or the other.
pub fn converted(core: &Core) -> Result<WriteBatch, StoreError> {
    let mut writes = meta_row(&core.meta)?;
    for (name, settings) in core.index.queue_settings() {
        queue_rows::put(&mut writes, &name, &settings)?;
    }
    Ok(writes)
}

/// Writes the key that signs share links. A store that is imported or of an older format has none.
pub fn add_signing_key(core: &mut Core) -> Result<(), StoreError> {
    let record = new_signing_key()?;
    let mut writes = WriteBatch::default();
    access_rows::put(&mut writes, &mut core.rows, &record)?;
    core.shared.log.apply_alone(writes)?;
    core.shared.log.sync()?;
    Arc::make_mut(&mut core.access).put(record);
    core.shared.access.send_replace(core.access.clone());
    Ok(())
}

/// Reads archive, journal and rows. The log must reach event `least`.
pub fn read_all(shared: Arc<Shared>, stored: StoredMeta, least: u64) -> Result<Core, StoreError> {
    let StoredMeta { meta, format: _, older_settings } = stored;
    let mut core = Core {
        writer: None,
        turns: Turns::default(),
        stale_rows: ChangedRows::default(),
        index: Index::default(),
        journal: Journal::new(0, shared.chunk_index.clone()),
        archive: Archive::default(),
        limits_in_force: limits_in_force::read(&shared)?,
        meta,
        next_seq: 1,
        next_tick: None,
        retired: Vec::new(),
        archiving: false,
        nodes_at_work: BTreeSet::new(),
        waits_for_run_since: None,
        foreign_archives: 0,
        unsynced_claims: Vec::new(),
        refused: Vec::new(),
        from_inbox: BTreeSet::new(),
        watch: TickWatch::default(),
        future_waits: FutureWaits::at(shared.clock.now()),
        schedules: Schedules::default(),
        kinds: Arc::default(),
        access: Arc::new(AccessTable::default()),
        rows: RowLengths::default(),
        shared: shared.clone(),
    };
    // The limits of queues come first: the journal tells which recent starts count for them.
    let settings = older_settings.map_or_else(|| queue_rows::read(&*shared.log), Ok)?;
    for name in core.limits_in_force.clone().queues.keys() {
        core.queue(name);
    }
    for (name, settings) in settings {
        let queue = core.queue(&name) as usize;
        core.index.sets.queues[queue].set(settings);
    }
    read_archive(&mut core)?;
    replay(&mut core)?;
    read_rows(&mut core)?;
    let head = core.next_seq - 1;
    if head < least {
        let why = format!("the log ends at event {head}, but event {least} was durable");
        return Err(Unreadable::from(why).at(shared.log.name()));
    }
    shared.head.store(head, Ordering::Release);
    Ok(core)
}

/// Reads the rows of schedules, declared kinds, users, tokens, sessions and share links.
fn read_rows(core: &mut Core) -> Result<(), StoreError> {
    read_schedules(core)?;
    read_kinds(core)?;
    read_access(core)
}

/// Reads the rows of schedules.
pub fn read_schedules(core: &mut Core) -> Result<(), StoreError> {
    let schedules = named_rows::read::<Schedule>(&*core.shared.log, &mut core.rows)?;
    let by_name = schedules.into_iter().map(|schedule| (schedule.name.clone(), schedule));
    core.schedules.0 = by_name.collect();
    Ok(())
}

/// Reads the rows of declared kinds.
pub fn read_kinds(core: &mut Core) -> Result<(), StoreError> {
    let mut kinds = DeclaredKinds::default();
    for kind in named_rows::read::<DeclaredKind>(&*core.shared.log, &mut core.rows)? {
        kinds.put(Arc::new(kind));
    }
    core.kinds = Arc::new(kinds);
    core.shared.kinds.send_replace(core.kinds.clone());
    Ok(())
}

/// Reads the rows of users, tokens, sessions and share links.
pub fn read_access(core: &mut Core) -> Result<(), StoreError> {
    core.access = Arc::new(access_rows::read(&*core.shared.log, &mut core.rows)?);
    core.shared.access.send_replace(core.access.clone());
    Ok(())
}

/// Reads the description of the store. A log without one holds no store: its creation was interrupted, or a backup,
/// import or restore of an older version was.
pub fn read_meta(log: &dyn Log) -> Result<StoredMeta, StoreError> {
    let missing =
        "there is no description of the store: an import, a restore or a backup was interrupted";
    let bytes = log.get(Meta::KEY)?.ok_or_else(|| corrupt(log, "meta", missing))?;
    Meta::decode(&bytes).map_err(|why| corrupt(log, "meta", why))
}

fn corrupt(log: &dyn Log, what: &str, why: impl Into<Unreadable>) -> StoreError {
    why.into().at(format!("{what} in {}", log.location()))
}

pub fn write_meta(log: &dyn Log, meta: &Meta) -> Result<(), StoreError> {
    log.apply_alone(meta_row(meta)?)?;
    log.sync()
}

pub fn meta_row(meta: &Meta) -> Result<WriteBatch, StoreError> {
    let mut writes = WriteBatch::default();
    writes.put(Meta::KEY, meta.encode()?);
    Ok(writes)
}

fn read_archive(core: &mut Core) -> Result<(), StoreError> {
    let (archive, retired) = runs::read_table(&*core.shared.log)?;
    core.replace_archive(archive);
    core.retired = retired;
    let archive = core.archive.clone();
    *core.shared.archive.write().unwrap_or_else(std::sync::PoisonError::into_inner) = archive;
    Ok(())
}

/// Reads the archive as another node has left it: its jobs leave the index.
pub fn read_archive_again(core: &mut Core) -> Result<(), StoreError> {
    let log = &*core.shared.log;
    core.meta = read_meta(log)?.meta;
    let (mut archive, retired) = runs::read_changed_table(log, core.archive.clone())?;
    archive.generation += 1;
    core.replace_archive(archive);
    core.retired = retired;
    forget_archived(core);
    Ok(())
}

/// Folds the journal into the index. Returns the number of chunks.
fn replay(core: &mut Core) -> Result<u64, StoreError> {
    let mut chunks = 0;
    let shared = core.shared.clone();
    let log = &*shared.log;
    // References to a chunk are counted before the journal has an entry for it; the entry then takes them over.
    for row in log.scan(b"j") {
        let (key, value) = row?;
        let (number, chunk) = decode_chunk(log, &key, &value)?;
        if chunks == 0 {
            core.journal = Journal::new(number, shared.chunk_index.clone());
            core.next_seq = chunk.first_seq;
            shared.oldest.store(chunk.first_seq.saturating_sub(1), Ordering::Release);
        }
        core.future_waits.note_chunk(chunk.at);
        fold_chunk(core, number, chunk, value.len(), |core, record| {
            replay_record(core, number, &record).map(drop)
        })?;
        chunks += 1;
        if chunks % CHUNKS_PER_PROGRESS_LINE == 0 {
            tracing::info!(chunks, jobs = core.index.entries.len(), "reading the journal");
        }
    }
    forget_archived(core);
    core.journal.correct_times(shared.clock.now());
    let keep = core.limits_in_force.retention.events;
    let expired = core.journal.expired_up_to(core.next_seq - 1, shared.clock.now(), keep);
    shared.oldest.fetch_max(expired, Ordering::AcqRel);
    Ok(chunks)
}

/// Decodes the row of a chunk. Returns its number and what is in it.
pub fn decode_chunk(log: &dyn Log, key: &[u8], value: &[u8]) -> Result<(u64, Chunk), StoreError> {
    let number = chunks::number(key)
        .ok_or_else(|| corrupt(log, &format!("key {key:02x?}"), "not a chunk's key"))?;
    let chunk = Chunk::decode(value)
        .map_err(|why| corrupt(log, &format!("journal chunk {number}"), &why))?;
    Ok((number, chunk))
}

/// Adds the next chunk, which is stored in `len` bytes, to what was read; `take` folds each of its records.
///
/// # Errors
/// When it does not follow the chunk before it.
pub fn fold_chunk(
    core: &mut Core,
    number: u64,
    chunk: Chunk,
    len: usize,
    mut take: impl FnMut(&mut Core, Record) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let damaged = |number: u64, why: &str| {
        Err(corrupt(&*core.shared.log, &format!("journal chunk {number}"), why))
    };
    let expected = core.journal.next_chunk();
    if number != expected {
        return damaged(expected, "missing");
    }
    if chunk.first_seq != core.next_seq {
        return damaged(number, "events are missing before it");
    }
    core.writer = None;
    for record in chunk.records {
        core.next_seq += u64::from(matches!(record, Record::Event(_)));
        take(core, record)?;
    }
    core.journal.add(chunk.first_seq, chunk.at, len);
    Ok(())
}

/// Where a job was before a record, and where it is after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayedJob {
    pub before: Option<JobPlace>,
    pub after: Option<JobPlace>,
}

/// Folds one record into the index.
pub fn replay_record(
    core: &mut Core,
    chunk: u64,
    record: &Record,
) -> Result<ReplayedJob, StoreError> {
    match record {
        Record::Event(event) => replay_event(core, chunk, event),
        Record::Carried(job) => {
            let before = forget(core, job.id);
            let entry = core.entry_of(job, Trail::new(chunk));
            core.future_waits.note_job(job);
            core.journal.hold(chunk);
            let after = Some(entry.place());
            core.index.insert(job.id, entry);
            if let Some((token, holder)) = job.lease() {
                keep_lease(core, job.id, token, holder);
            }
            Ok(ReplayedJob { before, after })
        }
        Record::Note(note) => {
            replay_note(core, *note);
            Ok(ReplayedJob::default())
        }
        Record::Pruned(id) => Ok(ReplayedJob { before: forget(core, *id), after: None }),
    }
}

fn replay_event(core: &mut Core, chunk: u64, event: &Event) -> Result<ReplayedJob, StoreError> {
    let (id, labels, change) = match &event.fact {
        Fact::Job { id, labels, change, .. } => (*id, labels, change),
        // The settings of queues, the schedules, the declared kinds and the users have rows of their own.
        Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => {
            return Ok(ReplayedJob::default());
        }
    };
    if let Change::Enqueued { .. } = change {
        let job = crate::job::Job::from_enqueued(event);
        let Some(job) = job else { return Ok(ReplayedJob::default()) };
        let entry = core.entry_of(&job, Trail::new(chunk));
        core.future_waits.note(id, change, event.at);
        let before = forget(core, id); // an earlier job had the same id and has left the archive
        core.journal.hold(chunk);
        let after = Some(entry.place());
        core.index.insert(id, entry);
        return Ok(ReplayedJob { before, after });
    }
    if let Change::Started { .. } = change {
        note_start(core, &labels.queue, event.at);
    }
    if let Change::Deleted = change {
        return Ok(ReplayedJob { before: forget(core, id), after: None });
    }
    let is_moved = matches!(change, Change::Moved { .. }) && core.index.entries.contains_key(&id);
    let moved = is_moved.then(|| core.counters_of(labels));
    let changed = core.index.change(id, |entry: &mut Entry| {
        let before = entry.place();
        let status: Status = status_after(entry.status, event)?;
        if let Some((labels, counters)) = moved {
            (entry.labels, entry.counters) = (labels, counters);
        }
        if let Change::Reprioritised { priority } = change {
            entry.priority = *priority;
        }
        entry.status = status;
        if let Some(run_at) = change.run_at(event.at) {
            (entry.run_at, entry.is_delayed) = (run_at, change.starts_delay());
        }
        entry.finished = status.state.is_final().then_some((event.seq, event.at));
        Ok::<_, StoreError>((before, entry.place(), entry.trail.add(chunk)))
    });
    // An unknown job: its first events were trimmed, so it is archived, removed, or copied forward further on.
    let Some(changed) = changed else { return Ok(ReplayedJob::default()) };
    let (before, after, is_new_chunk) = changed?;
    core.future_waits.note(id, change, event.at);
    if is_new_chunk {
        core.journal.hold(chunk);
    }
    if let Change::Started { worker } = change {
        keep_lease(core, id, event.seq, worker);
    } else if after.state != State::Running {
        core.index.unlease(id);
    }
    Ok(ReplayedJob { before: Some(before), after: Some(after) })
}

fn replay_note(core: &mut Core, note: NodeNote) {
    match note {
        NodeNote::WrittenBy(node) => core.writer = Some(node),
        NodeNote::Holds { job, node } => {
            let is_shared = core.shared.node.is_some();
            if let Some(held) = core.index.leases.get(&job).filter(|_| is_shared).cloned() {
                let keeper = kept_by(core, node, held.kept_for);
                core.index.put_lease(job, HeldLease { keeper, ..held });
            }
        }
        NodeNote::Trimmed(number) => {
            core.journal.trimmed_below(number);
            if let Some(first) = core.journal.first_seq() {
                core.shared.oldest.fetch_max(first.saturating_sub(1), Ordering::AcqRel);
            }
        }
        NodeNote::Delayed(job) => _ = core.index.change(job, |entry| entry.is_delayed = true),
        NodeNote::Rows(rows) => core.stale_rows = core.stale_rows.or(rows),
    }
}

/// Leases a job that is running. Where the log is shared, the node that has written the chunk holds it; a chunk without
/// one was moved here from a log that was not shared, and nobody holds its leases, so that the first node gives them back.
/// Where the log is not shared, whoever held the lease has ended: a remote worker keeps its lease for as long as it lasted,
/// and the others are rescued.
fn keep_lease(core: &mut Core, id: JobId, token: u64, holder: &LeaseHolder) {
    let kept_for = holder.kept_for();
    let keeper = match (core.shared.node, kept_for) {
        (Some(_), _) => kept_by(core, core.writer.unwrap_or(NodeId::NOBODY), kept_for),
        (None, Some(ttl)) => LeaseKeeper::Here(core.shared.clock.steady().after(ttl)),
        (None, None) => return,
    };
    core.index.put_lease(id, HeldLease { token, keeper, kept_for });
}

/// The keeper of a lease that a node holds. This node finds its own only when the answer of its append was lost, and then
/// has to know when it expires.
fn kept_by(core: &mut Core, node: NodeId, kept_for: Option<Duration>) -> LeaseKeeper {
    if core.shared.node != Some(node) {
        return LeaseKeeper::Node(node);
    }
    let ttl = kept_for.unwrap_or(UNKNOWN_LEASE);
    core.expect_tick(core.shared.clock.now().after(ttl));
    LeaseKeeper::Here(core.shared.clock.steady().after(ttl))
}

/// Counts a recent start for the rate limit of its queue.
fn note_start(core: &mut Core, queue: &QueueName, at: Time) {
    let clock = &core.shared.clock;
    if let Some(queue) = core.index.known_queue(queue) {
        let limits = &mut core.index.sets.queues[queue as usize].limits;
        if limits.counts_starts() {
            limits.started_before(at, clock.now(), clock.steady());
        }
    }
}

/// Removes a job from the index. Returns where it was.
fn forget(core: &mut Core, id: JobId) -> Option<JobPlace> {
    let entry = core.index.remove(id)?;
    core.index.unlease(id);
    core.journal.release(entry.trail.iter());
    Some(entry.place())
}

/// Removes finished jobs from the index that are in the archive, or were removed from it.
fn forget_archived(core: &mut Core) {
    let archived: Vec<JobId> = core
        .index
        .sets
        .finished
        .values()
        .flat_map(|state| state.range(..=core.meta.archived).map(|(_, id)| *id))
        .collect();
    for id in archived {
        forget(core, id);
    }
}
