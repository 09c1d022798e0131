//! The proportions of the lifetime bar, and the histories that it can show.

use std::sync::Arc;

use super::*;
use crate::job::{
    Event, Fact, Failure, FailureClass, Interruption, JobId, Json, Kind, Labels, LogCaps,
    QueueName, RetryPolicy, Spec, Status, WorkerName,
};

fn at(ms: i64) -> Time {
    Time::from_millis(ms)
}

/// A job submitted at 0 for `run_at`, with its changes: the time, the state afterwards and the change.
fn job(run_at: i64, life: Vec<(i64, State, u16, Change)>) -> Job {
    let spec = Spec {
        payload: Json::null(),
        priority: 0,
        retry: RetryPolicy::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let labels = Arc::new(Labels {
        queue: QueueName::default(),
        kind: Kind::parse("echo").unwrap(),
        tags: Box::default(),
    });
    let event = |seq, ms, state, attempt, change| {
        let id = JobId::from_u128(1);
        let fact = Fact::Job { id, labels: labels.clone(), state, attempt, change };
        Event { seq, at: at(ms), by: None, fact }
    };
    let first = if run_at > 0 { State::Scheduled } else { State::Available };
    let enqueued = Change::Enqueued { spec: Arc::new(spec), run_at: at(run_at) };
    let mut job = Job::from_enqueued(&event(1, 0, first, 0, enqueued)).unwrap();
    for (seq, (ms, state, attempt, change)) in (2..).zip(life) {
        let status = Status { attempt, ..Status::new(10, state) };
        job.apply(&event(seq, ms, state, attempt, change), status, LogCaps::default());
    }
    job
}

fn started() -> Change {
    Change::Started { worker: WorkerName::parse("w1").unwrap().into() }
}

fn failed(run_at: i64) -> Change {
    let failure = Failure::new(FailureClass::Error, "no");
    Change::RetryScheduled { failure, run_at: at(run_at) }
}

fn phases(bar: &LifetimeBar) -> Vec<Phase> {
    bar.segments.iter().map(|segment| segment.phase).collect()
}

fn completed() -> Change {
    Change::Completed { result: Json::null() }
}

#[test]
fn a_life_is_drawn_from_its_submission_to_its_end() {
    let job = job(
        500,
        vec![
            (500, State::Available, 0, Change::BecameAvailable),
            (600, State::Running, 1, started()),
            (900, State::Retryable, 1, failed(1_900)),
            (1_900, State::Available, 1, Change::BecameAvailable),
            (1_900, State::Running, 2, started()),
            (1_950, State::Running, 2, Change::CancelAsked),
            (2_000, State::Completed, 2, completed()),
        ],
    );
    let bar = LifetimeBar::of(&job, at(99_000));
    let (queued, backoff) = (Phase::Queued, Phase::Backoff);
    assert_eq!(
        phases(&bar),
        [Phase::Scheduled, queued, Phase::Failed, backoff, queued, Phase::Completed]
    );
    let widths: Vec<u32> = bar.segments.iter().map(|segment| segment.width).collect();
    assert_eq!(widths, [2_500, 500, 1_500, 5_000, 0, 500]);
    assert_eq!(bar.segments[2].title, "attempt 1 failed after 300 ms");
    assert_eq!(
        bar.label(),
        "2 s in total: scheduled 500 ms; queued 100 ms; 1 failed attempt, 300 ms; \
         1 completed attempt, 100 ms; backoff 1 s"
    );
    assert!(!bar.open);
}

#[test]
fn a_period_that_has_not_ended_grows_until_now() {
    let job = job(0, vec![(100, State::Running, 1, started())]);
    let bar = LifetimeBar::of(&job, at(3_100));
    assert_eq!(phases(&bar), [Phase::Queued, Phase::Running]);
    assert_eq!((bar.segments[1].title.as_str(), bar.segments[1].since), ("running", Some(at(100))));
    assert_eq!(bar.label(), "queued 100 ms; running 3 s");
    assert!(bar.open);
}

#[test]
fn a_phase_that_goes_on_after_an_interruption_counts_all_of_its_time() {
    let job = job(
        0,
        vec![
            (1_000, State::Running, 1, started()),
            (1_500, State::Available, 0, Change::Interrupted { why: Interruption::Stop }),
        ],
    );
    let bar = LifetimeBar::of(&job, at(3_500));
    assert_eq!(phases(&bar), [Phase::Queued, Phase::Interrupted, Phase::Queued]);
    assert_eq!(bar.label(), "queued 3 s; 1 interrupted attempt, 500 ms");
    let open = bar.totals[0].open.as_ref().unwrap();
    assert_eq!(open.since.iso, at(500).to_string());
}

#[test]
fn the_time_before_a_manual_retry_is_a_break() {
    let job = job(
        0,
        vec![
            (13, State::Running, 1, started()),
            (1_513, State::Completed, 1, completed()),
            (12_013, State::Available, 1, Change::Retried),
            (12_013, State::Running, 2, started()),
            (13_513, State::Completed, 2, completed()),
        ],
    );
    let bar = LifetimeBar::of(&job, at(99_000));
    let done = Phase::Completed;
    assert_eq!(phases(&bar), [Phase::Queued, done, Phase::Idle, Phase::Queued, done]);
    let idle = &bar.segments[2];
    assert_eq!((idle.width, idle.ms), (BREAK, None));
    assert_eq!(idle.title, "finished, idle for 10.5 s (not to scale)");
    assert_eq!(bar.segments[1].width.abs_diff(bar.segments[4].width), 0);
    assert_eq!(
        bar.label(),
        "13.5 s in total: queued 13 ms; 2 completed attempts, 3 s; \
         finished, idle 10.5 s (not to scale)"
    );
}

#[test]
fn each_way_to_end_an_attempt_has_its_own_phase() {
    let run_at = at(9_000);
    let lost = Change::Rescued { why: Interruption::LeaseExpired };
    for (end, state, phases_after) in [
        (completed(), State::Completed, vec![Phase::Completed]),
        (failed(9_000), State::Retryable, vec![Phase::Failed, Phase::Backoff]),
        (Change::Snoozed { run_at }, State::Scheduled, vec![Phase::Snoozed, Phase::Scheduled]),
        (lost, State::Available, vec![Phase::Interrupted, Phase::Queued]),
        (Change::Cancelled, State::Cancelled, vec![Phase::Cancelled]),
    ] {
        let job = job(
            0,
            vec![
                (10, State::Running, 1, started()),
                (15, State::Running, 1, Change::CancelAsked),
                (20, state, 1, end),
            ],
        );
        let bar = LifetimeBar::of(&job, at(30));
        assert_eq!(phases(&bar)[1..], phases_after, "{state}");
    }
    let waiting = job(500, vec![(100, State::Cancelled, 0, Change::Cancelled)]);
    assert_eq!(phases(&LifetimeBar::of(&waiting, at(900))), [Phase::Scheduled]);
}

#[test]
fn a_job_that_lost_its_first_changes_begins_with_the_first_one_that_is_left() {
    let mut life = vec![];
    for n in 0..300 {
        life.push((n * 10, State::Running, 1, started()));
        life.push((n * 10 + 4, State::Scheduled, 0, Change::Snoozed { run_at: at(n * 10 + 10) }));
    }
    let job = job(0, life);
    let bar = LifetimeBar::of(&job, at(3_000));
    assert!(bar.is_cut && bar.from > job.enqueued_at && bar.segments.len() == MAX_SEGMENTS);
    assert!(bar.totals.iter().all(|total| total.phase != Phase::Queued), "{:?}", bar.totals);
}

proptest::proptest! {
    /// Each change is a step of some milliseconds; the steps are those of the state machine.
    #[test]
    fn segments_fill_the_bar_in_proportion_to_their_time(
        steps in proptest::collection::vec((0_i64..100_000, 0_u8..4), 0..120),
        more in 0_i64..100_000,
    ) {
        let (mut now, mut state, mut attempt) = (0, State::Available, 0);
        let mut life = vec![];
        for (ms, choice) in steps {
            now += ms;
            let change = match (state, choice) {
                (State::Available, 0) => Change::Cancelled,
                (State::Available, _) => started(),
                (State::Running, 0) => failed(now),
                (State::Running, 1) => Change::Snoozed { run_at: at(now) },
                (State::Running, 2) => Change::Rescued { why: Interruption::Crash },
                (State::Running, _) => completed(),
                (State::Scheduled | State::Retryable, _) => Change::BecameAvailable,
                (State::Completed | State::Discarded | State::Cancelled, _) => Change::Retried,
            };
            state = match &change {
                Change::Cancelled => State::Cancelled,
                Change::Started { .. } => State::Running,
                Change::RetryScheduled { .. } => State::Retryable,
                Change::Snoozed { .. } => State::Scheduled,
                Change::Completed { .. } => State::Completed,
                _ => State::Available,
            };
            attempt += u16::from(state == State::Running);
            life.push((now, state, attempt, change));
        }
        let bar = LifetimeBar::of(&job(0, life), at(now + more));
        let timed: Vec<&Segment> = bar.segments.iter().filter(|it| it.ms.is_some()).collect();
        let whole: u128 = timed.iter().filter_map(|segment| segment.ms).sum();
        let breaks = bar.segments.len() - timed.len();
        let scale: u32 = timed.iter().map(|segment| segment.width).sum();
        proptest::prop_assert!(scale >= WIDTH - MAX_BREAKS);
        for segment in &timed {
            let share = f64::from(segment.width) / f64::from(scale);
            let ms = segment.ms.unwrap() as f64 / (whole as f64).max(1.0);
            let is_alone = whole == 0;
            proptest::prop_assert!(is_alone || (share - ms).abs() < 3.0 / f64::from(WIDTH), "{bar:?}");
        }
        let idle = bar.segments.iter().filter(|segment| segment.phase == Phase::Idle).count();
        proptest::prop_assert_eq!(idle, breaks);
        let mut edge = 0;
        for segment in &bar.segments {
            proptest::prop_assert_eq!(segment.x, edge);
            edge += segment.width;
        }
        proptest::prop_assert!(edge == WIDTH || timed.is_empty(), "{bar:?}");
        for segment in &bar.segments {
            let entries = bar.totals.iter().filter(|total| total.phase == segment.phase).count();
            proptest::prop_assert_eq!(entries, 1);
        }
    }
}
