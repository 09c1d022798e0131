//! Runs. A *run* holds a few thousand jobs that finished one after the other, sorted by id and packed into chunks under
//! `a` + run + chunk. Its header, under `r` + run, says what is in it. Only headers are kept in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{Job, JobId, JobQuery, Kind, QueueName, State, Time};
use crate::store::StoreError;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, Rows, WriteBatch};
use crate::store::log_store::journal::codec::{seal, unseal};
use crate::store::log_store::journal::first_format::{self, FirstJob};

/// The most jobs in a run, so that rewriting it takes about ten milliseconds.
pub const MAX_JOBS: usize = 4_096;
/// The uncompressed size in bytes at which a chunk of a run is closed.
const CHUNK_BYTES: usize = 14 * 1_024;

/// The table of all runs. It is cheap to clone, and only the committer changes it.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    /// The runs by the event that ended the first job of each, so in the order in which jobs finished.
    pub runs: BTreeMap<u64, Arc<Run>>,
    /// Increases with every change, so that readers notice when their table is an old one.
    pub generation: u64,
    /// The greatest id that was ever in a run.
    greatest: Option<JobId>,
}

/// The header of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The number of the run, which is part of its keys. A run that is rewritten gets a new number.
    pub no: u64,
    /// The event that ended the job that finished first.
    pub first_seq: u64,
    pub chunks: Vec<RunChunk>,
    /// The number of jobs by queue, kind and state.
    pub counts: Vec<(QueueName, Kind, State, u64)>,
    /// When the first and the last job of each state in it finished.
    pub finished: BTreeMap<State, (Time, Time)>,
    /// The number of jobs that have an idempotency key.
    pub keyed: u64,
}

/// A chunk of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunChunk {
    pub first: JobId,
    pub last: JobId,
    pub len: u32,
}

/// The key of a header: `r` for a run in use, `t` for one whose chunks are to be removed.
fn header_key(letter: u8, run: u64) -> [u8; 9] {
    let mut key = [letter; 9];
    key[1..].copy_from_slice(&run.to_be_bytes());
    key
}

fn chunk_key(run: u64, chunk: usize) -> [u8; 13] {
    let mut key = [b'a'; 13];
    key[1..9].copy_from_slice(&run.to_be_bytes());
    key[9..].copy_from_slice(&(chunk as u32).to_be_bytes());
    key
}

impl Run {
    /// Packs jobs into a run. Returns `None` when there are no jobs.
    ///
    /// # Errors
    /// When a job cannot be encoded.
    pub fn build(
        no: u64,
        mut jobs: Vec<Job>,
        writes: &mut WriteBatch,
    ) -> Result<Option<Run>, String> {
        jobs.sort_by_key(|job| job.id);
        let mut run = Run {
            no,
            first_seq: jobs.iter().map(|job| job.seq).min().unwrap_or(0),
            chunks: Vec::new(),
            counts: Vec::new(),
            finished: BTreeMap::new(),
            keyed: 0,
        };
        let mut counts: BTreeMap<(QueueName, Kind, State), u64> = BTreeMap::new();
        let mut body = Vec::new();
        let (mut first, mut count) = (None, 0u32);
        let mut jobs = jobs.iter().peekable();
        while let Some(job) = jobs.next() {
            let state = job.status.state;
            *counts
                .entry((job.labels.queue.clone(), job.labels.kind.clone(), state))
                .or_default() += 1;
            if let Some(at) = job.finished_at() {
                let (first, last) = run.finished.entry(state).or_insert((at, at));
                (*first, *last) = ((*first).min(at), (*last).max(at));
            }
            run.keyed += u64::from(job.spec.idempotency_key.is_some());
            first.get_or_insert(job.id);
            count += 1;
            body = postcard::to_extend(job, body).map_err(|error| error.to_string())?;
            if body.len() >= CHUNK_BYTES || jobs.peek().is_none() {
                let mut raw = count.to_le_bytes().to_vec();
                raw.append(&mut body);
                let bytes = seal(formats::ARCHIVED_JOBS, &raw);
                let (key, len) = (chunk_key(no, run.chunks.len()), bytes.len() as u32);
                writes.put(key, bytes);
                let first = first.take().unwrap_or(job.id);
                run.chunks.push(RunChunk { first, last: job.id, len });
                count = 0;
            }
        }
        run.counts = counts.into_iter().map(|((q, k, s), n)| (q, k, s, n)).collect();
        if run.chunks.is_empty() {
            return Ok(None);
        }
        writes.put(header_key(b'r', no), run.header()?);
        Ok(Some(run))
    }

    fn header(&self) -> Result<Vec<u8>, String> {
        let raw = postcard::to_stdvec(self).map_err(|error| error.to_string())?;
        Ok(seal(formats::RUN_HEADER, &raw))
    }

    /// Decodes a header.
    pub fn decode(bytes: &[u8]) -> Result<Run, Unreadable> {
        let raw = unseal(formats::RUN_HEADER, bytes)?;
        Ok(postcard::from_bytes(&raw).map_err(|error| format!("run header: {error}"))?)
    }

    /// Retires the run. Its chunks stay for readers that still have the old table, and [`Run::remove`] removes them in
    /// a later group.
    pub fn retire(&self, writes: &mut WriteBatch) -> Result<(), String> {
        let header = self.header()?;
        writes.remove(header_key(b'r', self.no), header.len());
        writes.put(header_key(b't', self.no), header);
        Ok(())
    }

    /// Removes the chunks and the header of a retired run.
    pub fn remove(&self, writes: &mut WriteBatch) -> Result<(), String> {
        for (n, chunk) in self.chunks.iter().enumerate() {
            writes.remove(chunk_key(self.no, n), chunk.len as usize);
        }
        writes.remove(header_key(b't', self.no), self.header()?.len());
        Ok(())
    }

    /// Reads all jobs of the run.
    pub fn jobs(&self, log: &dyn Log) -> Result<Vec<Job>, StoreError> {
        let mut jobs = Vec::new();
        for chunk in 0..self.chunks.len() {
            jobs.extend(self.chunk(log, chunk)?);
        }
        Ok(jobs)
    }

    /// The number of jobs in a state.
    pub fn in_state(&self, state: State) -> u64 {
        self.counts.iter().filter(|(_, _, s, _)| *s == state).map(|(_, _, _, n)| n).sum()
    }

    /// The number of jobs.
    pub fn len(&self) -> u64 {
        self.counts.iter().map(|(_, _, _, n)| n).sum()
    }

    /// Estimates how many jobs of a state are older than `age`. It is exact when all or none are, and otherwise in
    /// proportion to the time that they span, and at least one.
    pub fn aged(&self, state: State, age: Duration, now: Time) -> u64 {
        let here = self.in_state(state);
        match self.finished.get(&state) {
            Some((_, last)) if last.after(age) <= now => here,
            Some((first, last)) if first.after(age) <= now => {
                let span = last.since(*first).as_millis().max(1);
                let aged = now.since(first.after(age)).as_millis();
                ((u128::from(here) * aged / span) as u64).clamp(1, here.saturating_sub(1).max(1))
            }
            Some(_) | None => 0,
        }
    }

    fn max(&self) -> Option<JobId> {
        self.chunks.last().map(|chunk| chunk.last)
    }

    /// Whether the run may hold jobs that match the query.
    pub fn may_match(&self, query: &JobQuery) -> bool {
        let may_end = |state: &State| {
            let ends = self.finished.get(state);
            ends.is_none_or(|(first, last)| query.admits_ends_between(*first, *last))
        };
        self.counts.iter().any(|(queue, kind, state, _)| {
            may_end(state)
                && (query.states.is_empty() || query.states.contains(state))
                && (query.queues.is_empty() || query.queues.contains(queue))
                && (query.kinds.is_empty() || query.kinds.contains(kind))
        })
    }

    /// Reads the jobs of one chunk.
    pub fn chunk(&self, log: &dyn Log, chunk: usize) -> Result<Vec<Job>, StoreError> {
        let key = chunk_key(self.no, chunk);
        let bytes = log.get(&key)?.ok_or_else(|| {
            StoreError::Corrupt(format!("chunk {chunk} of run {} is missing", self.no))
        })?;
        let jobs = decode_jobs(&bytes);
        jobs.map_err(|why| why.at(format!("chunk {chunk} of run {}", self.no)))
    }
}

/// Decodes a chunk of a run.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn decode_jobs(bytes: &[u8]) -> Result<Vec<Job>, Unreadable> {
    let raw = unseal(formats::ARCHIVED_JOBS, bytes)?;
    let (count, mut rest) = raw.split_first_chunk::<4>().ok_or("too short")?;
    let count = u32::from_le_bytes(*count);
    let is_first = bytes.first() == Some(&first_format::ARCHIVED_JOBS);
    // A job has at least one byte, so a wrong count takes no more memory than the chunk.
    let mut jobs = Vec::with_capacity(rest.len().min(count as usize));
    for _ in 0..count {
        let taken = if is_first {
            postcard::take_from_bytes::<FirstJob>(rest).map(|(job, tail)| (job.into(), tail))
        } else {
            postcard::take_from_bytes::<Job>(rest)
        };
        let (job, tail) = taken.map_err(|error| error.to_string())?;
        jobs.push(job);
        rest = tail;
    }
    Ok(jobs)
}

/// Reads the headers of all runs, and of the retired ones, whose chunks are still to be removed.
pub fn read_table(log: &dyn Log) -> Result<(Archive, Vec<Arc<Run>>), StoreError> {
    read_changed_table(log, Archive::default())
}

/// Reads what has changed since a table was read, and the retired runs. Runs never change, and a new one has a greater number
/// than all before it, so only the keys of the runs that are known have to be read: with ten million jobs there are some
/// thousands.
pub fn read_changed_table(
    log: &dyn Log,
    known: Archive,
) -> Result<(Archive, Vec<Arc<Run>>), StoreError> {
    let headers = |rows: Rows, what: &'static str| {
        rows.map(move |row| {
            let (key, value) = row?;
            let place = || format!("{what} {:02x?} in {}", &key[1..], log.location());
            Run::decode(&value).map_err(|why| why.at(place()))
        })
    };
    let mut archive = known;
    let new = archive.runs.values().map(|run| run.no + 1).max().unwrap_or(0);
    if !archive.runs.is_empty() {
        let stored: BTreeSet<Vec<u8>> = log.keys(b"r").collect::<Result<_, _>>()?;
        archive.runs.retain(|_, run| stored.contains(header_key(b'r', run.no).as_slice()));
    }
    for run in headers(log.scan_from(b"r", &header_key(b'r', new)), "run header") {
        archive.add(run?);
    }
    let retired = headers(log.scan(b"t"), "retired run").map(|run| run.map(Arc::new));
    Ok((archive, retired.collect::<Result<_, _>>()?))
}

impl Archive {
    /// Finds a job and the run that holds it.
    pub fn find(&self, log: &dyn Log, id: JobId) -> Result<Option<(Job, Arc<Run>)>, StoreError> {
        for run in self.runs.values().rev() {
            let place = run.chunks.partition_point(|chunk| chunk.last < id);
            if run.chunks.get(place).is_none_or(|chunk| chunk.first > id) {
                continue;
            }
            let found = run.chunk(log, place)?.into_iter().find(|job| job.id == id);
            if let Some(job) = found {
                return Ok(Some((job, run.clone())));
            }
        }
        Ok(None)
    }

    /// Adds a run to the table.
    pub fn add(&mut self, run: Run) {
        self.greatest = self.greatest.max(run.max());
        self.runs.insert(run.first_seq, Arc::new(run));
    }

    /// Whether an id is greater than any that was archived. This answers for nearly every new job without a read.
    pub fn is_newer_than_all(&self, id: JobId) -> bool {
        self.greatest.is_none_or(|greatest| greatest < id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Change, Event, Fact, Labels, LogCaps, Moment, PageCursor, Spec, Status};
    use crate::store::log_store::archive::scan::ArchiveScan;
    use crate::store::sled::SledLog;

    fn job(id: u128, state: State) -> Job {
        let labels = Labels {
            queue: QueueName::default(),
            kind: crate::job::Kind::parse("echo").unwrap(),
            tags: Box::default(),
        };
        let spec = Spec {
            payload: crate::job::Json::parse(&format!("\"{}\"", "p".repeat(300))).unwrap(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let change = Change::Enqueued { spec: spec.into(), run_at: Time::default() };
        let fact = Fact::Job {
            id: JobId::from_u128(id),
            labels: labels.into(),
            state,
            attempt: 0,
            change,
        };
        let mut job =
            Job::from_enqueued(&Event { seq: 1, at: Time::default(), by: None, fact }).unwrap();
        job.status = Status::new(1, state);
        let at = Time::from_millis(id as i64);
        let change = Change::Cancelled;
        job.history.push(Moment { seq: id as u64, at, state, attempt: 0, by: None, change });
        let _caps = LogCaps::default();
        job
    }

    fn archive(log: &dyn Log, runs: &[Vec<Job>]) -> Archive {
        let mut archive = Archive::default();
        for (no, jobs) in runs.iter().enumerate() {
            let mut writes = WriteBatch::default();
            let run = Run::build(no as u64, jobs.clone(), &mut writes).unwrap().unwrap();
            log.apply_alone(writes).unwrap();
            let stored = log.get(&header_key(b'r', no as u64)).unwrap().unwrap();
            assert_eq!(Run::decode(&stored).unwrap(), run);
            archive.runs.insert(no as u64, Arc::new(run.clone()));
            archive.greatest = archive.greatest.max(run.max());
        }
        archive
    }

    #[test]
    fn jobs_are_found_and_listed_across_overlapping_runs() {
        let dir = tempfile::tempdir().unwrap();
        let log = SledLog::create(dir.path()).unwrap();
        let all: Vec<Job> = (1..=900)
            .map(|id| job(id, if id % 3 == 0 { State::Discarded } else { State::Completed }))
            .collect();
        let runs: Vec<Vec<Job>> =
            (0..3).map(|n| all.iter().skip(n).step_by(3).cloned().collect()).collect();
        let archive = archive(&log, &runs);
        for id in [1u128, 450, 900] {
            let (found, run) = archive.find(&log, JobId::from_u128(id)).unwrap().unwrap();
            assert_eq!((found, run.no), (all[id as usize - 1].clone(), (id as u64 - 1) % 3));
        }
        assert_eq!(archive.find(&log, JobId::from_u128(901)).unwrap(), None);
        assert!(archive.is_newer_than_all(JobId::from_u128(901)));

        let ids = |jobs: &mut dyn Iterator<Item = &Job>| jobs.map(|job| job.id).collect::<Vec<_>>();
        let everything = JobQuery::default();
        assert_eq!(scanned(&archive, &log, &everything), ids(&mut all.iter().rev()));
        for first in [1_u128, 2, 450, 899, 900, 901] {
            let after = Some(PageCursor(JobId::from_u128(first)));
            let page = JobQuery { after, ..JobQuery::default() };
            let below = all.iter().rev().filter(|job| job.id < JobId::from_u128(first));
            assert_eq!(scanned(&archive, &log, &page), ids(&mut below.into_iter()), "{first}");
        }
        let dead = JobQuery { states: vec![State::Cancelled], ..JobQuery::default() };
        assert_eq!(scanned(&archive, &log, &dead), [], "no run has one");
    }

    /// Every job of a scan; its bound never lies.
    fn scanned(archive: &Archive, log: &dyn Log, query: &JobQuery) -> Vec<JobId> {
        let mut scan = ArchiveScan::new(archive, log, query);
        let (mut ids, mut last) = (Vec::new(), None);
        while let Some(bound) = scan.bound() {
            assert!(last.is_none_or(|last| bound <= last), "{bound} after {last:?}");
            last = Some(bound);
            let step = scan.step().unwrap();
            assert!(step.as_ref().is_none_or(|job| job.id == bound), "{bound}: {step:?}");
            ids.extend(step.map(|job| job.id));
        }
        ids
    }

    #[test]
    fn a_known_table_becomes_the_one_that_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let log = SledLog::create(dir.path()).unwrap();
        let finished = |id: u128| Job { seq: id as u64, ..job(id, State::Completed) };
        let jobs = |from: u128| (from..from + 10).map(finished).collect();
        let add = |no: u64| {
            let mut writes = WriteBatch::default();
            let run = Run::build(no, jobs(u128::from(no) * 10 + 1), &mut writes).unwrap().unwrap();
            log.apply_alone(writes).unwrap();
            run
        };
        let remove = |run: &Run, ends: bool| {
            let mut writes = WriteBatch::default();
            run.retire(&mut writes).unwrap();
            if ends {
                run.remove(&mut writes).unwrap();
            }
            log.apply_alone(writes).unwrap();
        };
        let runs: Vec<Run> = (0..3).map(add).collect();
        let mut known = read_table(&log).unwrap().0;
        let check = |known: &mut Archive, numbers: &[u64], retired: usize| {
            let (changed, of_changed) = read_changed_table(&log, known.clone()).unwrap();
            let (read, of_read) = read_table(&log).unwrap();
            assert_eq!(changed.runs, read.runs);
            assert_eq!(changed.runs.values().map(|run| run.no).collect::<Vec<_>>(), numbers);
            assert_eq!((&of_changed, of_changed.len()), (&of_read, retired));
            assert!(changed.greatest >= read.greatest);
            *known = changed;
        };
        check(&mut known, &[0, 1, 2], 0);
        add(3);
        check(&mut known, &[0, 1, 2, 3], 0);
        remove(&runs[1], false);
        add(7);
        check(&mut known, &[0, 2, 3, 7], 1);
        remove(&runs[0], true);
        check(&mut known, &[2, 3, 7], 1);
        check(&mut Archive::default(), &[2, 3, 7], 1);
    }

    #[test]
    fn a_retired_run_can_be_read_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let log = SledLog::create(dir.path()).unwrap();
        let archive = archive(&log, &[(1..=500).map(|id| job(id, State::Completed)).collect()]);
        let run = &archive.runs[&0];
        let mut writes = WriteBatch::default();
        run.retire(&mut writes).unwrap();
        log.apply_alone(writes).unwrap();
        assert_eq!((run.jobs(&log).unwrap().len(), log.scan(b"r").count()), (500, 0));
        let mut writes = WriteBatch::default();
        run.remove(&mut writes).unwrap();
        log.apply_alone(writes).unwrap();
        assert_eq!(log.scan(b"").count(), 0);
    }
}
