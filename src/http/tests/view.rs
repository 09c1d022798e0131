//! The public JSON in full: a change here breaks clients.

use super::*;
use crate::job::{
    AccessChange, AccessSubject, Change, Event, Fact, Failure, FailureClass, Interruption, Job,
    JobId, Json, Kind, Labels, LinkSubject, LogCaps, LogLine, Progress, QueueChange, QueueName,
    Role, Spec, State, Status, Stream, Tag, Time, WorkerName,
};

fn event(seq: u64, state: State, attempt: u16, change: Change) -> Event {
    let labels = Labels {
        queue: QueueName::parse("mail").unwrap(),
        kind: Kind::parse("echo").unwrap(),
        tags: Box::new([Tag::parse("red").unwrap()]),
    };
    let id = JobId::from_u128(7);
    let at = Time::from_millis(seq as i64 * 1_000);
    Event {
        seq,
        at,
        by: None,
        fact: Fact::Job { id, labels: labels.into(), state, attempt, change },
    }
}

fn enqueued() -> Event {
    let spec = Spec {
        payload: Json::parse(r#"{"z": 1.0,"a":12345678901234567890}"#).unwrap(),
        priority: 3,
        retry: Default::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let change = Change::Enqueued { spec: spec.into(), run_at: Time::from_millis(1_000) };
    event(1, State::Available, 0, change)
}

const TRACE: &str =
    "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'";
const JOB: &str = r#""job":{"id":"00000000-0000-0000-0000-000000000007","queue":"mail","kind":"echo","state":"running","attempt":1,"tags":["red"]}"#;

#[test]
fn an_event_carries_what_its_type_needs_and_never_the_payload() {
    let run_at = Time::from_millis(9_500);
    let failure = Failure::new(FailureClass::Timeout, "too slow");
    let line = LogLine { at: run_at, stream: Stream::Stderr, text: "a \"b\"".into() };
    let progress = Progress { done: 2, total: Some(9), message: None };
    for (change, name, rest) in [
        (
            Change::Started { worker: WorkerName::parse("w1").unwrap().into() },
            "job.started",
            r#","worker":"w1""#,
        ),
        (
            Change::Progressed(progress),
            "job.progressed",
            r#","progress":{"done":2,"total":9,"message":null}"#,
        ),
        (
            Change::Logged(vec![line]),
            "job.logged",
            r#","lines":[{"at":"1970-01-01T00:00:09.500Z","stream":"stderr","text":"a \"b\""}]"#,
        ),
        (
            Change::RetryScheduled { failure: failure.clone(), run_at },
            "job.retry_scheduled",
            r#","run_at":"1970-01-01T00:00:09.500Z","error":{"class":"timeout","message":"too slow"}"#,
        ),
        (
            Change::Discarded { failure },
            "job.discarded",
            r#","error":{"class":"timeout","message":"too slow"}"#,
        ),
        (
            Change::Discarded { failure: Failure::new(FailureClass::Error, TRACE) },
            "job.discarded",
            r#","error":{"class":"error","message":"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'","summary":"KeyError: 'x'"}"#,
        ),
        (Change::Interrupted { why: Interruption::Stop }, "job.interrupted", r#","why":"stop""#),
        (Change::Completed { result: Json::parse("42").unwrap() }, "job.completed", ""),
    ] {
        let expected =
            format!(r#"{{"seq":5,"at":"1970-01-01T00:00:05.000Z","type":"{name}",{JOB}{rest}}}"#);
        assert_eq!(event_json(&event(5, State::Running, 1, change)), expected);
    }
    let text = event_json(&enqueued());
    assert!(
        text.ends_with(r#","priority":3,"max_attempts":25,"run_at":"1970-01-01T00:00:01.000Z"}"#),
        "{text}"
    );
}

#[test]
fn a_queue_event_names_its_queue() {
    let queue = QueueName::parse("mail").unwrap();
    let fact = Fact::Queue { queue, change: QueueChange::Paused };
    let event = Event { seq: 3, at: Time::default(), by: None, fact };
    let expected =
        r#"{"seq":3,"at":"1970-01-01T00:00:00.000Z","type":"queue.paused","queue":"mail"}"#;
    assert_eq!(event_json(&event), expected);
}

#[test]
fn an_event_says_who_caused_it() {
    for (by, shown) in [
        ("user:anna", r#""by":{"user":"anna"}"#),
        ("token:ci", r#""by":{"token":"ci"}"#),
        ("schedule:nightly", r#""by":{"schedule":"nightly"}"#),
        ("link:7", r#""by":{"link":"7"}"#),
    ] {
        let event = Event { by: by.parse().ok(), ..event(5, State::Running, 1, Change::Retried) };
        let expected = format!(
            r#"{{"seq":5,"at":"1970-01-01T00:00:05.000Z","type":"job.retried",{shown},{JOB}}}"#
        );
        assert_eq!(event_json(&event), expected);
    }
}

#[test]
fn an_event_of_users_and_credentials_names_what_it_is_about() {
    let end = Time::from_millis(9_500);
    let bob = || AccessSubject::User("bob".parse().unwrap());
    let token = || AccessSubject::Token { id: "t1".parse().unwrap(), name: "ci".parse().unwrap() };
    let of = "user:bob".parse().unwrap();
    let to = LinkSubject::Job(JobId::from_u128(7));
    for (subject, change, expected) in [
        (
            bob(),
            AccessChange::UserAdded { role: Role::Viewer },
            r#""user.added","user":"bob","role":"viewer""#,
        ),
        (bob(), AccessChange::UserPasswordSet, r#""user.password_set","user":"bob""#),
        (
            token(),
            AccessChange::TokenAdded { role: Role::Worker, expires_at: None },
            r#""token.added","token":{"id":"t1","name":"ci"},"role":"worker","expires_at":null"#,
        ),
        (token(), AccessChange::TokenRevoked, r#""token.revoked","token":{"id":"t1","name":"ci"}"#),
        (
            AccessSubject::Session { id: "s1".parse().unwrap(), of },
            AccessChange::SessionOpened,
            r#""session.opened","session":{"id":"s1","of":{"user":"bob"}}"#,
        ),
        (
            AccessSubject::Link { id: "l1".parse().unwrap(), to },
            AccessChange::LinkAdded { expires_at: end },
            r#""link.added","link":{"id":"l1","to":{"job":"00000000-0000-0000-0000-000000000007"}},"expires_at":"1970-01-01T00:00:09.500Z""#,
        ),
    ] {
        let fact = Fact::Access { subject, change };
        let event = Event { seq: 3, at: Time::default(), by: None, fact };
        let expected = format!(r#"{{"seq":3,"at":"1970-01-01T00:00:00.000Z","type":{expected}}}"#);
        assert_eq!(event_json(&event), expected);
    }
}

#[test]
fn a_job_shows_who_submitted_it_and_who_changed_it() {
    let enqueued = Event { by: "token:ci".parse().ok(), ..enqueued() };
    let mut job = Job::from_enqueued(&enqueued).unwrap();
    let cancelled =
        Event { by: "user:anna".parse().ok(), ..event(2, State::Cancelled, 0, Change::Cancelled) };
    let status = Status { state: State::Cancelled, ..job.status };
    job.apply(&cancelled, status, LogCaps::default());
    let json: serde_json::Value = serde_json::from_str(&to_json(&JobView::of(&job))).unwrap();
    assert_eq!(json["enqueued_by"], serde_json::json!({"token": "ci"}));
    assert_eq!(json["timeline"][0]["by"], serde_json::json!({"user": "anna"}));
    let row: serde_json::Value = serde_json::from_str(&to_json(&JobRow::of(&job))).unwrap();
    assert_eq!(row["enqueued_by"], serde_json::json!({"token": "ci"}));
}

#[test]
fn a_job_shows_payload_and_result_as_they_were_written() {
    let mut job = Job::from_enqueued(&enqueued()).unwrap();
    let started = Change::Started { worker: WorkerName::parse("w1").unwrap().into() };
    let result = Json::parse(r#"{"big": 1e400}"#).unwrap();
    let steps = [(2, State::Running, started), (3, State::Completed, Change::Completed { result })];
    for (seq, state, change) in steps {
        let status = Status { state, attempt: 1, ..job.status };
        job.apply(&event(seq, state, 1, change), status, LogCaps::default());
    }
    let text = to_json(&JobView::of(&job));
    assert!(text.contains(r#""payload":{"z": 1.0,"a":12345678901234567890}"#), "{text}");
    assert!(text.contains(r#""result":{"big": 1e400}"#), "{text}");
    assert!(text.contains(r#""finished_at":"1970-01-01T00:00:03.000Z""#), "{text}");
    let attempt = r#""attempts":[{"number":1,"worker":"w1","started_at":"1970-01-01T00:00:02.000Z","ended_at":"1970-01-01T00:00:03.000Z","duration_ms":1000,"outcome":"completed","error":null}]"#;
    assert!(text.contains(attempt), "{text}");
    assert!(text.contains(r#""type":"job.started","state":"running","attempt":1,"worker":"w1""#));
    assert!(!text.contains("existing") && !text.contains("cursor"), "{text}");
    assert!(to_json(&JobRow::of_existing(&job)).ends_with(r#","existing":true}"#));
}
