//! Tests of the counts, the sample of timed jobs, and the histories of queues.

use super::*;
use crate::job::{Json, Kind, WorkerName};

fn event(job: u128, ms: i64, state: State, change: Change) -> Event {
    event_in(QueueName::default(), job, ms, state, change)
}

fn event_in(queue: QueueName, job: u128, ms: i64, state: State, change: Change) -> Event {
    event_of(queue, "echo", job, ms, state, change)
}

fn event_of(
    queue: QueueName,
    kind: &str,
    job: u128,
    ms: i64,
    state: State,
    change: Change,
) -> Event {
    let kind = Kind::parse(kind).unwrap();
    let labels = Labels { queue, kind, tags: Box::new([]) };
    let (id, labels) = (JobId::from_u128(job), labels.into());
    let fact = Fact::Job { id, labels, state, attempt: 1, change };
    Event { seq: 1, at: Time::from_millis(ms), by: None, fact }
}

fn life(meter: &mut Meter, job: u128, available: i64, started: i64, done: i64) {
    let worker = WorkerName::parse("w").unwrap();
    meter.add(&event(job, available, State::Available, Change::BecameAvailable));
    meter.add(&event(job, started, State::Running, Change::Started { worker: worker.into() }));
    let result = Json::null();
    meter.add(&event(job, done, State::Completed, Change::Completed { result }));
}

fn all(ms: u32) -> Option<Latency> {
    Some(Latency { p50: ms, p95: ms, p99: ms })
}

#[test]
fn rates_and_latencies_are_those_of_the_last_whole_seconds() {
    let mut meter = Meter::new(Time::from_millis(0), 200);
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
    let mut meter = Meter::new(Time::from_millis(0), 200);
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
    let mut meter = Meter::new(Time::from_millis(0), 200);
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
    let mut meter = Meter::new(Time::from_millis(0), 200);
    let worker = WorkerName::parse("w").unwrap();
    let mut ended = 0;
    for n in 0..100_000 {
        let (id, at) = (JobId::generate().as_u128(), 1_000 + n / 20);
        meter.add(&event(
            id,
            at,
            State::Running,
            Change::Started { worker: worker.clone().into() },
        ));
        let done = event(id, at, State::Completed, Change::Completed { result: Json::null() });
        let weight = meter.weight();
        if let TimedPhase::Run(_) = meter.add(&done) {
            ended += weight;
        }
    }
    assert!(meter.weight() > 1, "not all of them are timed");
    assert!((80_000..120_000).contains(&ended), "{ended} of 100,000");
}

#[test]
fn each_queue_has_its_own_history_and_the_quietest_gives_way() {
    const MAX_QUEUES: usize = 200;
    let mut meter = Meter::new(Time::from_millis(0), MAX_QUEUES);
    let queue = |n: usize| QueueName::parse(&format!("q{n}")).unwrap();
    for n in 0..MAX_QUEUES + 1 {
        let at = n as i64 * 1_000;
        let change = Change::BecameAvailable;
        meter.add(&event_in(queue(n), n as u128, at, State::Available, change.clone()));
        meter.add(&event_in(queue(1), n as u128, at, State::Available, change));
    }
    let now = Time::from_millis((MAX_QUEUES as i64 + 1) * 1_000);
    let events = |meter: &mut Meter, n| {
        let seconds = meter.points(&HistorySeries::Queue(queue(n)), now);
        seconds.iter().map(|point| point.counts.events).sum::<u32>()
    };
    assert_eq!(events(&mut meter, 0), 0, "it was quiet longest");
    assert_eq!(events(&mut meter, 1), MAX_QUEUES as u32 + 2);
    assert_eq!(events(&mut meter, MAX_QUEUES), 1);
    assert_eq!(meter.points(&HistorySeries::Server, now).len(), MAX_QUEUES + 1);
    let recent = meter.recent_of_queues(now);
    assert_eq!(recent[&queue(1)].rates.events, 1.0);
    assert!(!recent.contains_key(&queue(2)), "nothing happened there");
}

#[test]
fn a_queue_whose_history_was_dropped_is_not_taken_for_an_idle_one() {
    let mut meter = Meter::new(Time::from_millis(0), 2);
    let queue = |n: u8| QueueName::parse(&format!("q{n}")).unwrap();
    let complete = |meter: &mut Meter, n, at: i64| {
        let change = Change::Completed { result: Json::null() };
        meter.add(&event_in(queue(n), 1, at * 1_000, State::Completed, change));
    };
    let at = |second: i64| Time::from_millis(second * 1_000);
    complete(&mut meter, 1, 100);
    complete(&mut meter, 2, 101);
    let known = |meter: &Meter, now| [1, 2, 3].map(|n| meter.knows_recent(&queue(n), at(now)));
    assert_eq!(known(&meter, 102), [true; 3], "nothing happened in the third");
    complete(&mut meter, 3, 102);
    assert_eq!(known(&meter, 103), [false, true, true]);
    let busy = meter.activity(at(103));
    assert_eq!(busy.len(), 2);
    assert_eq!(busy[&queue(3)], Activity { completed: 1, failed: 0 });
    complete(&mut meter, 1, 103);
    assert_eq!(known(&meter, 104), [false, false, true], "the first has lost its earlier history");
    assert_eq!(known(&meter, 401), [false, false, true]);
    assert_eq!(known(&meter, 403), [true; 3], "what was dropped is too old to be shown");
    assert!(meter.activity(at(500)).is_empty());
}

#[test]
fn when_too_many_histories_are_dropped_no_new_one_is_taken_for_complete() {
    let mut meter = Meter::new(Time::from_millis(0), 1);
    let queue = |n: i64| QueueName::parse(&format!("q{n}")).unwrap();
    for n in 0..4 {
        let change = Change::BecameAvailable;
        meter.add(&event_in(queue(n), 1, (100 + n) * 1_000, State::Available, change));
    }
    assert_eq!(meter.queues.dropped_len(), 1);
    let known = |n, at: i64| meter.knows_recent(&queue(n), Time::from_millis(at * 1_000));
    assert!(!known(9, 104) && !known(3, 104));
    assert!(known(9, 404) && known(3, 404));
}

#[test]
fn each_kind_has_its_own_history_whatever_its_queue() {
    let queue = |n: i64| QueueName::parse(&format!("q{n}")).unwrap();
    let complete = |meter: &mut Meter, n: i64, kind: &str, second: i64| {
        let change = Change::Completed { result: Json::null() };
        meter.add(&event_of(queue(n), kind, 1, second * 1_000, State::Completed, change));
    };
    // The kind changes in the same queue, and the queue with the same kind.
    let counting = || {
        let mut meter = Meter::new(Time::from_millis(0), 2);
        for (n, kind, second) in [(1, "a", 100), (1, "b", 101), (2, "b", 102), (1, "a", 103)] {
            complete(&mut meter, n, kind, second);
        }
        meter
    };
    let (now, of) = (Time::from_millis(107_000), |kind| Kind::parse(kind).unwrap());
    let seconds = |meter: &mut Meter, kind| {
        let points = meter.points(&HistorySeries::Kind(of(kind)), now);
        points.iter().map(|point| point.at.millis() / 1_000).collect::<Vec<_>>()
    };
    assert_eq!(seconds(&mut counting(), "b"), [101, 102]);
    // A third kind takes the place of the quietest.
    let mut meter = counting();
    complete(&mut meter, 1, "c", 106);
    assert_eq!(seconds(&mut meter, "a"), [100, 103]);
    assert_eq!(seconds(&mut meter, "b"), [0; 0]);
    assert_eq!(["a", "b", "c"].map(|kind| meter.knows_kind(&of(kind), now)), [true, false, true]);
}
