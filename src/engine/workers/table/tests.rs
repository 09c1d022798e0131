//! The table: who is connected, what each worker holds, and what the events tell.

use tokio::time::Instant;

use super::*;
use crate::engine::workers::registration::{WorkerAbout, WorkerCaller, WorkerTransport};
use crate::job::{QueueName, TokenName};

const MANY: WorkerLimits = WorkerLimits { total: 10, per_token: 10 };

fn registration(pid: u32) -> WorkerRegistration {
    let kinds = Arc::new(BTreeSet::from([Kind::parse("resize").unwrap()]));
    let interest = Interest { queues: [QueueName::default()].into(), kinds };
    WorkerRegistration {
        interest: Arc::new(interest),
        lease: Duration::from_secs(30),
        about: Some(WorkerAbout { pid: Some(pid), ..WorkerAbout::default() }),
        transport: WorkerTransport::Http,
        caller: WorkerCaller::default(),
    }
}

#[test]
fn the_events_tell_at_most_once_a_second_that_a_worker_has_connected() {
    let (mut table, name) = (WorkerTable::default(), WorkerName::parse("web-1").unwrap());
    let begin = Instant::now();
    let at = |ms: u64| ClockReadings {
        at: Time::from_millis(ms as i64),
        now: begin + Duration::from_millis(ms),
    };
    for ms in 0..100 {
        table.register(&name, registration(ms as u32), MANY, at(ms)).unwrap();
        if ms % 10 == 9 {
            table.sign_off(&name, at(ms).at, None);
        }
    }
    let changes = |table: &mut WorkerTable| -> Vec<WorkerChange> {
        table.take_events().into_iter().map(|notice| notice.change).collect()
    };
    let left = WorkerChange::Left { why: WorkerLeft::SignedOff };
    assert_eq!(changes(&mut table), [WorkerChange::Connected, left]);
    table.register(&name, registration(1), MANY, at(500)).unwrap();
    table.sweep(at(999));
    assert_eq!(changes(&mut table), []);
    table.sweep(at(1_000));
    assert_eq!(changes(&mut table), [WorkerChange::Connected], "it is made up for");
    table.sweep(at(2_000));
    assert_eq!(changes(&mut table), []);
}

#[test]
fn one_token_has_at_most_its_share_of_the_workers() {
    let mut table = WorkerTable::default();
    let limits = WorkerLimits { total: 5, per_token: 2 };
    let begin = Instant::now();
    let at = |seconds: u64| ClockReadings {
        at: Time::from_millis(seconds as i64 * 1_000),
        now: begin + Duration::from_secs(seconds),
    };
    let connect = |table: &mut WorkerTable, name: &str, token: &str, when: ClockReadings| {
        let actor = Some(Actor::Token(TokenName::parse(token).unwrap()));
        let caller = WorkerCaller { actor, restriction: None };
        let registration = WorkerRegistration { caller, ..registration(1) };
        table.register(&WorkerName::parse(name).unwrap(), registration, limits, when)
    };
    let too_many = Err(RegistrationRefused::TooManyOfToken);
    for name in ["a-1", "a-2"] {
        assert_eq!(connect(&mut table, name, "a", at(0)), Ok(()));
    }
    assert_eq!(connect(&mut table, "a-3", "a", at(0)), too_many);
    assert_eq!(connect(&mut table, "a-2", "a", at(1)), Ok(()), "it is connected already");
    for name in ["b-1", "b-2"] {
        assert_eq!(connect(&mut table, name, "b", at(1)), Ok(()));
    }
    assert_eq!(connect(&mut table, "a-1", "b", at(1)), too_many, "it would be one of b");
    table.sign_off(&WorkerName::parse("a-1").unwrap(), at(1).at, None);
    assert_eq!(connect(&mut table, "a-3", "a", at(1)), Ok(()), "one has left");
    // What was silent for longer than its lease makes room before anybody is refused.
    table.sweep(at(60));
    assert_eq!(connect(&mut table, "a-4", "a", at(60)), Ok(()));
    assert_eq!(connect(&mut table, "a-5", "a", at(60)), Ok(()));
    assert_eq!(connect(&mut table, "a-6", "a", at(60)), too_many);
    table.sweep(at(120));
    table.sweep(at(1_000));
    assert!(table.is_empty());
    for name in ["a-7", "a-8"] {
        assert_eq!(connect(&mut table, name, "a", at(1_000)), Ok(()), "all were forgotten");
    }
}
