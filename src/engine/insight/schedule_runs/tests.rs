//! Tests of the runs of schedules, of their rows, and of how they go on after a restart.

use super::*;
use crate::job::{Json, Kind, Labels, LeaseHolder, QueueName, Tag, WorkerName};
use crate::store::MAX_HISTORY_VALUE;

fn name(name: &str) -> ScheduleName {
    ScheduleName::parse(name).unwrap()
}

fn id(number: u64) -> JobId {
    JobId::from_u128(number.into())
}

fn fired(seq: u64, schedule: &str, job: u64) -> Event {
    let due = Some(Time::from_millis(60_000 * job as i64));
    let change = ScheduleChange::Fired { due, job: id(job), next_at: None };
    let fact = Fact::Schedule { schedule: name(schedule), change };
    Event { seq, at: Time::from_millis(1_000 * seq as i64), by: None, fact }
}

fn happened(seq: u64, job: u64, change: Change, state: State) -> Event {
    let labels = Labels {
        queue: QueueName::default(),
        kind: Kind::parse("echo").unwrap(),
        tags: [Tag::parse("schedule:nightly").unwrap()].into(),
    };
    let fact = Fact::Job { id: id(job), labels: labels.into(), state, attempt: 1, change };
    Event { seq, at: Time::from_millis(1_000 * seq as i64), by: None, fact }
}

fn started(seq: u64, job: u64) -> Event {
    let worker = LeaseHolder::InProcess(WorkerName::parse("w").unwrap());
    happened(seq, job, Change::Started { worker }, State::Running)
}

fn completed(seq: u64, job: u64) -> Event {
    happened(seq, job, Change::Completed { result: Json::null() }, State::Completed)
}

fn knowing(rows: &[HistoryRow], through: u64) -> ScheduleRuns {
    let mut runs = ScheduleRuns::default();
    runs.resume(through, rows);
    runs
}

#[test]
fn a_run_becomes_what_its_job_becomes_and_the_oldest_leaves() {
    let mut runs = knowing(&[], 0);
    runs.add(&fired(1, "nightly", 1));
    runs.add(&started(3, 1));
    let [run] = runs.of(&name("nightly"))[..] else { panic!("one run") };
    assert_eq!((run.state, run.took()), (Some(State::Running), None));
    runs.add(&completed(7, 1));
    let [run] = runs.of(&name("nightly"))[..] else { panic!("one run") };
    assert_eq!((run.state, run.took()), (Some(State::Completed), Some(Duration::from_secs(4))));
    assert_eq!(run.due, Some(Time::from_millis(60_000)));
    runs.add(&happened(8, 1, Change::Retried, State::Available));
    assert_eq!(runs.of(&name("nightly"))[0].state, Some(State::Available));
    assert_eq!(runs.of(&name("nightly"))[0].took(), None);
    runs.add(&happened(9, 1, Change::Deleted, State::Available));
    assert_eq!(runs.of(&name("nightly"))[0].state, None);
    for job in 2..=30 {
        runs.add(&fired(10 + job, "nightly", job));
    }
    let jobs: Vec<JobId> = runs.of(&name("nightly")).iter().map(|run| run.job).collect();
    assert_eq!(jobs, (11..=30).map(id).collect::<Vec<_>>());
    assert_eq!(runs.jobs.len(), KEPT_RUNS, "the jobs of earlier runs are forgotten");
    assert!(runs.of(&name("other")).is_empty());
}

#[test]
fn the_rows_go_on_after_a_restart_and_count_no_event_twice() {
    let events: Vec<Event> = (1..=15)
        .flat_map(|job| {
            let seq = 3 * job;
            [fired(seq, "nightly", job), started(seq + 1, job), completed(seq + 2, job)]
        })
        .collect();
    let mut whole = knowing(&[], 0);
    events.iter().for_each(|event| whole.add(event));
    for stop in [1, 2, 20, 31, 32, 33, 44] {
        let mut killed = knowing(&[], 0);
        events[..stop].iter().for_each(|event| killed.add(event));
        let rows = killed.take_changed();
        assert!(rows.iter().all(|(_, value)| value.len() < MAX_HISTORY_VALUE));
        assert!(killed.take_changed().is_empty(), "nothing has changed since");
        let mut next = knowing(&rows, events[stop - 1].seq);
        events.iter().for_each(|event| next.add(event));
        assert_eq!(next.of(&name("nightly")), whole.of(&name("nightly")), "{stop}");
    }
}

#[test]
fn a_store_of_an_older_version_begins_with_the_events_that_it_still_has() {
    let mut runs = knowing(&[], 1_000);
    runs.add(&fired(990, "nightly", 5));
    assert_eq!(runs.of(&name("nightly")).len(), 1);
}

#[test]
fn the_row_of_a_deleted_schedule_goes_and_lines_of_a_log_write_no_row() {
    let mut runs = knowing(&[], 0);
    runs.add(&fired(1, "nightly", 1));
    let [(key, _)] = &runs.take_changed()[..] else { panic!("one row") };
    runs.add(&happened(2, 1, Change::Logged(Vec::new()), State::Available));
    assert!(runs.take_changed().is_empty());
    let fact = Fact::Schedule { schedule: name("nightly"), change: ScheduleChange::Deleted };
    runs.add(&Event { seq: 3, at: Time::default(), by: None, fact });
    assert_eq!(runs.take_changed(), [(key.clone(), Vec::new())]);
    assert!(runs.of(&name("nightly")).is_empty() && runs.jobs.is_empty());
}
