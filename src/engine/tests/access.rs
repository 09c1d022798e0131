//! Operations in the name of an actor, and the passwords of users.

use super::*;
use crate::access::{AccessCommand, PasswordProblem, Role};
use crate::engine::bulk::{Action, Target};
use crate::job::{Actor, Concurrency, Cursor, Event, Origin, RateRule, ScheduleName, UserName};
use crate::store::Events;

async fn log(engine: &Engine) -> Vec<Event> {
    let origin = Cursor { seq: 0, ..engine.head() };
    let Events::Some(log) = engine.events(origin, 1_000).await.unwrap() else { panic!("a gap") };
    log
}

#[tokio::test]
async fn every_operation_is_in_the_name_of_its_engine() {
    let shop = open(one(|_: Context, ()| async { Outcome::Cancel }));
    let anna: Actor = "user:anna".parse().unwrap();
    let engine = shop.engine.by(Some(anna.clone()));
    assert_eq!((engine.actor(), shop.engine.actor()), (Some(&anna), None));
    let later = || NewJob { start: Start::After(Duration::from_secs(3_600)), ..work() };
    let batch: Vec<NewJob> = (0..5).map(|_| later()).collect();
    let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
    engine.enqueue(batch).await.unwrap();
    let queue = || QueueName::parse("other").unwrap();
    engine.pause(queue()).await.unwrap();
    engine.resume(queue()).await.unwrap();
    engine.set_concurrency(queue(), Some(Concurrency::clamped(3))).await.unwrap();
    engine.set_rate_limit(queue(), Some(RateRule::Unlimited)).await.unwrap();
    engine.move_to(ids[0], queue()).await.unwrap();
    engine.reprioritise(ids[1], 7).await.unwrap();
    engine.cancel(ids[2]).await.unwrap();
    engine.delete(ids[2]).await.unwrap();
    let name = || ScheduleName::parse("nightly").unwrap();
    let submission = ScheduleSubmission {
        cron: "@yearly".into(),
        kind: "work".into(),
        ..ScheduleSubmission::default()
    };
    let spec = submission.into_spec(Origin::Api, engine.kinds(), SystemClock.now()).unwrap();
    engine.set_schedule(name(), spec).await.unwrap();
    engine.pause_schedule(name()).await.unwrap();
    engine.resume_schedule(name()).await.unwrap();
    engine.delete_schedule(name()).await.unwrap();
    let target = || Target::Jobs(vec![ids[3], ids[4]]);
    let run = engine.bulk_within(Action::Cancel, target(), BOUND).await.unwrap();
    assert_eq!(run.progress.done, 2);
    let password = engine.hash_password("correct horse".into()).await.unwrap();
    let name = UserName::parse("bob").unwrap();
    let add = AccessCommand::AddUser { name: name.clone(), password, role: Role::Admin };
    engine.access(add).await.unwrap();
    let events = log(&engine).await;
    assert!(events.len() > 18, "{events:?}");
    for event in events {
        assert_eq!(event.by, Some(anna.clone()), "{event:?}");
    }

    // Without an actor, and for what attempts do, there is none.
    let seen = shop.engine.head();
    shop.engine.pause(queue()).await.unwrap();
    engine.retry(ids[3]).await.unwrap();
    shop.finish(ids[3]).await;
    let Events::Some(rest) = engine.events(seen, 100).await.unwrap() else { panic!("a gap") };
    let by: Vec<(&str, bool)> =
        rest.iter().map(|event| (event.event_type().as_str(), event.by.is_some())).collect();
    let expected = [
        ("queue.paused", false),
        ("job.retried", true),
        ("job.started", false),
        ("job.cancelled", false),
    ];
    assert_eq!(by, expected);
}

#[tokio::test]
async fn a_password_is_checked_by_name_and_hash() {
    let shop = open(Registry::default());
    let engine = &shop.engine;
    for (name, role) in [("anna", Role::Admin), ("bob", Role::Viewer)] {
        let password = engine.hash_password(format!("password of {name}").as_str().into()).await;
        let (name, password) = (UserName::parse(name).unwrap(), password.unwrap());
        engine.access(AccessCommand::AddUser { name, password, role }).await.unwrap();
    }
    let bob = UserName::parse("bob").unwrap();
    for (name, password, expected) in [
        ("anna", "password of anna", true),
        ("bob", "password of bob", true),
        ("bob", "password of anna", false),
        ("zoe", "password of zoe", false),
        ("bob", "", false),
    ] {
        let name = UserName::parse(name).unwrap();
        let found = engine.check_password(&name, password.into()).await;
        assert_eq!(found.map(|user| user.name.clone()), expected.then_some(name), "{password}");
    }
    engine.access(AccessCommand::DisableUser(bob.clone())).await.unwrap();
    assert_eq!(engine.check_password(&bob, "password of bob".into()).await, None);
    let short = engine.hash_password("short".into()).await;
    assert_eq!(short, Err(PasswordProblem::TooShort { least: 12 }));
}
