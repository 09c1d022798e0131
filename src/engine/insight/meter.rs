//! Counts events into the history of the server and of each queue, and times a random sample of the jobs: the busier
//! the server, the smaller the sample.

use std::collections::HashMap;
use std::sync::Arc;

use super::histogram::Latency;
use super::history::{Counts, Point, Series, Tally, WINDOW};
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
    pub second: Point,
}

/// The most jobs that are timed at once.
const MAX_JOBS: usize = 16_384;
/// The most queues with a history. A new queue replaces the one that has been idle longest.
const MAX_QUEUES: usize = 200;
/// About how many attempts are timed in a second. Timing more of them would cost time and add no information.
const MAX_TIMED_PER_SECOND: u32 = 4_000;

pub struct Meter {
    /// The second in which counting started.
    began: i64,
    all: Series,
    queues: Vec<(QueueName, Series)>,
    indexes: HashMap<QueueName, usize>,
    /// The last labels and the index of their queue, because events of the same queue often follow each other.
    last: Option<(Arc<Labels>, usize)>,
    /// The phase of each job in the sample.
    since: HashMap<JobId, Phase>,
    /// A job is in the sample when these bits of its id are zero. The bits are random, so waiting jobs that fill
    /// the table (of a paused queue) make the sample smaller but do not end it.
    mask: u32,
    /// A second, and the number of attempts that started in it.
    starts: (i64, u32),
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Available(Time),
    Running(Time),
}

/// The phase that an event ends, and when that phase began.
#[derive(Clone, Copy)]
pub enum Timed {
    Nothing,
    Wait(Time),
    Run(Time),
}

impl Meter {
    pub fn new(now: Time) -> Self {
        Meter {
            began: second(now),
            all: Series::default(),
            queues: Vec::new(),
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
    pub fn add(&mut self, event: &Event) -> Timed {
        let at = second(event.at);
        self.all.at(at).counts.events += 1;
        let Fact::Job { id, labels, state, change, .. } = &event.fact else {
            return Timed::Nothing;
        };
        let index = self.index(labels);
        let mut counts = Counts::default();
        match change {
            Change::Progressed(_) | Change::Logged(_) | Change::CancelAsked => {
                self.queues[index].1.at(at).counts.events += 1;
                return Timed::Nothing;
            }
            Change::Enqueued { .. } => counts.enqueued = 1,
            Change::Started { .. } => counts.started = 1,
            Change::Completed { .. } => counts.completed = 1,
            Change::RetryScheduled { .. } | Change::Discarded { .. } => counts.failed = 1,
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
        let timed = self.follow(*id, *state, change, event.at);
        let of_queue = self.queues[index].1.at(at);
        of_queue.counts.events += 1;
        for tally in [self.all.at(at), of_queue] {
            tally.count(counts, timed, event.at);
        }
        self.resize_sample(at, counts.started);
        timed
    }

    /// Updates the phase of a job that is in the sample. Returns the phase that ended.
    fn follow(&mut self, id: JobId, state: State, change: &Change, at: Time) -> Timed {
        if !in_sample(id, self.mask) {
            return Timed::Nothing;
        }
        let next = match state {
            State::Available => Some(Phase::Available(at)),
            State::Running => Some(Phase::Running(at)),
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
            (Change::Started { .. }, Some(Phase::Available(since))) => Timed::Wait(since),
            (_, Some(Phase::Running(since))) if ends => Timed::Run(since),
            (_, Some(Phase::Available(_) | Phase::Running(_)) | None) => Timed::Nothing,
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

    fn index(&mut self, labels: &Arc<Labels>) -> usize {
        if let Some((last, index)) = &self.last
            && (Arc::ptr_eq(last, labels) || last.queue == labels.queue)
        {
            return *index;
        }
        let index = match self.indexes.get(&labels.queue) {
            Some(index) => *index,
            None => self.add_queue(&labels.queue),
        };
        self.last = Some((labels.clone(), index));
        index
    }

    fn add_queue(&mut self, queue: &QueueName) -> usize {
        let fresh = (queue.clone(), Series::default());
        let quietest = (0..self.queues.len()).min_by_key(|index| self.queues[*index].1.last());
        let index = match quietest {
            Some(index) if self.queues.len() >= MAX_QUEUES => {
                let (gone, _) = std::mem::replace(&mut self.queues[index], fresh);
                self.indexes.remove(&gone);
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

    /// The last seconds of the server.
    pub fn recent(&mut self, now: Time) -> Recent {
        recent(&mut self.all, self.began, now)
    }

    /// The last seconds of each queue in which something happened.
    pub fn recent_of_queues(&mut self, now: Time) -> HashMap<QueueName, Recent> {
        let from = second(now) - WINDOW - 1;
        let busy = self.queues.iter_mut().filter(|(_, series)| series.last() >= from);
        let began = self.began;
        busy.map(|(name, series)| (name.clone(), recent(series, began, now))).collect()
    }

    /// The seconds and minutes before `now` of the server or of a queue; empty when nothing is known.
    pub fn points(&mut self, queue: Option<&QueueName>, now: Time) -> (Vec<Point>, Vec<Point>) {
        let index = queue.map(|queue| self.indexes.get(queue).copied());
        let series = match index {
            None => &mut self.all,
            Some(Some(index)) => &mut self.queues[index].1,
            Some(None) => return (Vec::new(), Vec::new()),
        };
        series.points(second(now))
    }
}

impl Tally {
    fn count(&mut self, counts: Counts, timed: Timed, at: Time) {
        self.counts.enqueued += counts.enqueued;
        self.counts.started += counts.started;
        self.counts.completed += counts.completed;
        self.counts.failed += counts.failed;
        match timed {
            Timed::Nothing => {}
            Timed::Wait(since) => self.wait.add(since, at),
            Timed::Run(since) => self.run.add(since, at),
        }
    }
}

fn recent(series: &mut Series, began: i64, now: Time) -> Recent {
    let now = second(now);
    let length = (now - began).clamp(1, WINDOW) as f64;
    let window = series.window(now);
    let rate = |count: u32| f64::from(count) / length;
    let Counts { events, enqueued, started, completed, failed } = window.counts;
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
mod tests {
    use super::*;
    use crate::job::{Json, Kind, WorkerName};

    fn event(job: u128, ms: i64, state: State, change: Change) -> Event {
        event_in(QueueName::default(), job, ms, state, change)
    }

    fn event_in(queue: QueueName, job: u128, ms: i64, state: State, change: Change) -> Event {
        let kind = Kind::parse("echo").unwrap();
        let labels = Labels { queue, kind, tags: Box::new([]) };
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

    fn all(ms: u32) -> Option<Latency> {
        Some(Latency { p50: ms, p95: ms, p99: ms })
    }

    #[test]
    fn rates_and_latencies_are_those_of_the_last_whole_seconds() {
        let mut meter = Meter::new(Time::from_millis(0));
        for job in 0..100 {
            life(&mut meter, job, 1_000, 1_010, 1_030);
        }
        life(&mut meter, 100, 1_000, 1_900, 2_900);
        let Recent { rates, wait, run, .. } = meter.recent(Time::from_millis(5_500));
        assert_eq!((rates.started, rates.completed), (101.0 / 5.0, 101.0 / 5.0));
        assert_eq!((wait, run), (all(10), all(20)));
        let Recent { rates, wait, run, .. } = meter.recent(Time::from_millis(7_500));
        assert_eq!((rates.started, rates.completed, wait), (0.0, 0.2, None));
        assert_eq!(run, all(1_000));
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
        let Recent { rates, wait, .. } = meter.recent(Time::from_millis(2_000));
        assert_eq!((rates.started, wait), (2_500.0, all(5)));
    }

    #[test]
    fn a_rush_is_counted_in_full_and_timed_in_part() {
        let mut meter = Meter::new(Time::from_millis(0));
        for second in 1..6 {
            for _ in 0..20_000 {
                let at = second * 1_000;
                life(&mut meter, JobId::generate().as_u128(), at, at + 3, at + 9);
            }
        }
        assert!(meter.mask >= 3, "{}", meter.mask);
        let Recent { rates, wait, run, .. } = meter.recent(Time::from_millis(6_000));
        assert_eq!((rates.completed, wait, run), (20_000.0, all(3), all(6)));
        for second in 6..30 {
            life(&mut meter, JobId::generate().as_u128(), second * 1_000, second * 1_000, 0);
        }
        assert_eq!(meter.mask, 0, "a calm server is timed in full again");
    }

    #[test]
    fn the_sample_stands_for_all_jobs_of_a_rush() {
        let mut meter = Meter::new(Time::from_millis(0));
        let worker = WorkerName::parse("w").unwrap();
        let mut ended = 0;
        for n in 0..100_000 {
            let (id, at) = (JobId::generate().as_u128(), 1_000 + n / 20);
            meter.add(&event(id, at, State::Running, Change::Started { worker: worker.clone() }));
            let done = event(id, at, State::Completed, Change::Completed { result: Json::null() });
            let weight = meter.weight();
            if let Timed::Run(_) = meter.add(&done) {
                ended += weight;
            }
        }
        assert!(meter.weight() > 1, "not all of them are timed");
        assert!((80_000..120_000).contains(&ended), "{ended} of 100,000");
    }

    #[test]
    fn each_queue_has_its_own_history_and_the_quietest_gives_way() {
        let mut meter = Meter::new(Time::from_millis(0));
        let queue = |n: usize| QueueName::parse(&format!("q{n}")).unwrap();
        for n in 0..MAX_QUEUES + 1 {
            let at = n as i64 * 1_000;
            let change = Change::BecameAvailable;
            meter.add(&event_in(queue(n), n as u128, at, State::Available, change.clone()));
            meter.add(&event_in(queue(1), n as u128, at, State::Available, change));
        }
        let now = Time::from_millis((MAX_QUEUES as i64 + 1) * 1_000);
        let events = |meter: &mut Meter, n| {
            let (seconds, _) = meter.points(Some(&queue(n)), now);
            seconds.iter().map(|point| point.counts.events).sum::<u32>()
        };
        assert_eq!(events(&mut meter, 0), 0, "it was quiet longest");
        assert_eq!(events(&mut meter, 1), MAX_QUEUES as u32 + 2);
        assert_eq!(events(&mut meter, MAX_QUEUES), 1);
        assert_eq!(meter.points(None, now).0.len(), MAX_QUEUES + 1);
        let recent = meter.recent_of_queues(now);
        assert_eq!(recent[&queue(1)].rates.events, 1.0);
        assert!(!recent.contains_key(&queue(2)), "nothing happened there");
    }
}
