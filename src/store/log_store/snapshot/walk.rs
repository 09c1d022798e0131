//! Snapshots: the committer makes a cut between two groups, and a reader walks along it in bounded
//! steps while changes go on. While somebody reads, nothing of the journal or the archive is removed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::SystemClock;
use crate::job::{Job, JobId, Time};
use crate::store::log::Log;
use crate::store::log_store::archive::runs::{Archive, Run};
use crate::store::log_store::commit::core::Core;
use crate::store::log_store::commit::meta::Meta;
use crate::store::log_store::commit::recover;
use crate::store::log_store::commit::shared::Shared;
use crate::store::log_store::commit::tuning::Tuning;
use crate::store::log_store::journal::codec::Record;
use crate::store::log_store::journal::fold::Fold;
use crate::store::log_store::read::records::Reader;
use crate::store::log_store::snapshot::pins::Pin;
use crate::store::schedules::Schedules;
use crate::store::snapshot::{FORMAT, Head, Piece, Snapshot, Totals};
use crate::store::{Keep, Limits, Retention, StoreError};

/// Journal chunks read in one step.
const CHUNKS: usize = 16;
/// Jobs folded in one step, fewer when they are large.
const JOBS: usize = 256;
/// Bytes of payloads and logs after which a step ends.
const BYTES: usize = 1_024 * 1_024;

/// What is durable at one place of the log.
pub struct Cut {
    chunks: Range<u64>,
    archive: Archive,
    meta: Meta,
    schedules: Schedules,
    head: Head,
    pin: Arc<Pin>,
}

impl Cut {
    /// Between two groups, on the thread that removes things.
    pub fn of(core: &Core) -> Cut {
        let shared = &core.shared;
        let at = shared.clock.now();
        let head = Head {
            cortado_export: FORMAT,
            epoch: shared.epoch,
            at,
            oldest: shared.oldest().seq,
            head: shared.head().seq,
        };
        let (archive, meta) = (core.archive.clone(), core.meta.clone());
        let (schedules, pin) = (core.schedules.clone(), shared.pins.add(at));
        Cut { chunks: core.journal.chunks(), archive, meta, schedules, head, pin }
    }
}

/// Reads along a cut, step by step. Blocks.
pub struct Walk {
    shared: Arc<Shared>,
    cut: Cut,
    stage: Stage,
    fold: Fold,
    totals: Totals,
}

enum Stage {
    Head,
    /// The next chunk.
    Events(u64),
    /// The runs that are left, in the order their jobs finished.
    Archived(VecDeque<Arc<Run>>),
    /// Jobs that are not archived and the chunks that make each.
    Rest(VecDeque<(JobId, Vec<u64>)>),
    Done,
}

impl Walk {
    pub fn new(shared: Arc<Shared>, cut: Cut) -> Walk {
        Walk { shared, cut, stage: Stage::Head, fold: Fold::default(), totals: Totals::default() }
    }

    /// A walk along a log that no server uses. Nothing in it is changed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn offline(log: Box<dyn Log>) -> Result<Walk, StoreError> {
        let (core, last) = load(log)?;
        let mut cut = Cut::of(&core);
        cut.head.at = last;
        Ok(Walk::new(core.shared, cut))
    }

    /// The next pieces; none after the end.
    pub fn next(&mut self) -> Result<Vec<Piece>, StoreError> {
        let pieces = loop {
            let pieces = self.step()?;
            if !pieces.is_empty() || matches!(self.stage, Stage::Done) {
                break pieces;
            }
        };
        self.cut.pin.touch(self.shared.clock.now());
        Ok(pieces)
    }

    fn step(&mut self) -> Result<Vec<Piece>, StoreError> {
        let step = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Head => {
                self.stage = Stage::Events(self.cut.chunks.start);
                let paused = self.cut.meta.paused.iter().cloned().map(Piece::Paused);
                let set = self.cut.meta.later.concurrency.iter();
                let set = set.map(|(queue, most)| Piece::Concurrency(queue.clone(), *most));
                let rated = self.cut.meta.later.rate_limits.iter();
                let rated = rated.map(|(queue, rule)| Piece::RateLimit(queue.clone(), *rule));
                let schedules = std::mem::take(&mut self.cut.schedules).0.into_values();
                let schedules = schedules.map(|one| Piece::Schedule(Box::new(one)));
                let head = std::iter::once(Piece::Head(self.cut.head));
                Ok(head.chain(paused).chain(set).chain(rated).chain(schedules).collect())
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
                    self.stage = Stage::Rest(self.rest());
                    Ok(Vec::new())
                }
            },
            Stage::Rest(jobs) => self.jobs(jobs),
            Stage::Done => Ok(Vec::new()),
        };
        // What was given up may have been removed under the reader, so nothing it found counts.
        if let Some(why) = self.cut.pin.given_up() {
            return Err(StoreError::Unavailable(why.into()));
        }
        let pieces = step?;
        pieces.iter().for_each(|piece| self.totals.count(piece));
        Ok(pieces)
    }

    fn events(&mut self, next: u64) -> Result<Vec<Piece>, StoreError> {
        let mut pieces = Vec::new();
        let until = self.cut.chunks.end.min(next + CHUNKS as u64);
        for number in next..until {
            let corrupt = |why| StoreError::Corrupt(format!("journal chunk {number}: {why}"));
            let chunk = self.shared.chunk(number)?.ok_or_else(|| corrupt("missing".into()))?;
            for record in chunk.records {
                self.fold.take(number, &record).map_err(corrupt)?;
                if let Record::Event(event) = record
                    && event.seq > self.cut.head.oldest
                {
                    pieces.push(Piece::Event(event));
                }
            }
        }
        self.stage = if until < self.cut.chunks.end {
            Stage::Events(until)
        } else {
            self.fold.forget_archived(self.cut.meta.archived);
            Stage::Archived(self.cut.archive.runs.values().cloned().collect())
        };
        Ok(pieces)
    }

    /// The jobs that the archive has not: the finished ones first, in the order of their ends.
    fn rest(&mut self) -> VecDeque<(JobId, Vec<u64>)> {
        let fold = std::mem::take(&mut self.fold);
        let (mut finished, waiting): (Vec<_>, Vec<_>) =
            fold.jobs.into_iter().partition(|(_, job)| job.status.state.is_final());
        finished.sort_by_key(|(_, job)| job.seq);
        let all = finished.into_iter().chain(waiting);
        all.map(|(id, job)| (id, job.trail.iter().collect())).collect()
    }

    fn jobs(&mut self, mut rest: VecDeque<(JobId, Vec<u64>)>) -> Result<Vec<Piece>, StoreError> {
        let mut reader = Reader::new(&self.shared);
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while pieces.len() < JOBS
            && bytes < BYTES
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
            self.stage = Stage::Rest(rest);
        }
        Ok(pieces)
    }
}

/// Everything in a log that no server uses, and when its last chunk was committed.
pub fn load(log: Box<dyn Log>) -> Result<(Core, Time), StoreError> {
    let for_ever = Keep { age: Duration::MAX, count: u64::MAX };
    let retention = Retention { events: for_ever, ..Retention::default() };
    let limits = Limits { retention, ..Limits::default() };
    let tuning = Tuning::default();
    let core = recover::load(log, limits, Arc::new(SystemClock), tuning)?;
    let last = match core.journal.chunks().last() {
        Some(number) => core.shared.chunk(number)?.map(|chunk| chunk.at).unwrap_or_default(),
        None => Time::default(),
    };
    Ok((core, last))
}

/// A walk along a store in use. Each step runs on a thread that may block.
pub struct Live(Option<Walk>);

impl Live {
    pub fn new(shared: Arc<Shared>, cut: Cut) -> Live {
        Live(Some(Walk::new(shared, cut)))
    }
}

#[async_trait]
impl Snapshot for Live {
    async fn next(&mut self) -> Result<Vec<Piece>, StoreError> {
        let Some(mut walk) = self.0.take() else {
            return Err(StoreError::Unavailable("a step of the snapshot was broken off".into()));
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
