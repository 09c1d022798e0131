//! Reads records and events: they are folded out of their chunks by a thread of the read pool, never by the committer.

use std::collections::{BTreeSet, HashMap};

use crate::job::{Change, Cursor, Event, Fact, Job, JobId, LogCaps, Status};
use crate::store::log_store::archive::runs::{self, Archive};
use crate::store::log_store::commit::claim::ClaimedJob;
use crate::store::log_store::commit::shared::Shared;
use crate::store::log_store::journal::codec::{Chunk, Record};
use crate::store::search::Budget;
use crate::store::{Events, Lease, StoreError};

/// Reads records. It keeps the chunks that it has decoded, because jobs share chunks.
pub struct RecordReader<'a> {
    shared: &'a Shared,
    chunks: HashMap<u64, Option<OpenChunk>>,
    /// The size of these chunks in bytes.
    bytes: usize,
}

/// A decoded chunk, and beside it the job of each record, so that the records of a job are found in a list of plain
/// numbers.
struct OpenChunk {
    chunk: Chunk,
    ids: Vec<Option<JobId>>,
}

impl OpenChunk {
    fn new(chunk: Chunk) -> OpenChunk {
        let ids = chunk.records.iter().map(owner).collect();
        OpenChunk { chunk, ids }
    }

    fn records_of(&self, id: JobId) -> impl Iterator<Item = &Record> {
        let own = self.ids.iter().zip(&self.chunk.records);
        own.filter(move |(owner, _)| **owner == Some(id)).map(|(_, record)| record)
    }
}

/// The job that this record belongs to.
fn owner(record: &Record) -> Option<JobId> {
    match record {
        Record::Carried(job) => Some(job.id),
        Record::Event(event) => match &event.fact {
            // The last event of a deleted job is in the log, but there is no record any more.
            Fact::Job { change: Change::Deleted, .. }
            | Fact::Queue { .. }
            | Fact::Schedule { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => None,
            Fact::Job { id, .. } => Some(*id),
        },
        Record::Pruned(_) | Record::Note(_) => None,
    }
}

/// How many decoded chunks a reader keeps, and how many bytes of them. Beyond either it drops them all.
const MAX_CACHED_CHUNKS: usize = 64;
const MAX_CACHED_BYTES: usize = 2 * 1_024 * 1_024;

impl<'a> RecordReader<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        RecordReader { shared, chunks: HashMap::new(), bytes: 0 }
    }

    /// Folds the record of a job out of the chunks of its trail. Returns `None` when a chunk was removed meanwhile,
    /// because the job has moved.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the events do not make a job.
    pub fn fold(&mut self, id: JobId, trail: &[u64]) -> Result<Option<Job>, StoreError> {
        let caps = self.shared.limits.log;
        let mut job: Option<Job> = None;
        for number in trail {
            if !self.chunks.contains_key(number) {
                if self.chunks.len() > MAX_CACHED_CHUNKS || self.bytes > MAX_CACHED_BYTES {
                    self.chunks.clear();
                    self.bytes = 0;
                }
                let open = self.shared.chunk(*number)?.map(OpenChunk::new);
                self.bytes += open.as_ref().map_or(0, |open| open.chunk.bytes);
                self.chunks.insert(*number, open);
            }
            let Some(Some(open)) = self.chunks.get(number) else { return Ok(None) };
            for record in open.records_of(id) {
                fold_record(&mut job, record, caps)?;
            }
        }
        Ok(job)
    }
}

/// Folds one record of a job into what its earlier records have made of it.
fn fold_record(job: &mut Option<Job>, record: &Record, caps: LogCaps) -> Result<(), StoreError> {
    match record {
        Record::Carried(carried) => *job = Some((**carried).clone()),
        Record::Event(event) => match job {
            None => *job = Job::from_enqueued(event),
            Some(job) => {
                let status = status_after(job.status, event)?;
                job.apply(event, status, caps);
            }
        },
        Record::Pruned(_) | Record::Note(_) => {}
    }
    Ok(())
}

/// Folds one record; see [`RecordReader::fold`].
pub fn fold(shared: &Shared, id: JobId, trail: &[u64]) -> Result<Option<Job>, StoreError> {
    RecordReader::new(shared).fold(id, trail)
}

/// Folds the records of these jobs out of the chunks of their trails. Returns them, and the jobs that have moved
/// meanwhile.
pub fn fold_all(
    shared: &Shared,
    trails: &[(JobId, Vec<u64>)],
) -> Result<(Vec<Job>, Vec<JobId>), StoreError> {
    let (mut jobs, mut moved) = (Vec::with_capacity(trails.len()), Vec::new());
    let folded = fold_each(shared, trails.iter().map(|(id, trail)| (*id, trail.as_slice())))?;
    for (job, (id, _)) in folded.into_iter().zip(trails) {
        match job {
            Some(job) => jobs.push(job),
            None => moved.push(*id),
        }
    }
    Ok((jobs, moved))
}

/// Folds the records of many jobs at once, each named once, and returns them in this order; `None` for a job whose chunks
/// were removed meanwhile. Each chunk is decoded once, and each of its records is looked at once, however many of the jobs
/// it belongs to.
///
/// # Errors
/// As [`RecordReader::fold`].
pub fn fold_each<'t>(
    shared: &Shared,
    jobs: impl ExactSizeIterator<Item = (JobId, &'t [u64])>,
) -> Result<Vec<Option<Job>>, StoreError> {
    let caps = shared.limits.log;
    let mut folded = Vec::with_capacity(jobs.len());
    let mut trails = Vec::with_capacity(jobs.len());
    let mut places = foldhash::HashMap::with_capacity_and_hasher(jobs.len(), Default::default());
    let mut numbers = BTreeSet::new();
    for (id, trail) in jobs {
        places.insert(id, trails.len());
        numbers.extend(trail);
        trails.push(trail);
        folded.push(None);
    }
    let mut removed = Vec::new();
    for number in numbers {
        let Some(chunk) = shared.chunk(number)? else {
            removed.push(number);
            continue;
        };
        for record in &chunk.records {
            let place = owner(record).and_then(|id| places.get(&id).copied());
            let Some(place) = place.filter(|place| trails[*place].contains(&number)) else {
                continue;
            };
            fold_record(&mut folded[place], record, caps)?;
        }
    }
    if !removed.is_empty() {
        for (trail, job) in trails.iter().zip(&mut folded) {
            if trail.iter().any(|number| removed.contains(number)) {
                *job = None;
            }
        }
    }
    Ok(folded)
}

/// Reads the records of jobs that were just claimed; `None` for a job whose chunks were removed meanwhile.
pub fn leases(
    shared: &Shared,
    claimed: &[(ClaimedJob, Event)],
) -> Result<Vec<Option<Lease>>, StoreError> {
    let trails = claimed.iter().map(|(one, _)| (one.id, one.trail.as_slice()));
    let jobs = fold_each(shared, trails)?;
    let leases = claimed.iter().zip(jobs).map(|((one, started), job)| {
        let mut job = job?;
        job.apply(started, one.status, shared.limits.log);
        Some(one.lease(job))
    });
    Ok(leases.collect())
}

/// The token of the newest attempt: the number of its `Started` event.
pub fn token(job: &Job) -> Option<u64> {
    let mut moments = job.history.iter().rev();
    moments.find(|moment| matches!(moment.change, Change::Started { .. })).map(|moment| moment.seq)
}

/// Reads the archive by one version of its table of runs, again when the table changes meanwhile. A replaced run keeps
/// its chunks until readers can see the new table, so a chunk that is missing under an unchanged table is damage.
pub fn from_archive<T>(
    shared: &Shared,
    read: impl Fn(&Archive) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        let archive = shared.archive();
        match read(&archive) {
            Err(_) if shared.archive().generation != archive.generation => {}
            Err(error) if shared.log.is_shared() => {
                return read_newer(shared, &archive, read, error);
            }
            answer => return answer,
        }
    }
}

/// Reads the archive by the table in the log, because another node may have replaced a run, and removed the chunks of
/// the old one, before this node has read on.
fn read_newer<T>(
    shared: &Shared,
    older: &Archive,
    read: impl Fn(&Archive) -> Result<T, StoreError>,
    error: StoreError,
) -> Result<T, StoreError> {
    let numbers = |archive: &Archive| archive.runs.values().map(|run| run.no).collect::<Vec<_>>();
    let mut before = numbers(older);
    loop {
        let newer = runs::read_table(&*shared.log)?.0;
        let now = numbers(&newer);
        if now == before {
            return Err(error);
        }
        match read(&newer) {
            Err(_) => before = now,
            answer => return answer,
        }
    }
}

/// The status of a job after an event.
pub fn status_after(status: Status, event: &Event) -> Result<Status, StoreError> {
    match &event.fact {
        Fact::Job { id, change, .. } => status.after(change).map_err(|refused| {
            StoreError::Corrupt(format!("event {} of job {id} cannot be: {refused}", event.seq))
        }),
        Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => Ok(status),
    }
}

/// How many chunks are looked up at once when the log is read.
const CHUNKS_PER_READ: usize = 64;

/// Reads the events after a cursor, without large payloads and results. It returns fewer than `max` events when it has
/// read `read_bytes` of chunks or the server stops, and stops reading when the caller has stopped waiting.
pub fn events(
    shared: &Shared,
    after: Cursor,
    max: usize,
    budget: Option<&Budget>,
) -> Result<Events, StoreError> {
    let mut found: Vec<Event> = Vec::new();
    let mut bytes = 0;
    loop {
        let (oldest, head) = (shared.oldest(), shared.head());
        if after.epoch != shared.epoch || after.seq < oldest.seq || after.seq > head.seq {
            return Ok(Events::Gap { oldest, head });
        }
        let next = found.last().map_or(after.seq, |event| event.seq) + 1;
        if next > head.seq || found.len() >= max {
            return Ok(Events::Some(found));
        }
        let chunks = {
            let chunk_index =
                shared.chunk_index.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            chunk_index.chunks_from(next, CHUNKS_PER_READ)
        };
        let before = found.len();
        'chunks: for number in chunks {
            let must_end = || budget.is_some_and(Budget::must_end_now);
            if !found.is_empty() && (bytes >= shared.limits.read_bytes || must_end()) {
                return Ok(Events::Some(found));
            }
            if budget.is_some_and(Budget::is_abandoned) {
                return Err(StoreError::Closed); // the caller has stopped waiting
            }
            let Some(chunk) = shared.chunk(number)? else { break };
            bytes += chunk.bytes;
            for record in chunk.records {
                let Record::Event(event) = record else { continue };
                let wanted = found.last().map_or(after.seq, |event| event.seq) + 1;
                if event.seq > head.seq || found.len() >= max {
                    break 'chunks;
                }
                if event.seq == wanted {
                    found.push(event.without_content());
                }
            }
        }
        // There should be events up to the head. If the log was trimmed meanwhile, the next round notices.
        if found.len() == before && shared.oldest().seq <= after.seq {
            return Err(StoreError::Corrupt(format!("event {next} is missing from the log")));
        }
    }
}

/// Reads all events after a cursor, in as many reads as it takes. Returns none when the log does not reach back so far.
pub fn all_events(shared: &Shared, after: Cursor) -> Result<Vec<Event>, StoreError> {
    let mut all: Vec<Event> = Vec::new();
    loop {
        let from = all.last().map_or(after, |last| last.cursor(after));
        match events(shared, from, usize::MAX, None)? {
            Events::Some(more) if more.is_empty() => return Ok(all),
            Events::Some(more) => all.extend(more),
            Events::Gap { .. } => return Ok(Vec::new()),
        }
    }
}
