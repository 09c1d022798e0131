//! Counts events into the history of the server and of each queue, and times a random sample of the jobs: the busier
//! the server, the smaller the sample.

use std::collections::HashMap;
use std::sync::Arc;

use super::histogram::Latency;
use super::history::{Activity, HistoryPoint, IntervalCounts, SECONDS, Series, Tally, WINDOW};
use crate::job::{Change, Event, Fact, JobId, Labels, QueueName, State, Time};

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

/// The history of one queue.
struct QueueHistory {
    name: QueueName,
    series: Series,
    /// The second from which on the history is complete: an earlier history of the queue may have been dropped.
    complete_from: i64,
}

/// The most jobs that are timed at once.
const MAX_JOBS: usize = 16_384;
/// About how many attempts are timed in a second. Timing more of them would cost time and add no information.
const MAX_TIMED_PER_SECOND: u32 = 4_000;

pub struct Meter {
    /// The second in which counting started.
    began: i64,
    all: Series,
    queues: Vec<QueueHistory>,
    /// The most queues with a history. A new queue replaces the one that has been idle longest.
    max_queues: usize,
    /// The queues whose histories were dropped, each with its last second, so that they are not taken for idle ones;
    /// as many as there are histories.
    dropped: HashMap<QueueName, i64>,
    /// The newest second in a dropped history whose queue is not known any more.
    forgotten_until: i64,
    indexes: HashMap<QueueName, usize>,
    /// The last labels and the index of their queue, because events of the same queue often follow each other.
    last: Option<(Arc<Labels>, usize)>,
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
    pub fn new(now: Time, max_queues: usize) -> Self {
        Meter {
            began: second(now),
            all: Series::default(),
            queues: Vec::new(),
            max_queues,
            dropped: HashMap::new(),
            forgotten_until: i64::MIN,
            indexes: HashMap::new(),
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
        let index = self.index(labels, at);
        let counts = counts_of(change);
        let timed = if is_note(change) {
            TimedPhase::Nothing
        } else {
            self.follow(*id, *state, change, event.at)
        };
        for tally in [self.all.at(at), self.queues[index].series.at(at)] {
            tally.count(counts, timed, event.at);
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

    fn index(&mut self, labels: &Arc<Labels>, at: i64) -> usize {
        if let Some((last, index)) = &self.last
            && (Arc::ptr_eq(last, labels) || last.queue == labels.queue)
        {
            return *index;
        }
        let index = match self.indexes.get(&labels.queue) {
            Some(index) => *index,
            None => self.add_queue(&labels.queue, at),
        };
        self.last = Some((labels.clone(), index));
        index
    }

    fn add_queue(&mut self, queue: &QueueName, at: i64) -> usize {
        let is_complete = self.dropped.remove(queue).is_none() && self.forgotten_until < oldest(at);
        let complete_from = if is_complete { i64::MIN } else { at };
        let fresh = QueueHistory { name: queue.clone(), series: Series::default(), complete_from };
        let quietest = (0..self.queues.len()).min_by_key(|index| self.queues[*index].series.last());
        let index = match quietest {
            Some(index) if self.queues.len() >= self.max_queues => {
                let dropped = std::mem::replace(&mut self.queues[index], fresh);
                self.indexes.remove(&dropped.name);
                self.remember_dropped(dropped.name, dropped.series.last(), at);
                index
            }
            Some(_) | None => {
                self.queues.push(fresh);
                self.queues.len() - 1
            }
        };
        self.indexes.insert(queue.clone(), index);
        index
    }

    fn remember_dropped(&mut self, name: QueueName, last: i64, now: i64) {
        if self.dropped.len() >= self.max_queues {
            self.dropped.retain(|_, last| *last >= oldest(now));
        }
        if self.dropped.len() < self.max_queues {
            self.dropped.insert(name, last);
        } else {
            self.forgotten_until = self.forgotten_until.max(last);
        }
    }

    /// The last seconds of the server.
    pub fn recent(&mut self, now: Time) -> Recent {
        recent(&mut self.all, self.began, now)
    }

    /// The last seconds of each queue in which something happened.
    pub fn recent_of_queues(&mut self, now: Time) -> HashMap<QueueName, Recent> {
        let from = second(now) - WINDOW - 1;
        let busy = self.queues.iter_mut().filter(|queue| queue.series.last() >= from);
        let began = self.began;
        busy.map(|queue| (queue.name.clone(), recent(&mut queue.series, began, now))).collect()
    }

    /// What happened in each queue in the last five minutes; idle queues are left out.
    pub fn activity(&self, now: Time) -> HashMap<QueueName, Activity> {
        let from = oldest(second(now));
        let busy = self.queues.iter().filter(|queue| queue.series.last() >= from);
        let since = Time::from_millis(from * 1_000);
        busy.map(|queue| (queue.name.clone(), queue.series.activity_since(since))).collect()
    }

    /// Whether everything that happened in a queue in the last five minutes is known.
    pub fn knows_recent(&self, queue: &QueueName, now: Time) -> bool {
        let from = oldest(second(now));
        match self.indexes.get(queue) {
            Some(index) => self.queues[*index].complete_from <= from,
            None => {
                let was_active = self.dropped.get(queue).is_some_and(|last| *last >= from);
                !was_active && self.forgotten_until < from
            }
        }
    }

    /// The seconds before `now` of the server or of a queue; empty when nothing is known.
    pub fn points(&mut self, queue: Option<&QueueName>, now: Time) -> Vec<HistoryPoint> {
        let index = queue.map(|queue| self.indexes.get(queue).copied());
        let series = match index {
            None => &mut self.all,
            Some(Some(index)) => &mut self.queues[index].series,
            Some(None) => return Vec::new(),
        };
        series.points(second(now))
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

fn recent(series: &mut Series, began: i64, now: Time) -> Recent {
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

/// The oldest second of the five minutes before `now`.
fn oldest(now: i64) -> i64 {
    now - SECONDS as i64
}

fn second(at: Time) -> i64 {
    at.millis().div_euclid(1_000)
}

fn in_sample(id: JobId, mask: u32) -> bool {
    id.as_u128() as u32 & mask == 0
}

#[cfg(test)]
mod tests;
