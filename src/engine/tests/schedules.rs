//! Schedules in the engine: their jobs run when due, and declared schedules exist as long as their declaration does.

use super::*;
use crate::job::{Origin, ScheduleChange, ScheduleName, ScheduleSpec};

fn named(name: &str) -> ScheduleName {
    ScheduleName::parse(name).unwrap()
}

fn every_second(origin: Origin) -> ScheduleSpec {
    let submission = ScheduleSubmission {
        cron: "every 1s".into(),
        kind: "work".into(),
        queue: Some("of-its-own".into()),
        ..ScheduleSubmission::default()
    };
    submission.into_spec(origin, &Kinds::default(), SystemClock.now()).unwrap()
}

#[tokio::test]
async fn a_job_is_run_when_its_schedule_is_due_in_a_queue_that_is_new() {
    let mut shop = open(one(|_: AttemptContext, _: Option<()>| async { Ok::<_, String>(7) }));
    let set = shop.engine.set_schedule(named("tick"), every_second(Origin::Api)).await;
    let due = set.unwrap().next_at.unwrap();
    let (at, came, job) = timeout(BOUND, async {
        loop {
            for event in &shop.live.recv().await.unwrap().events[..] {
                if let Fact::Schedule { change: ScheduleChange::Fired { due, job, .. }, .. } =
                    event.fact
                {
                    return (event.at, due, job);
                }
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(came, Some(due));
    assert!(at >= due);
    let done = shop.engine.wait_final(job, BOUND).await.unwrap().unwrap();
    assert_eq!(done.status.state, State::Completed);
    shop.engine.pause_schedule(named("tick")).await.unwrap();
    let (stored, _) = shop.engine.schedules().await.unwrap();
    assert!(stored[0].paused && stored[0].last.is_some());
}

#[tokio::test]
async fn a_schedule_of_an_unknown_kind_is_refused() {
    let shop = open(Registry::default());
    let refused = shop.engine.set_schedule(named("tick"), every_second(Origin::Api)).await;
    let refused = refused.unwrap_err();
    let is_unknown = matches!(refused, SetScheduleError::Payload(PayloadError::UnknownKind { .. }));
    assert!(is_unknown, "{refused:?}");
}

#[tokio::test]
async fn declared_schedules_come_and_go_with_their_declaration() {
    let store = memory();
    let registry = || one(|_: AttemptContext, _: Option<()>| async { Ok::<_, String>(7) });
    let declared = |names: &[&str]| {
        let spec = |name: &&str| {
            let spec = every_second(Origin::Config);
            let cron = crate::job::Cron::parse("@yearly", "", SystemClock.now()).unwrap();
            (named(name), ScheduleSpec { cron, ..spec })
        };
        EngineConfig { schedules: names.iter().map(spec).collect(), ..quick() }
    };
    for (names, expected) in [(vec!["a", "b"], "a b mine"), (vec!["b"], "b mine"), (vec![], "mine")]
    {
        let shop = open_on(store.clone(), registry(), declared(&names));
        let mine = every_second(Origin::Api);
        shop.engine.set_schedule(named("mine"), mine).await.unwrap();
        shop.engine.pause_schedule(named("mine")).await.unwrap();
        let stored = timeout(BOUND, async {
            loop {
                let (schedules, _) = shop.engine.schedules().await.unwrap();
                let names: Vec<&str> = schedules.iter().map(|one| one.name.as_str()).collect();
                if names.join(" ") == expected {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        stored.await.unwrap_or_else(|_| panic!("not {expected}"));
        shop.shutdown.draining.cancel();
    }
}
