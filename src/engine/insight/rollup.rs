//! Counts events into minutes, ten minutes and hours, which the store keeps for charts, and notes changes of queues, which
//! charts mark. What is counted depends only on the events and their order, so all nodes that share a store count the same.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::history::{HistoryPoint, IntervalCounts, Tally};
use super::meter::{TimedPhase, counts_of};
use super::schedule_runs::ScheduleRuns;
use crate::job::{Cursor, Event, Fact, Kind, QueueChange, QueueName, Time};
use crate::store::{
    HistoryBatch, HistoryKey, HistoryProgress, HistoryRow, HistorySeries, HistoryStep,
};

/// The steps of intervals, and the seconds of each.
const STEPS: [(HistoryStep, i64); 3] =
    [(HistoryStep::Minute, 60), (HistoryStep::TenMinutes, 600), (HistoryStep::Hour, 3_600)];
/// An event this many milliseconds before the newest one begins earlier intervals again, because the clock was set back.
/// Events that are only a little late count into the newest interval.
const SET_BACK_MS: i64 = 3_600_000;
/// The bits of a mark's number below its time. They come from the event's number, so that changes within a
/// millisecond are kept apart.
const MARK_BITS: u32 = 16;

/// A change of a queue, which charts mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMark {
    /// When it happened.
    pub at: Time,
    /// The queue.
    pub queue: QueueName,
    /// What was changed.
    pub change: QueueChange,
}

/// The value of a row for an interval.
#[derive(Serialize, Deserialize)]
struct StoredInterval {
    counts: IntervalCounts,
    wait: Histogram,
    run: Histogram,
}

/// What an event counts for.
struct Counted {
    counts: IntervalCounts,
    timed: TimedPhase,
    /// When it happened.
    happened: Time,
    /// The time whose intervals it counts into.
    into: Time,
}

/// The counts that are not finished or not stored yet.
#[derive(Debug)]
pub struct Rollup {
    /// Up to where events are counted; `None` until it is known what the store has.
    progress: Option<HistoryProgress>,
    all: OpenIntervals,
    queues: HashMap<QueueName, OpenIntervals>,
    kinds: HashMap<Kind, OpenIntervals>,
    /// The most queues, and the most kinds, that are counted at once.
    max_each: usize,
    /// Rows to be stored.
    finished: BTreeMap<HistoryKey, Vec<u8>>,
    /// Rows that are being stored.
    saving: BTreeMap<HistoryKey, Vec<u8>>,
    /// The newest runs of schedules, whose rows are stored together with the counts.
    pub schedule_runs: ScheduleRuns,
}

/// The intervals of a series that are counted now, in the order of [`STEPS`].
#[derive(Debug, Default)]
struct OpenIntervals([OpenInterval; 3]);

#[derive(Debug, Default)]
struct OpenInterval {
    tally: Tally,
    /// Whether it holds more than what is stored or being stored.
    is_changed: bool,
}

impl Rollup {
    /// Counts nothing before [`Rollup::resume`].
    pub fn new(max_each: usize) -> Rollup {
        Rollup {
            progress: None,
            all: OpenIntervals::default(),
            queues: HashMap::new(),
            kinds: HashMap::new(),
            max_each,
            finished: BTreeMap::new(),
            saving: BTreeMap::new(),
            schedule_runs: ScheduleRuns::default(),
        }
    }

    /// The keys of the intervals that were counted last, which go on after a restart.
    pub fn last_intervals(progress: &HistoryProgress) -> [(HistoryStep, u64); 3] {
        STEPS.map(|(step, seconds)| (step, number(progress.at, seconds).unsigned_abs()))
    }

    /// Goes on where the store's rows end. `rows` are those of [`Rollup::last_intervals`], and all of the runs of schedules.
    pub fn resume(&mut self, progress: HistoryProgress, rows: Vec<HistoryRow>) {
        self.progress = Some(progress);
        self.schedule_runs.resume(progress.through.seq, &rows);
        for (key, value) in rows {
            let Some(index) = STEPS.iter().position(|(step, _)| *step == key.step) else {
                continue;
            };
            let Some(stored) = decode(&value) else { continue };
            let series = match key.series {
                HistorySeries::Server => &mut self.all,
                HistorySeries::Queue(queue) => self.queues.entry(queue).or_default(),
                HistorySeries::Kind(kind) => self.kinds.entry(kind).or_default(),
            };
            let StoredInterval { counts, wait, run } = stored;
            let number = i64::try_from(key.number).unwrap_or(i64::MAX);
            series.0[index] =
                OpenInterval { tally: Tally { number, counts, wait, run }, is_changed: false };
        }
    }

    /// Counts an event, unless it was counted before. `timed` is the phase that it ends.
    pub fn add(&mut self, event: &Event, timed: TimedPhase) {
        self.schedule_runs.add(event);
        let Some(progress) = &mut self.progress else { return };
        if event.seq <= progress.through.seq {
            return;
        }
        progress.through.seq = event.seq;
        if event.at > progress.at || event.at.millis() < progress.at.millis() - SET_BACK_MS {
            progress.at = event.at;
        }
        let at = progress.at;
        match &event.fact {
            Fact::Job { labels, change, .. } => {
                let counted =
                    Counted { counts: counts_of(change), timed, happened: event.at, into: at };
                let finished = &mut self.finished;
                self.all.add(|| HistorySeries::Server, &counted, finished);
                let (queue, kind, most) = (&labels.queue, &labels.kind, self.max_each);
                if let Some(series) = entry(&mut self.queues, queue, most) {
                    series.add(|| HistorySeries::Queue(queue.clone()), &counted, finished);
                }
                if let Some(series) = entry(&mut self.kinds, kind, most) {
                    series.add(|| HistorySeries::Kind(kind.clone()), &counted, finished);
                }
            }
            Fact::Queue { queue, change } => self.mark(event, queue, *change),
            Fact::Schedule { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => {}
        }
    }

    fn mark(&mut self, event: &Event, queue: &QueueName, change: QueueChange) {
        let mark = HistoryMark { at: event.at, queue: queue.clone(), change };
        let Ok(value) = postcard::to_stdvec(&mark) else { return };
        let number = mark_number(event.at) | (event.seq & ((1 << MARK_BITS) - 1));
        for series in [HistorySeries::Server, HistorySeries::Queue(queue.clone())] {
            let key = HistoryKey { step: HistoryStep::Mark, series, number };
            self.finished.insert(key, value.clone());
        }
    }

    /// The rows of a series that the store may not have yet, from a number on; newer than those of the same number in the
    /// store.
    pub fn rows(&self, step: HistoryStep, series: &HistorySeries, from: u64) -> Vec<HistoryRow> {
        let mut rows = BTreeMap::new();
        for known in [&self.saving, &self.finished] {
            let last = HistoryKey { step, series: series.clone(), number: u64::MAX };
            let first = HistoryKey { number: from, ..last.clone() };
            rows.extend(known.range(first..=last).map(|(key, value)| (key.clone(), value.clone())));
        }
        let intervals = match series {
            HistorySeries::Server => Some(&self.all),
            HistorySeries::Queue(queue) => self.queues.get(queue),
            HistorySeries::Kind(kind) => self.kinds.get(kind),
        };
        let index = STEPS.iter().position(|(known, _)| *known == step);
        if let (Some(intervals), Some(index)) = (intervals, index) {
            let row = intervals.0[index].row(step, series.clone());
            rows.extend(row.filter(|(key, _)| key.number >= from));
        }
        rows.into_iter().collect()
    }

    /// Begins to store what is not stored yet; `None` when there is nothing. [`Rollup::saved`] or
    /// [`Rollup::not_saved`] ends it.
    pub fn save(&mut self) -> Option<HistoryBatch> {
        let progress = self.progress?;
        let mut changed = Vec::new();
        self.all.take_changed(|| HistorySeries::Server, &mut changed);
        for (queue, series) in &mut self.queues {
            series.take_changed(|| HistorySeries::Queue(queue.clone()), &mut changed);
        }
        for (kind, series) in &mut self.kinds {
            series.take_changed(|| HistorySeries::Kind(kind.clone()), &mut changed);
        }
        self.saving = std::mem::take(&mut self.finished);
        self.saving.extend(changed);
        self.saving.extend(self.schedule_runs.take_changed());
        // Queues and kinds to which nothing has happened in this hour are read from the store.
        let hour = number(progress.at, 3_600);
        self.queues.retain(|_, series| series.0[2].tally.number == hour);
        self.kinds.retain(|_, series| series.0[2].tally.number == hour);
        if self.saving.is_empty() {
            return None;
        }
        let rows = self.saving.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Some(HistoryBatch { progress, rows, forget: Vec::new() })
    }

    /// The rows are stored, or others that have counted as far.
    pub fn saved(&mut self) {
        self.saving.clear();
    }

    /// The rows could not be stored. They are stored later, unless newer ones of the same intervals are.
    pub fn not_saved(&mut self) {
        for (key, value) in std::mem::take(&mut self.saving) {
            self.finished.entry(key).or_insert(value);
        }
    }
}

impl OpenIntervals {
    /// Counts an event. `series` is asked only when an interval ends, because its name is a copy.
    fn add(
        &mut self,
        series: impl Fn() -> HistorySeries,
        event: &Counted,
        finished: &mut BTreeMap<HistoryKey, Vec<u8>>,
    ) {
        for (open, (step, seconds)) in self.0.iter_mut().zip(STEPS) {
            let number = number(event.into, seconds);
            if open.tally.number != number {
                if open.is_changed {
                    finished.extend(open.row(step, series()));
                }
                *open =
                    OpenInterval { tally: Tally { number, ..Tally::default() }, is_changed: false };
            }
            open.is_changed = true;
            open.tally.count(event.counts, event.timed, event.happened);
        }
    }

    fn take_changed(&mut self, series: impl Fn() -> HistorySeries, changed: &mut Vec<HistoryRow>) {
        for (open, (step, _)) in self.0.iter_mut().zip(STEPS) {
            if std::mem::take(&mut open.is_changed) {
                changed.extend(open.row(step, series()));
            }
        }
    }
}

impl OpenInterval {
    fn row(&self, step: HistoryStep, series: HistorySeries) -> Option<HistoryRow> {
        let number = u64::try_from(self.tally.number).ok().filter(|number| *number > 0)?;
        let (wait, run) = (self.tally.wait.coarse(), self.tally.run.coarse());
        let value = postcard::to_stdvec(&StoredInterval { counts: self.tally.counts, wait, run });
        Some((HistoryKey { step, series, number }, value.ok()?))
    }
}

/// The intervals of a queue or a kind, which are new unless too many are counted already.
fn entry<'a, K: Clone + Eq + Hash>(
    all: &'a mut HashMap<K, OpenIntervals>,
    name: &K,
    most: usize,
) -> Option<&'a mut OpenIntervals> {
    if !all.contains_key(name) {
        if all.len() >= most {
            return None;
        }
        all.insert(name.clone(), OpenIntervals::default());
    }
    all.get_mut(name)
}

/// The seconds of an interval.
pub fn seconds(step: HistoryStep) -> i64 {
    STEPS.iter().find(|(known, _)| *known == step).map_or(1, |(_, seconds)| *seconds)
}

/// The number of the first mark at a time.
pub fn mark_number(at: Time) -> u64 {
    u64::try_from(at.millis()).unwrap_or(0) << MARK_BITS
}

/// Reads an interval; `None` for a row that a later version may have written.
pub fn point(step: HistoryStep, number: u64, value: &[u8]) -> Option<HistoryPoint> {
    let StoredInterval { counts, wait, run } = decode(value)?;
    let tally = Tally { number: i64::try_from(number).ok()?, counts, wait, run };
    Some(tally.point(seconds(step)))
}

/// How long attempts ran that ended in an interval; `None` for a row that a later version may have written.
pub fn run_histogram(value: &[u8]) -> Option<Histogram> {
    decode(value).map(|stored| stored.run)
}

/// How long jobs had waited that started in an interval.
pub fn wait_histogram(value: &[u8]) -> Option<Histogram> {
    decode(value).map(|stored| stored.wait)
}

/// Reads a mark.
pub fn mark(value: &[u8]) -> Option<HistoryMark> {
    postcard::from_bytes(value).ok()
}

/// Up to where a process has counted that begins with `head`, when the store has `stored`. Events that were lost with an
/// earlier epoch stay counted.
pub fn progress_at(stored: Option<HistoryProgress>, head: Cursor) -> HistoryProgress {
    let nothing = HistoryProgress { through: Cursor { seq: 0, ..head }, at: Time::from_millis(0) };
    let HistoryProgress { through, at } = stored.unwrap_or(nothing);
    let through = Cursor { epoch: head.epoch, seq: through.seq.min(head.seq) };
    HistoryProgress { through, at }
}

fn decode(value: &[u8]) -> Option<StoredInterval> {
    postcard::from_bytes(value).ok()
}

fn number(at: Time, seconds: i64) -> i64 {
    at.millis().div_euclid(1_000 * seconds)
}

#[cfg(test)]
mod tests;
