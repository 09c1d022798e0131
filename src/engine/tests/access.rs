//! Operations in the name of an actor, and the passwords of users.

use super::*;
use crate::access::{AccessCommand, PasswordHash, PasswordProblem, Role};
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
    let shop = open(one(|_: AttemptContext, ()| async { Outcome::Cancel }));
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
async fn a_password_is_checked_against_the_hash_of_a_user_or_of_nobody() {
    let shop = open(Registry::default());
    let engine = &shop.engine;
    let hash = engine.hash_password("password of anna".into()).await.unwrap();
    for (known, password, expected) in [
        (Some(&hash), "password of anna", true),
        (Some(&hash), "password of bob", false),
        (Some(&hash), "", false),
        (None, "password of anna", false),
    ] {
        let checked = engine.verify_password(known.cloned(), password.into()).await;
        assert_eq!(checked, Ok(expected), "{password}");
    }
    assert_eq!(engine.checked_passwords(), 4, "nobody's takes the same work");
    let short = engine.hash_password("short".into()).await;
    assert_eq!(short, Err(PasswordProblem::TooShort { least: 12 }));
}

#[tokio::test]
async fn new_passwords_and_given_ones_share_the_limit_of_hashes_at_once() {
    let shop = open(Registry::default());
    let held = shop.engine.hold_hash_permits().await;
    let engine = shop.engine.clone();
    let hash = tokio::spawn(async move { engine.hash_password("password of anna".into()).await });
    let engine = shop.engine.clone();
    let check = tokio::spawn(async move { engine.verify_password(None, "x".into()).await });
    while shop.engine.checked_passwords() == 0 {
        tokio::task::yield_now().await;
    }
    // Work of the same length is done twice meanwhile.
    for _ in 0..2 {
        let same = || PasswordHash::of_nobody().verify(&"x".into());
        assert!(!tokio::task::spawn_blocking(same).await.unwrap());
    }
    assert!(!hash.is_finished() && !check.is_finished());
    drop(held);
    assert!(hash.await.unwrap().is_ok());
    assert_eq!(check.await.unwrap(), Ok(false));
}
