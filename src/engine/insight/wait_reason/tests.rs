//! Every reason why a job waits, with its sentence.

use std::sync::Arc;

use super::*;
use crate::job::{Change, Event, Fact, JobId, Json, Labels, RetryPolicy, Spec, Status};

fn job(state: State, due_in: i64) -> Job {
    let spec = Spec {
        payload: Json::null(),
        priority: 0,
        retry: RetryPolicy::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let labels = Labels {
        queue: QueueName::parse("mail").unwrap(),
        kind: Kind::parse("send").unwrap(),
        tags: Box::default(),
    };
    let run_at = Time::from_millis(NOW + due_in);
    let change = Change::Enqueued { spec: Arc::new(spec), run_at };
    let id = JobId::from_u128(1);
    let fact = Fact::Job { id, labels: Arc::new(labels), state, attempt: 0, change };
    let event = Event { seq: 1, at: Time::from_millis(NOW), by: None, fact };
    let mut job = Job::from_enqueued(&event).unwrap();
    job.status = Status::new(10, state);
    job
}

const NOW: i64 = 1_800_000_000_000;

fn workers(able: usize, withdrawn: usize, elsewhere: usize) -> KindWorkers {
    KindWorkers { able, withdrawn, elsewhere }
}

/// A server where nothing is in the way.
fn facts(job: &Job) -> WaitContext<'_> {
    WaitContext {
        job,
        now: Time::from_millis(NOW),
        draining: false,
        server_paused: false,
        refusal: None,
        runs_here: true,
        workers: KindWorkers::default(),
        last_left: None,
        paused: false,
        rate: None,
        queue: (0, Some(4)),
        server: (0, Some(9)),
        ahead: 0,
    }
}

#[test]
fn the_holder_of_a_link_is_not_told_the_error_of_the_store() {
    let ready = job(State::Available, 0);
    let refusal = Some("no space left in /var/lib/cortado".to_owned());
    let reason = why(&WaitContext { refusal, ..facts(&ready) }).unwrap();
    assert!(reason.to_string().contains("/var/lib/cortado"), "{reason}");
    let told = reason.for_link().to_string();
    assert_eq!(told, "No job can start because the store is not accepting writes.");
}

#[test]
fn every_reason_has_a_sentence_and_the_first_that_applies_is_shown() {
    let (ready, later, due) =
        (job(State::Available, 0), job(State::Retryable, 1), job(State::Scheduled, 0));
    let on = facts;
    let per_minute = RateLimit { starts: 100, within: std::time::Duration::from_secs(60) };
    let next = Time::from_millis(NOW + 30_000);
    let table: Vec<(WaitContext<'_>, &str, &str)> = vec![
        (on(&ready), "waits", "It is next in its queue and starts when a worker takes it."),
        (
            WaitContext { ahead: 1, ..on(&ready) },
            "waits",
            "It is waiting for its turn in queue mail. One job is ahead of it.",
        ),
        (
            WaitContext { ahead: 36, server: (9, Some(9)), ..on(&ready) },
            "server_full",
            "All 9 slots on the server are busy. 36 jobs are ahead of it.",
        ),
        (
            WaitContext { ahead: 0, queue: (4, Some(4)), server: (9, Some(9)), ..on(&ready) },
            "queue_full",
            "All 4 slots in queue mail are busy. It is next.",
        ),
        (
            WaitContext { queue: (4_000, None), server: (9_000, None), ..on(&ready) },
            "waits",
            "It is next in its queue and starts when a worker takes it.",
        ),
        (
            WaitContext { ahead: 1_000, queue: (5, Some(4)), ..on(&ready) },
            "queue_full",
            "5 attempts are running in queue mail, above the limit of 4. More than 1,000 jobs are ahead of it.",
        ),
        (
            WaitContext { rate: Some((per_minute, next)), queue: (4, Some(4)), ..on(&ready) },
            "rate_reached",
            "Queue mail is limited to 100 starts per minute. Next start: 2027-01-15T08:00:30.000Z. It is next.",
        ),
        (
            WaitContext { rate: Some((per_minute, next)), paused: true, ..on(&ready) },
            "queue_paused",
            "Queue mail is paused. No job starts until it is resumed.",
        ),
        (
            WaitContext { paused: true, queue: (4, Some(4)), ..on(&ready) },
            "queue_paused",
            "Queue mail is paused. No job starts until it is resumed.",
        ),
        (on(&due), "due_now", "It is due and is about to become available."),
        (
            WaitContext { paused: true, ..on(&due) },
            "queue_paused",
            "Queue mail is paused. No job starts until it is resumed.",
        ),
        (
            WaitContext { paused: true, queue: (4, Some(4)), ..on(&later) },
            "not_due",
            "It is not due until 2027-01-15T08:00:00.001Z.",
        ),
        (
            WaitContext { runs_here: false, paused: true, ..on(&ready) },
            "no_worker",
            "No worker for kind send is connected.",
        ),
        (
            WaitContext { runs_here: false, workers: workers(0, 1, 2), ..on(&due) },
            "no_worker",
            "No worker for kind send takes jobs of queue mail now: 1 is quiet or stopping, 2 take jobs of other queues.",
        ),
        (
            WaitContext { runs_here: false, workers: workers(1, 1, 2), ..on(&ready) },
            "waits",
            "It is next in its queue and starts when a worker takes it.",
        ),
        (
            WaitContext { runs_here: false, ..on(&later) },
            "not_due",
            "It is not due until 2027-01-15T08:00:00.001Z.",
        ),
        (
            WaitContext { refusal: Some("no space".into()), runs_here: false, ..on(&ready) },
            "store_unavailable",
            "No job can start because the store is not accepting writes: no space.",
        ),
        (
            WaitContext { server_paused: true, paused: true, runs_here: false, ..on(&later) },
            "server_paused",
            "The server is paused. No job starts until it is resumed.",
        ),
        (
            WaitContext { draining: true, refusal: Some("no space".into()), ..on(&later) },
            "draining",
            "The server is shutting down. The job can start once the server is running again.",
        ),
    ];
    for (facts, code, sentence) in table {
        let reason = why(&facts).unwrap();
        assert_eq!((reason.code(), reason.to_string().as_str()), (code, sentence));
    }
}

#[test]
fn a_job_that_runs_or_has_ended_needs_no_reason() {
    for state in [State::Running, State::Completed, State::Discarded, State::Cancelled] {
        assert_eq!(why(&WaitContext { draining: true, ..facts(&job(state, 0)) }), None);
    }
}
