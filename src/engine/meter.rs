//! Rates and latencies out of the event stream, in bounded memory: counts per second, a sample of the
//! times, and a sample of the jobs whose times are kept when there are too many to keep them all.

use std::collections::{HashMap, VecDeque};

use crate::job::{Change, Event, Fact, JobId, State, Time};

/// What happened per second, over the last whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Jobs accepted.
    pub enqueued: f64,
    /// Attempts begun.
    pub started: f64,
    /// Jobs completed.
    pub completed: f64,
    /// Attempts that failed, whether the job is tried again or not.
    pub failed: f64,
}

/// Lengths of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Half of them are at most this long.
    pub p50: u64,
    /// All but one in a hundred are at most this long.
    pub p99: u64,
}

/// Whole seconds that rates and latencies look back.
const WINDOW: i64 = 5;
/// Jobs whose times are kept at once.
const MAX_JOBS: usize = 16_384;
/// Times kept for each second.
const MAX_TIMES: usize = 1_000;

pub(super) struct Meter {
    /// The second in which it began to count.
    began: i64,
    /// Oldest first.
    seconds: VecDeque<Second>,
    /// Since when sampled jobs are as they are.
    since: HashMap<JobId, Phase>,
    /// A job is in the sample when these bits of its id are zero. They are random bits, so waiting jobs
    /// that fill the table (a paused queue) thin the sample out and do not end it.
    mask: u32,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Available(Time),
    Running(Time),
}

#[derive(Default)]
struct Second {
    at: i64,
    enqueued: u32,
    started: u32,
    completed: u32,
    failed: u32,
    waits: Times,
    runs: Times,
}

impl Second {
    fn ran(&mut self, phase: Option<&Phase>, at: Time) {
        if let Some(Phase::Running(since)) = phase {
            self.runs.add(*since, at);
        }
    }
}

/// A fair sample of lengths of time.
#[derive(Default)]
struct Times {
    seen: usize,
    kept: Vec<u64>,
}

impl Times {
    fn add(&mut self, from: Time, to: Time) {
        let ms = u64::try_from(to.millis().saturating_sub(from.millis())).unwrap_or(0);
        self.seen += 1;
        if self.kept.len() < MAX_TIMES {
            self.kept.push(ms);
        } else if let Some(kept) = self.kept.get_mut(fastrand::usize(..self.seen)) {
            *kept = ms;
        }
    }
}

impl Meter {
    pub(super) fn new(now: Time) -> Self {
        Meter { began: second(now), seconds: VecDeque::new(), since: HashMap::new(), mask: 0 }
    }

    pub(super) fn add(&mut self, event: &Event) {
        let Fact::Job { id, state, change, .. } = &event.fact else { return };
        let (id, at) = (*id, event.at);
        let now = now(&mut self.seconds, second(at));
        match change {
            Change::Progressed(_) | Change::Logged(_) | Change::CancelAsked => return,
            Change::Enqueued { .. } => now.enqueued += 1,
            Change::Started { .. } => {
                now.started += 1;
                if let Some(Phase::Available(since)) = self.since.get(&id) {
                    now.waits.add(*since, at);
                }
            }
            Change::Completed { .. } => {
                now.completed += 1;
                now.ran(self.since.get(&id), at);
            }
            Change::RetryScheduled { .. } | Change::Discarded { .. } => {
                now.failed += 1;
                now.ran(self.since.get(&id), at);
            }
            Change::BecameAvailable
            | Change::Snoozed { .. }
            | Change::Cancelled
            | Change::Interrupted { .. }
            | Change::Rescued { .. }
            | Change::Retried
            | Change::Deleted
            | Change::Moved { .. }
            | Change::Reprioritised { .. } => {}
        }
        if *change == Change::Deleted {
            return self.forget(id);
        }
        match state {
            State::Available => self.keep(id, Phase::Available(at)),
            State::Running => self.keep(id, Phase::Running(at)),
            State::Scheduled
            | State::Retryable
            | State::Completed
            | State::Discarded
            | State::Cancelled => self.forget(id),
        }
    }

    fn keep(&mut self, id: JobId, phase: Phase) {
        if !in_sample(id, self.mask) {
            return;
        }
        self.since.insert(id, phase);
        while self.since.len() > MAX_JOBS && self.mask != u32::MAX {
            let mask = self.mask << 1 | 1;
            self.mask = mask;
            self.since.retain(|id, _| in_sample(*id, mask));
        }
    }

    fn forget(&mut self, id: JobId) {
        self.since.remove(&id);
        if self.since.len() < MAX_JOBS / 8 {
            self.mask >>= 1;
        }
    }

    /// The last whole seconds before `now`.
    pub(super) fn read(&self, now: Time) -> (Rates, Option<Latency>, Option<Latency>) {
        let now = second(now);
        let from = (now - WINDOW).max(self.began);
        let length = (now - from).max(1) as f64;
        let window = || self.seconds.iter().filter(|second| (from..now).contains(&second.at));
        let rate = |count: fn(&Second) -> u32| {
            window().map(|second| f64::from(count(second))).sum::<f64>() / length
        };
        let rates = Rates {
            enqueued: rate(|second| second.enqueued),
            started: rate(|second| second.started),
            completed: rate(|second| second.completed),
            failed: rate(|second| second.failed),
        };
        let waits = window().flat_map(|second| second.waits.kept.iter().copied()).collect();
        let runs = window().flat_map(|second| second.runs.kept.iter().copied()).collect();
        (rates, latency(waits), latency(runs))
    }
}

fn second(at: Time) -> i64 {
    at.millis().div_euclid(1_000)
}

/// The counts of a second; those of the newest when the clock went back.
fn now(seconds: &mut VecDeque<Second>, at: i64) -> &mut Second {
    if seconds.back().is_none_or(|newest| newest.at < at) {
        seconds.push_back(Second { at, ..Second::default() });
        while seconds.front().is_some_and(|oldest| oldest.at < at - WINDOW - 1) {
            seconds.pop_front();
        }
    }
    let newest = seconds.len() - 1;
    &mut seconds[newest]
}

fn in_sample(id: JobId, mask: u32) -> bool {
    id.as_u128() as u32 & mask == 0
}

fn latency(mut times: Vec<u64>) -> Option<Latency> {
    times.sort_unstable();
    let last = times.len().checked_sub(1)?;
    let at = |percent: usize| times[last * percent / 100];
    Some(Latency { p50: at(50), p99: at(99) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Json, Kind, Labels, QueueName, WorkerName};

    fn event(job: u128, ms: i64, state: State, change: Change) -> Event {
        let kind = Kind::parse("echo").unwrap();
        let labels = Labels { queue: QueueName::default(), kind, tags: Box::new([]) };
        let (id, labels) = (JobId::from_u128(job), labels.into());
        let fact = Fact::Job { id, labels, state, attempt: 1, change };
        Event { seq: 1, at: Time::from_millis(ms), fact }
    }

    fn life(meter: &mut Meter, job: u128, available: i64, started: i64, done: i64) {
        let worker = WorkerName::parse("w").unwrap();
        meter.add(&event(job, available, State::Available, Change::BecameAvailable));
        meter.add(&event(job, started, State::Running, Change::Started { worker }));
        let result = Json::null();
        meter.add(&event(job, done, State::Completed, Change::Completed { result }));
    }

    #[test]
    fn rates_and_latencies_are_those_of_the_last_whole_seconds() {
        let mut meter = Meter::new(Time::from_millis(0));
        for job in 0..100 {
            life(&mut meter, job, 1_000, 1_010, 1_030);
        }
        life(&mut meter, 100, 1_000, 1_900, 2_900);
        let (rates, wait, run) = meter.read(Time::from_millis(5_500));
        assert_eq!((rates.started, rates.completed), (101.0 / 5.0, 101.0 / 5.0));
        assert_eq!(wait, Some(Latency { p50: 10, p99: 10 }));
        assert_eq!(run, Some(Latency { p50: 20, p99: 20 }));
        let (rates, wait, run) = meter.read(Time::from_millis(7_500));
        assert_eq!((rates.started, rates.completed, wait), (0.0, 0.2, None));
        assert_eq!(run, Some(Latency { p50: 1_000, p99: 1_000 }));
        assert!(meter.since.is_empty(), "jobs that ended are forgotten");
    }

    #[test]
    fn jobs_that_wait_for_ever_thin_the_sample_out_and_do_not_end_it() {
        let mut meter = Meter::new(Time::from_millis(0));
        for job in 0..200_000 {
            let id = JobId::generate().as_u128() ^ job;
            meter.add(&event(id, 0, State::Available, Change::BecameAvailable));
        }
        assert!(meter.since.len() <= MAX_JOBS && meter.mask > 0, "{}", meter.mask);
        for _ in 0..5_000 {
            life(&mut meter, JobId::generate().as_u128(), 1_000, 1_005, 1_010);
        }
        let (rates, wait, _) = meter.read(Time::from_millis(2_000));
        assert_eq!((rates.started, wait), (2_500.0, Some(Latency { p50: 5, p99: 5 })));
    }
}
