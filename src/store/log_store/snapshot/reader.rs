//! Reads snapshots: the committer captures its state between two groups, and a reader reads along it in bounded steps
//! while the store changes. Meanwhile nothing is removed from the journal or the archive.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::access::AccessTable;
use crate::clock::SystemClock;
use crate::job::{Job, JobId, Time};
use crate::store::log::Log;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::log_store::commit::core::Core;
use crate::store::log_store::commit::recover;
use crate::store::log_store::commit::shared::Shared;
use crate::store::log_store::commit::tuning::Tuning;
use crate::store::log_store::journal::codec::Record;
use crate::store::log_store::journal::fold::JournalFold;
use crate::store::log_store::journal::queue_rows::QueueTable;
use crate::store::log_store::read::records::RecordReader;
use crate::store::log_store::snapshot::pins::Pin;
use crate::store::schedules::Schedules;
use crate::store::snapshot::{FORMAT, Head, Piece, Snapshot, Totals};
use crate::store::{DeclaredKinds, Keep, Retention, StoreError, StoreLimits};

/// How many chunks are read in one step.
const CHUNKS_PER_STEP: usize = 16;
/// The most jobs that are read in one step.
const JOBS_PER_STEP: usize = 256;
/// The size of payloads and logs in bytes at which a step ends.
const BYTES_PER_STEP: usize = 1_024 * 1_024;

/// The state of the store at one cursor, when everything up to it was durable.
pub struct SnapshotState {
    chunks: Range<u64>,
    archive: Archive,
    /// The last event whose job is in the archive.
    archived: u64,
    queues: QueueTable,
    schedules: Schedules,
    kinds: Arc<DeclaredKinds>,
    access: Arc<AccessTable>,
    head: Head,
    pin: Arc<Pin>,
}

impl SnapshotState {
    /// Captures the state between two groups. It runs on the committer, which also removes things.
    pub fn capture(core: &Core, pin: Arc<Pin>) -> SnapshotState {
        let shared = &core.shared;
        let at = shared.clock.now();
        let head = Head {
            cortado_export: FORMAT,
            epoch: shared.epoch,
            at,
            oldest: shared.oldest().seq,
            head: shared.head().seq,
        };
        SnapshotState {
            chunks: core.journal.chunks(),
            archive: core.archive.clone(),
            archived: core.meta.archived,
            queues: core.index.queue_settings(),
            schedules: core.schedules.clone(),
            kinds: core.kinds.clone(),
            access: core.access.clone(),
            head,
            pin,
        }
    }
}

/// Reads a snapshot step by step. It blocks.
pub struct SnapshotReader {
    shared: Arc<Shared>,
    state: SnapshotState,
    stage: Stage,
    fold: JournalFold,
    totals: Totals,
}

enum Stage {
    Head,
    /// The chunks of the journal, from this one on.
    Events(u64),
    /// The remaining runs, in the order in which their jobs finished.
    Archived(VecDeque<Arc<Run>>),
    /// The jobs that are not archived, each with the chunks that hold its record.
    Unarchived(VecDeque<(JobId, Vec<u64>)>),
    Done,
}

impl SnapshotReader {
    pub fn new(shared: Arc<Shared>, state: SnapshotState) -> SnapshotReader {
        SnapshotReader {
            shared,
            state,
            stage: Stage::Head,
            fold: JournalFold::default(),
            totals: Totals::default(),
        }
    }

    /// Reads a log that no server uses. Nothing in it is changed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn offline(log: Box<dyn Log>) -> Result<SnapshotReader, StoreError> {
        let (core, last) = load(log)?;
        let pin = core.shared.pins.add(core.shared.clock.steady());
        let mut state = SnapshotState::capture(&core, pin);
        state.head.at = last;
        Ok(SnapshotReader::new(core.shared, state))
    }

    /// The next pieces; none after the end.
    pub fn next(&mut self) -> Result<Vec<Piece>, StoreError> {
        let pieces = loop {
            let pieces = self.step()?;
            if !pieces.is_empty() || matches!(self.stage, Stage::Done) {
                break pieces;
            }
        };
        self.state.pin.touch(self.shared.clock.steady());
        Ok(pieces)
    }

    fn step(&mut self) -> Result<Vec<Piece>, StoreError> {
        let step = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Head => {
                self.stage = Stage::Events(self.state.chunks.start);
                let queues = std::mem::take(&mut self.state.queues).into_iter();
                let queues = queues.map(|(name, settings)| Piece::Queue { name, settings });
                let schedules = std::mem::take(&mut self.state.schedules).0.into_values();
                let schedules = schedules.map(|one| Piece::Schedule(Box::new(one)));
                let kinds = std::mem::take(&mut self.state.kinds);
                let kinds = kinds.iter().cloned().map(Piece::Kind);
                let head = std::iter::once(Piece::Head(self.state.head));
                let access = std::mem::take(&mut self.state.access);
                let access = access.records().map(Piece::Access);
                Ok(head.chain(queues).chain(schedules).chain(kinds).chain(access).collect())
            }
            Stage::Events(next) => self.events(next),
            Stage::Archived(mut runs) => match runs.pop_front() {
                Some(run) => {
                    self.stage = Stage::Archived(runs);
                    run.jobs(&*self.shared.log).map(|mut jobs| {
                        jobs.sort_by_key(|job| job.seq);
                        jobs.into_iter().map(|job| Piece::Job(Box::new(job))).collect()
                    })
                }
                None => {
                    self.stage = Stage::Unarchived(self.unarchived());
                    Ok(Vec::new())
                }
            },
            Stage::Unarchived(jobs) => self.jobs(jobs),
            Stage::Done => Ok(Vec::new()),
        };
        // Without a pin the data may have been removed during the read, so what was found does not count.
        if let Some(why) = self.state.pin.revoked() {
            return Err(StoreError::Unavailable(why.into()));
        }
        let pieces = step?;
        pieces.iter().for_each(|piece| self.totals.count(piece));
        Ok(pieces)
    }

    fn events(&mut self, next: u64) -> Result<Vec<Piece>, StoreError> {
        let mut pieces = Vec::new();
        let until = self.state.chunks.end.min(next + CHUNKS_PER_STEP as u64);
        for number in next..until {
            let corrupt = |why| StoreError::Corrupt(format!("journal chunk {number}: {why}"));
            let chunk = self.shared.chunk(number)?.ok_or_else(|| corrupt("missing".into()))?;
            for record in chunk.records {
                self.fold.take(number, &record).map_err(corrupt)?;
                if let Record::Event(event) = record
                    && event.seq > self.state.head.oldest
                {
                    pieces.push(Piece::Event(event));
                }
            }
        }
        self.stage = if until < self.state.chunks.end {
            Stage::Events(until)
        } else {
            self.fold.forget_archived(self.state.archived);
            Stage::Archived(self.state.archive.runs.values().cloned().collect())
        };
        Ok(pieces)
    }

    /// The jobs that are not archived: first the finished ones, in the order in which they finished.
    fn unarchived(&mut self) -> VecDeque<(JobId, Vec<u64>)> {
        let fold = std::mem::take(&mut self.fold);
        let (mut finished, waiting): (Vec<_>, Vec<_>) =
            fold.jobs.into_iter().partition(|(_, job)| job.status.state.is_final());
        finished.sort_by_key(|(_, job)| job.seq);
        let all = finished.into_iter().chain(waiting);
        all.map(|(id, job)| (id, job.trail.iter().collect())).collect()
    }

    fn jobs(&mut self, mut rest: VecDeque<(JobId, Vec<u64>)>) -> Result<Vec<Piece>, StoreError> {
        let mut reader = RecordReader::new(&self.shared);
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while pieces.len() < JOBS_PER_STEP
            && bytes < BYTES_PER_STEP
            && let Some((id, trail)) = rest.pop_front()
        {
            let missing = || StoreError::Corrupt(format!("a journal chunk of job {id} is missing"));
            let job: Job = reader.fold(id, &trail)?.ok_or_else(missing)?;
            bytes += job.spec.payload.as_str().len();
            bytes += job.log.iter().map(|line| line.text.len()).sum::<usize>();
            pieces.push(Piece::Job(Box::new(job)));
        }
        if pieces.is_empty() {
            pieces.push(Piece::End(self.totals));
        } else {
            self.stage = Stage::Unarchived(rest);
        }
        Ok(pieces)
    }
}

/// Reads everything in a log that no server uses, piece by piece, and changes nothing.
///
/// # Errors
/// When something cannot be read, or when `take` fails.
pub fn read_all_pieces<E: From<StoreError>>(
    log: Box<dyn Log>,
    mut take: impl FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let mut walk = SnapshotReader::offline(log)?;
    loop {
        let pieces = walk.next()?;
        if pieces.is_empty() {
            return Ok(());
        }
        pieces.into_iter().try_for_each(&mut take)?;
    }
}

/// Loads a log that no server uses. Returns its state, and when its last chunk was committed.
pub fn load(log: Box<dyn Log>) -> Result<(Core, Time), StoreError> {
    let for_ever = Keep { age: Duration::MAX, count: u64::MAX };
    let retention = Retention { events: for_ever, ..Retention::default() };
    let limits = StoreLimits { retention, ..StoreLimits::default() };
    let tuning = Tuning::default();
    let core = recover::load(log, limits, Arc::new(SystemClock), tuning)?;
    let last = match core.journal.chunks().last() {
        Some(number) => core.shared.chunk(number)?.map(|chunk| chunk.at).unwrap_or_default(),
        None => Time::default(),
    };
    Ok((core, last))
}

/// Reads a snapshot of a store in use. Each step runs on a thread that may block.
pub struct LiveSnapshot(Option<SnapshotReader>);

impl LiveSnapshot {
    pub fn new(shared: Arc<Shared>, state: SnapshotState) -> LiveSnapshot {
        LiveSnapshot(Some(SnapshotReader::new(shared, state)))
    }
}

#[async_trait]
impl Snapshot for LiveSnapshot {
    async fn next(&mut self) -> Result<Vec<Piece>, StoreError> {
        let Some(mut walk) = self.0.take() else {
            return Err(StoreError::Unavailable(
                "an earlier step of the snapshot was cancelled".into(),
            ));
        };
        walk.shared.check()?;
        let step = tokio::task::spawn_blocking(move || (walk.next(), walk)).await;
        let (pieces, walk) = step.map_err(|failed| StoreError::Corrupt(failed.to_string()))?;
        self.0 = Some(walk);
        pieces
    }
}

#[cfg(test)]
mod tests;
