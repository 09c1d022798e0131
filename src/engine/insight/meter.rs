//! Counts events into the history of the server, of each queue and of each kind, and times a random sample of the jobs: the
//! busier the server, the smaller the sample.

use std::collections::HashMap;
use std::sync::Arc;

use super::histogram::Latency;
use super::history::{Activity, HistoryPoint, IntervalCounts, Series, Tally, WINDOW};
use super::series_table::{SeriesTable, oldest};
use crate::job::{Change, Event, Fact, JobId, Kind, Labels, QueueName, State, Time};
use crate::store::HistorySeries;

/// Rates per second over the last full seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Events of any type.
    pub events: f64,
    /// Jobs enqueued.
    pub enqueued: f64,
    /// Attempts started.
    pub started: f64,
    /// Jobs completed.
    pub completed: f64,
    /// Attempts that failed, whether the job is retried or not.
    pub failed: f64,
}

/// Rates and latencies over the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recent {
    pub rates: Rates,
    pub wait: Option<Latency>,
    pub run: Option<Latency>,
    /// The last full second.
    pub second: HistoryPoint,
}

/// The most jobs that are timed at once.
const MAX_JOBS: usize = 16_384;
/// About how many attempts are timed in a second. Timing more of them would cost time and add no information.
const MAX_TIMED_PER_SECOND: u32 = 4_000;

pub struct Meter {
    /// The second in which counting started.
    began: i64,
    all: Series,
    queues: SeriesTable<QueueName>,
    kinds: SeriesTable<Kind>,
    /// The last labels and the indexes of their queue and kind, because events of the same queue often follow each other.
    last: Option<(Arc<Labels>, usize, usize)>,
    /// The phase of each job in the sample.
    since: HashMap<JobId, EndedPhase>,
    /// A job is in the sample when these bits of its id are zero. The bits are random, so waiting jobs that fill
    /// the table (of a paused queue) make the sample smaller but do not end it.
    mask: u32,
    /// A second, and the number of attempts that started in it.
    starts: (i64, u32),
}

#[derive(Debug, Clone, Copy)]
enum EndedPhase {
    Available(Time),
    Running(Time),
}

/// The phase that an event ends, and when that phase began.
#[derive(Clone, Copy)]
pub enum TimedPhase {
    Nothing,
    Wait(Time),
    Run(Time),
}

impl Meter {
    /// A meter with histories of at most `max_each` queues, and as many kinds.
    pub fn new(now: Time, max_each: usize) -> Self {
        Meter {
            began: second(now),
            all: Series::default(),
            queues: SeriesTable::new(max_each),
            kinds: SeriesTable::new(max_each),
            last: None,
            since: HashMap::new(),
            mask: 0,
            starts: (0, 0),
        }
    }

    /// How many jobs each job in the sample stands for.
    pub fn weight(&self) -> u64 {
        u64::from(self.mask) + 1
    }

    /// Counts an event. Returns the phase that it ends, if its job is in the sample.
    pub fn add(&mut self, event: &Event) -> TimedPhase {
        let at = second(event.at);
        let Fact::Job { id, labels, state, change, .. } = &event.fact else {
            self.all.at(at).counts.events += 1;
            return TimedPhase::Nothing;
        };
        let (queue, kind) = self.indexes(labels, at);
        let counts = counts_of(change);
        let timed = if is_note(change) {
            TimedPhase::Nothing
        } else {
            self.follow(*id, *state, change, event.at)
        };
        let (queue, kind) = (self.queues.at(queue), self.kinds.at(kind));
        for series in [&mut self.all, queue, kind] {
            series.at(at).count(counts, timed, event.at);
        }
        self.resize_sample(at, counts.started);
        timed
    }

    /// Updates the phase of a job that is in the sample. Returns the phase that ended.
    fn follow(&mut self, id: JobId, state: State, change: &Change, at: Time) -> TimedPhase {
        if !in_sample(id, self.mask) {
            return TimedPhase::Nothing;
        }
        let next = match state {
            State::Available => Some(EndedPhase::Available(at)),
            State::Running => Some(EndedPhase::Running(at)),
            State::Scheduled
            | State::Retryable
            | State::Completed
            | State::Discarded
            | State::Cancelled => None,
        };
        let next = next.filter(|_| *change != Change::Deleted);
        let before = match next {
            Some(phase) => self.since.insert(id, phase),
            None => self.since.remove(&id),
        };
        if self.since.len() > MAX_JOBS {
            self.thin_out();
        }
        let ends = matches!(
            change,
            Change::Completed { .. } | Change::RetryScheduled { .. } | Change::Discarded { .. }
        );
        match (change, before) {
            (Change::Started { .. }, Some(EndedPhase::Available(since))) => TimedPhase::Wait(since),
            (_, Some(EndedPhase::Running(since))) if ends => TimedPhase::Run(since),
            (_, Some(EndedPhase::Available(_) | EndedPhase::Running(_)) | None) => {
                TimedPhase::Nothing
            }
        }
    }

    fn thin_out(&mut self) {
        while self.since.len() > MAX_JOBS && self.mask != u32::MAX {
            let mask = self.mask << 1 | 1;
            self.mask = mask;
            self.since.retain(|id, _| in_sample(*id, mask));
        }
    }

    /// Adjusts the sample once a second: smaller when many attempts start, larger when few jobs are in it.
    fn resize_sample(&mut self, at: i64, started: u32) {
        if at <= self.starts.0 {
            self.starts.1 += started;
            return;
        }
        let timed = self.starts.1 / (self.mask.saturating_add(1).max(1));
        if timed > MAX_TIMED_PER_SECOND && self.mask != u32::MAX {
            let mask = self.mask << 1 | 1;
            self.mask = mask;
            self.since.retain(|id, _| in_sample(*id, mask));
        } else if timed < MAX_TIMED_PER_SECOND / 4 && self.since.len() < MAX_JOBS / 4 {
            self.mask >>= 1;
        }
        self.starts = (at, started);
    }

    /// The indexes of the queue and of the kind.
    fn indexes(&mut self, labels: &Arc<Labels>, at: i64) -> (usize, usize) {
        let is_same = |last: &Arc<Labels>| {
            Arc::ptr_eq(last, labels) || (last.queue == labels.queue && last.kind == labels.kind)
        };
        if let Some((last, queue, kind)) = &self.last
            && is_same(last)
        {
            return (*queue, *kind);
        }
        let (queue, kind) =
            (self.queues.index(&labels.queue, at), self.kinds.index(&labels.kind, at));
        self.last = Some((labels.clone(), queue, kind));
        (queue, kind)
    }

    /// The last seconds of the server.
    pub fn recent(&self, now: Time) -> Recent {
        recent(&self.all, self.began, now)
    }

    /// The last seconds of each queue in which something happened.
    pub fn recent_of_queues(&self, now: Time) -> HashMap<QueueName, Recent> {
        let busy = self.queues.since(second(now) - WINDOW - 1);
        let began = self.began;
        busy.map(|(name, series)| (name.clone(), recent(series, began, now))).collect()
    }

    /// What happened in each queue in the last five minutes; idle queues are left out.
    pub fn activity(&self, now: Time) -> HashMap<QueueName, Activity> {
        let from = oldest(second(now));
        let since = Time::from_millis(from * 1_000);
        let busy = self.queues.since(from);
        busy.map(|(name, series)| (name.clone(), series.activity_since(since))).collect()
    }

    /// Whether everything that happened in a queue in the last five minutes is known.
    pub fn knows_recent(&self, queue: &QueueName, now: Time) -> bool {
        self.queues.knows_recent(queue, second(now))
    }

    /// Whether everything that happened to a kind in the last five minutes is known.
    pub fn knows_kind(&self, kind: &Kind, now: Time) -> bool {
        self.kinds.knows_recent(kind, second(now))
    }

    /// The seconds before `now`; empty when nothing is known.
    pub fn points(&self, of: &HistorySeries, now: Time) -> Vec<HistoryPoint> {
        let series = match of {
            HistorySeries::Server => Some(&self.all),
            HistorySeries::Queue(queue) => self.queues.get(queue),
            HistorySeries::Kind(kind) => self.kinds.get(kind),
        };
        series.map(|series| series.points(second(now))).unwrap_or_default()
    }
}

impl Tally {
    /// Counts an event that happened at `at`.
    pub fn count(&mut self, counts: IntervalCounts, timed: TimedPhase, at: Time) {
        self.counts.add(counts);
        match timed {
            TimedPhase::Nothing => {}
            TimedPhase::Wait(since) => self.wait.add(since, at),
            TimedPhase::Run(since) => self.run.add(since, at),
        }
    }
}

/// Whether a change leaves the job in its state.
fn is_note(change: &Change) -> bool {
    matches!(change, Change::Progressed(_) | Change::Logged(_) | Change::CancelAsked)
}

/// What a change of a job counts as.
pub fn counts_of(change: &Change) -> IntervalCounts {
    let mut counts = IntervalCounts { events: 1, ..IntervalCounts::default() };
    match change {
        Change::Enqueued { .. } => counts.enqueued = 1,
        Change::Started { .. } => counts.started = 1,
        Change::Completed { .. } => counts.completed = 1,
        Change::RetryScheduled { .. } | Change::Discarded { .. } => counts.failed = 1,
        Change::Progressed(_)
        | Change::Logged(_)
        | Change::CancelAsked
        | Change::BecameAvailable
        | Change::Snoozed { .. }
        | Change::Cancelled
        | Change::Interrupted { .. }
        | Change::Rescued { .. }
        | Change::Retried
        | Change::Deleted
        | Change::Moved { .. }
        | Change::Reprioritised { .. } => {}
    }
    counts
}

fn recent(series: &Series, began: i64, now: Time) -> Recent {
    let now = second(now);
    let length = (now - began).clamp(1, WINDOW) as f64;
    let window = series.window(now);
    let rate = |count: u32| f64::from(count) / length;
    let IntervalCounts { events, enqueued, started, completed, failed } = window.counts;
    Recent {
        rates: Rates {
            events: rate(events),
            enqueued: rate(enqueued),
            started: rate(started),
            completed: rate(completed),
            failed: rate(failed),
        },
        wait: window.wait.latency(),
        run: window.run.latency(),
        second: series.last_second(now),
    }
}

fn second(at: Time) -> i64 {
    at.millis().div_euclid(1_000)
}

fn in_sample(id: JobId, mask: u32) -> bool {
    id.as_u128() as u32 & mask == 0
}

#[cfg(test)]
mod tests;
