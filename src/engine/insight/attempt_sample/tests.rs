//! The sample of attempts: what it keeps, how it is bounded, and that it only depends on events.

use super::*;
use crate::job::{Json, LeaseHolder, State};

const KEPT: Duration = Duration::from_secs(600);

/// The event of a job with these last bits in its id.
fn event(ms: i64, id: u128, kind: &str, change: Change) -> Event {
    let labels = Labels {
        queue: QueueName::parse("mail").unwrap(),
        kind: Kind::parse(kind).unwrap(),
        tags: Box::default(),
    };
    let (id, labels) = (JobId::from_u128(id), Arc::new(labels));
    let fact = Fact::Job { id, labels, state: State::Running, attempt: 1, change };
    Event { seq: 1, at: Time::from_millis(ms), by: None, fact }
}

fn started() -> Change {
    Change::Started { worker: LeaseHolder::InProcess(WorkerName::parse("w1").unwrap()) }
}

fn completed() -> Change {
    Change::Completed { result: Json::null() }
}

fn of(ms: i64) -> Time {
    Time::from_millis(ms)
}

#[test]
fn an_attempt_is_running_until_it_ends_and_is_forgotten_later() {
    let mut sample = AttemptSample::new(KEPT);
    sample.add(&event(1_000, 8, "echo", started()));
    sample.add(&event(1_000, 9, "echo", completed()));
    let (attempt, stands_for) = sample.since(of(9_000_000)).remove(0);
    assert_eq!((attempt.job, attempt.end, stands_for), (JobId::from_u128(8), None, 1));
    assert_eq!((attempt.worker.as_str(), attempt.started_at), ("w1", of(1_000)));

    sample.add(&event(3_000, 8, "echo", completed()));
    let ended = |from| sample.since(of(from)).iter().map(|(it, _)| it.end).collect::<Vec<_>>();
    assert_eq!(ended(3_000), [Some((of(3_000), AttemptOutcome::Completed))]);
    assert_eq!(ended(3_001), []);

    sample.add(&event(604_000, 10, "echo", started()));
    assert_eq!(sample.since(of(0)).len(), 1);
}

#[test]
fn a_deleted_job_is_removed() {
    let mut sample = AttemptSample::new(KEPT);
    sample.add(&event(1_000, 8, "echo", started()));
    sample.add(&event(2_000, 8, "echo", completed()));
    sample.add(&event(3_000, 8, "echo", Change::Deleted));
    assert_eq!(sample.since(of(0)), []);
}

#[test]
fn many_attempts_are_sampled_by_their_ids_and_quiet_kinds_are_not() {
    let mut sample = AttemptSample::new(KEPT);
    for id in 0..10_000 {
        let ms = 1_000 + id as i64 / 10;
        sample.add(&event(ms, id, "busy", started()));
        sample.add(&event(ms + 1, id, "busy", completed()));
    }
    sample.add(&event(2_000, 7, "quiet", started()));
    let found = sample.since(of(0));
    let (busy, quiet): (Vec<_>, Vec<_>) =
        found.iter().partition(|(it, _)| it.labels.kind.as_str() == "busy");
    assert!((200..=MAX_OF_GROUP).contains(&busy.len()), "{}", busy.len());
    let stands_for = busy[0].1;
    assert!(busy.iter().all(|(it, one_in)| {
        it.job.as_u128() % u128::from(stands_for) == 0 && *one_in == stands_for && it.end.is_some()
    }));
    assert_eq!((quiet.len(), quiet[0].1), (1, 1));

    // When less happens, the sample is complete again.
    for round in 0..20 {
        let ms = 10_000_000 + round * 20_000;
        sample.add(&event(ms, round as u128 * 2 + 1, "busy", started()));
    }
    let latest = sample.since(of(0)).pop().unwrap();
    assert_eq!((latest.0.job, latest.1), (JobId::from_u128(39), 1));
}

#[test]
fn there_is_a_bound_on_kinds_and_those_in_which_nothing_happens_leave() {
    let mut sample = AttemptSample::new(KEPT);
    for number in 0..1_000_u32 {
        sample.add(&event(number.into(), 8, &format!("kind-{number}"), started()));
    }
    let found = sample.since(of(0));
    assert_eq!(found.len(), MAX_GROUPS);
    assert_eq!(found.last().unwrap().0.labels.kind.as_str(), "kind-999");
}
