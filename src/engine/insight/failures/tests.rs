//! Groups of failures: what makes one, who is in it, and for how long.

use super::*;
use crate::job::{Json, Labels, QueueName, Spec};

const MINUTE: i64 = 60_000;

fn event(seq: u64, job: u128, at: i64, state: State, change: Change) -> Event {
    let labels = Labels {
        queue: QueueName::default(),
        kind: Kind::parse("mail").unwrap(),
        tags: Box::default(),
    };
    let id = JobId::from_u128(job);
    let fact = Fact::Job { id, labels: labels.into(), state, attempt: 1, change };
    Event { seq, at: Time::from_millis(at), by: None, fact }
}

fn retry(job: u128, at: i64, message: &str) -> Event {
    let failure = Failure::new(FailureClass::Error, message);
    let change = Change::RetryScheduled { failure, run_at: Time::from_millis(at) };
    event(1, job, at, State::Retryable, change)
}

fn dead(job: u128, at: i64, message: &str) -> Event {
    let failure = Failure::new(FailureClass::Error, message);
    event(1, job, at, State::Discarded, Change::Discarded { failure })
}

fn list(failures: &Failures, at: i64) -> Vec<(String, u64, u64)> {
    let list = failures.list(99, Time::from_millis(at));
    list.groups.into_iter().map(|group| (group.pattern, group.dead, group.retrying)).collect()
}

#[test]
fn jobs_that_failed_alike_are_one_group_and_leave_it_when_they_move_on() {
    let mut failures = Failures::new();
    for job in 0..4 {
        failures.add(&retry(job, 1_000, &format!("no answer after {job} s")));
    }
    failures.add(&dead(9, 2_000, "no such user 7"));
    assert_eq!(
        list(&failures, 3_000),
        [("no such user N".into(), 1, 0), ("no answer after N s".into(), 0, 4)]
    );
    failures.add(&event(2, 0, 4_000, State::Available, Change::BecameAvailable));
    failures.add(&dead(1, 4_000, "no answer after 60 s"));
    failures.add(&event(3, 2, 4_000, State::Cancelled, Change::Cancelled));
    failures.add(&event(3, 9, 4_000, State::Discarded, Change::Deleted));
    let group = &failures.list(1, Time::from_millis(5_000)).groups[0];
    assert_eq!((group.dead, group.retrying, group.pattern.as_str()), (1, 1, "no answer after N s"));
    assert_eq!(
        (group.message.as_str(), group.example),
        ("no answer after 60 s", JobId::from_u128(1))
    );
    assert_eq!((group.first_at.millis(), group.last_at.millis()), (1_000, 4_000));
    assert_eq!(failures.totals(), (1, 1));
    let id = u64::from_str_radix(&group.id, 16).unwrap();
    assert_eq!(failures.members(id, None, 9, 99).0, [1, 3].map(JobId::from_u128));
    assert_eq!(failures.members(id, Some(JobId::from_u128(1)), 9, 99).0, [JobId::from_u128(3)]);
    let (found, last) = failures.members(id, None, 1, 99);
    assert_eq!((found.len(), last), (1, Some(JobId::from_u128(1))));
}

#[test]
fn failures_are_counted_by_the_minute_and_by_the_hour() {
    let mut failures = Failures::new();
    for at in [0, 1, MINUTE, 61 * MINUTE, 61 * MINUTE + 5] {
        failures.add(&retry(1, at, "x"));
    }
    let group = |at| failures.list(1, Time::from_millis(at)).groups.remove(0);
    let now = group(62 * MINUTE);
    assert_eq!((now.minutes[58], now.minutes.iter().sum::<u32>()), (2, 2));
    assert_eq!(now.hours[22..], [3, 2]);
    assert_eq!(group(200 * MINUTE).minutes, [0; 60]);
    assert_eq!(group(24 * 60 * MINUTE).hours.iter().sum::<u32>(), 2);
}

#[test]
fn a_group_without_jobs_is_forgotten_after_a_day_and_one_with_jobs_never() {
    let mut failures = Failures::new();
    failures.add(&dead(1, 0, "stays"));
    failures.add(&retry(2, 0, "goes"));
    failures.add(&event(2, 2, 1, State::Available, Change::BecameAvailable));
    failures.forget_old(Time::from_millis(FORGET_AFTER));
    assert_eq!(failures.groups.len(), 2);
    failures.forget_old(Time::from_millis(FORGET_AFTER + 1));
    assert_eq!(list(&failures, 0), [("stays".into(), 1, 0)]);
}

#[test]
fn groups_stay_few_however_odd_the_errors_are() {
    let mut failures = Failures::new();
    let letters =
        |n: usize| format!("{n:05}").bytes().map(|b| char::from(b + 49)).collect::<String>();
    for n in 0..3 * MAX_GROUPS {
        failures.add(&dead(n as u128, n as i64, &letters(n)));
    }
    assert_eq!(failures.groups.len(), MAX_GROUPS + 1);
    assert_eq!(list(&failures, 0)[0], (OTHER_ERRORS.into(), 2 * MAX_GROUPS as u64, 0));
    let (dead, _) = failures.totals();
    assert_eq!(failures.jobs.len() as u64, dead, "every job that is known is in a group");
}

#[test]
fn a_stored_job_is_added_once_and_only_when_no_event_of_it_is_still_to_come() {
    let spec = Spec {
        payload: Json::null(),
        priority: 0,
        retry: Default::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let change = Change::Enqueued { spec: spec.into(), run_at: Time::default() };
    let mut job = Job::from_enqueued(&event(1, 5, 0, State::Available, change)).unwrap();
    let fails = dead(5, 7, "broken");
    let status = crate::job::Status { state: State::Discarded, ..job.status };
    job.apply(&Event { seq: 8, ..fails.clone() }, status, Default::default());
    let mut failures = Failures::new();
    failures.add_stored(&job, 7);
    assert_eq!(failures.totals(), (0, 0), "its event comes");
    failures.add_stored(&job, 8);
    failures.add_stored(&job, 9);
    assert_eq!(failures.totals(), (1, 0));
    let group = &failures.list(1, Time::from_millis(9)).groups[0];
    assert_eq!((group.first_at.millis(), group.hours.iter().sum::<u32>()), (7, 0));
}
