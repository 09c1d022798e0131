//! The actor in events and records.

use super::schedule::{every, named};
use super::{Harness, Rig, completed, draft, secs};
use crate::access::tests::{add_user, user};
use crate::access::{AccessCommand, Role};
use crate::job::{
    AccessChange, AccessSubject, Actor, Event, EventType, Fact, NewJob, QueueChange, QueueName,
    WorkerChange, WorkerLeft, WorkerName,
};
use crate::store::{Control, ScheduleCommand, WorkerNotice};

fn actor(text: &str) -> Option<Actor> {
    Some(text.parse().unwrap())
}

fn types_and_actors(log: &[Event]) -> Vec<(EventType, Option<Actor>)> {
    log.iter().map(|event| (event.event_type(), event.by.clone())).collect()
}

pub(crate) async fn every_event_that_somebody_caused_has_the_actor(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let (anna, ci, link) = (actor("user:anna"), actor("token:ci"), actor("link:7"));
    let submitted = |by: &Option<Actor>| NewJob { by: by.clone(), ..draft().job() };
    let first = rig.add(submitted(&anna)).await;
    rig.store.enqueue(vec![submitted(&ci), submitted(&None), submitted(&ci)]).await.unwrap();
    for (control, by) in [
        (Control::Reprioritise { jobs: vec![first.id], priority: 3 }, &ci),
        (Control::SetQueue(QueueName::default(), QueueChange::Paused), &anna),
        (Control::SetQueue(QueueName::default(), QueueChange::Resumed), &None),
    ] {
        rig.store.control(control, by.clone()).await.unwrap();
    }
    let lease = rig.claim_one().await;
    assert_eq!(lease.job.id, first.id);
    let cancel = Control::Cancel(vec![first.id]);
    rig.store.control(cancel, link.clone()).await.unwrap();
    rig.note(&lease, &["a line"]).await;
    rig.settle(&lease, completed()).await.unwrap();
    rig.store.control(Control::Retry(vec![first.id]), anna.clone()).await.unwrap();
    let expected = [
        (EventType::JobEnqueued, anna.clone()),
        (EventType::JobEnqueued, ci.clone()),
        (EventType::JobEnqueued, None),
        (EventType::JobEnqueued, ci.clone()),
        (EventType::JobReprioritised, ci.clone()),
        (EventType::QueuePaused, anna.clone()),
        (EventType::QueueResumed, None),
        (EventType::JobStarted, None),
        (EventType::JobCancelAsked, link.clone()),
        (EventType::JobLogged, None),
        (EventType::JobCompleted, None),
        (EventType::JobRetried, anna.clone()),
    ];
    assert_eq!(types_and_actors(&rig.log().await), expected);
    let rig = rig.crash().await;
    assert_eq!(types_and_actors(&rig.log().await), expected);

    let job = rig.job(first.id).await;
    assert_eq!((&job.enqueued_by, job.last_actor()), (&anna, anna.as_ref()));
    let of_history: Vec<Option<Actor>> =
        job.history.iter().map(|moment| moment.by.clone()).collect();
    assert_eq!(of_history, [ci, None, link, None, anna]);
    let listed = rig.jobs().await;
    assert_eq!(listed.last().unwrap().enqueued_by, job.enqueued_by);
}

pub(crate) async fn a_schedule_is_the_actor_of_its_jobs(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let (anna, nightly) = (actor("user:anna"), actor("schedule:nightly"));
    let set = ScheduleCommand::Set(named("nightly"), every("every 1m", draft()).into());
    rig.store.schedule(set, anna.clone()).await.unwrap();
    rig.pass(secs(60));
    assert_eq!(rig.tick().await.fired, 1);
    let fire = || ScheduleCommand::Fire(named("nightly"));
    rig.store.schedule(fire(), anna.clone()).await.unwrap();
    rig.store.schedule(fire(), None).await.unwrap();
    let expected = [
        (EventType::ScheduleSet, anna.clone()),
        (EventType::JobEnqueued, nightly.clone()),
        (EventType::ScheduleFired, None),
        (EventType::JobEnqueued, anna.clone()),
        (EventType::ScheduleFired, anna.clone()),
        (EventType::JobEnqueued, None),
        (EventType::ScheduleFired, None),
    ];
    assert_eq!(types_and_actors(&rig.log().await), expected);
    let by: Vec<Option<Actor>> =
        rig.crash().await.jobs().await.into_iter().rev().map(|job| job.enqueued_by).collect();
    assert_eq!(by.len(), 3);
    assert!([nightly, anna, None].iter().all(|actor| by.contains(actor)), "{by:?}");
}

pub(crate) async fn the_actors_of_finished_jobs_survive(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let anna = actor("user:anna");
    let mut ids = Vec::new();
    for _ in 0..40 {
        let id = rig.finish(NewJob { by: anna.clone(), ..draft().job() }).await;
        ids.push(id);
        rig.tick().await;
    }
    let cancelled = rig.add(draft()).await;
    rig.store.control(Control::Cancel(vec![cancelled.id]), anna.clone()).await.unwrap();
    rig.catch_up().await;
    let rig = rig.reopen().await;
    for id in ids {
        let job = rig.job(id).await;
        assert_eq!((&job.enqueued_by, job.last_actor()), (&anna, None));
    }
    let job = rig.job(cancelled.id).await;
    assert_eq!((&job.enqueued_by, job.last_actor()), (&None, anna.as_ref()));
}

pub(crate) async fn a_change_of_users_is_an_event_with_its_actor(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let anna = actor("user:anna");
    rig.store.access(add_user("anna", Role::Admin), None).await.unwrap();
    rig.store.access(add_user("bob", Role::Viewer), anna.clone()).await.unwrap();
    let refused = rig.store.access(AccessCommand::DeleteUser(user("anna")), anna.clone()).await;
    assert!(refused.is_err());
    rig.store.access(AccessCommand::DeleteUser(user("bob")), anna.clone()).await.unwrap();
    let subject = |name: &str| AccessSubject::User(user(name));
    let fact = |name: &str, change| Fact::Access { subject: subject(name), change };
    let expected = [
        (None, fact("anna", AccessChange::UserAdded { role: Role::Admin })),
        (anna.clone(), fact("bob", AccessChange::UserAdded { role: Role::Viewer })),
        (anna, fact("bob", AccessChange::UserDeleted)),
    ];
    let read = |log: Vec<Event>| -> Vec<(Option<Actor>, Fact)> {
        log.into_iter().map(|event| (event.by, event.fact)).collect()
    };
    rig.until_durable(3).await;
    assert_eq!(read(rig.log().await), expected);
    let rig = rig.crash().await;
    assert_eq!(read(rig.log().await), expected);
}

pub(crate) async fn notices_of_workers_are_events_in_their_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let anna = actor("user:anna");
    let worker = WorkerName::parse("web-1").unwrap();
    let why = WorkerLeft::Silent;
    let changes = [
        (WorkerChange::Connected, None),
        (WorkerChange::Quieted, anna),
        (WorkerChange::Left { why }, None),
    ];
    let notice = |(change, by): &(WorkerChange, Option<Actor>)| WorkerNotice {
        worker: worker.clone(),
        change: *change,
        by: by.clone(),
    };
    rig.store.report(changes.iter().map(notice).collect()).await.unwrap();
    rig.store.report(Vec::new()).await.unwrap();
    rig.until_durable(3).await;
    let fact = |change| Fact::Worker { worker: worker.clone(), change };
    let expected: Vec<(Option<Actor>, Fact)> =
        changes.iter().map(|(change, by)| (by.clone(), fact(*change))).collect();
    let read = |log: Vec<Event>| -> Vec<(Option<Actor>, Fact)> {
        log.into_iter().map(|event| (event.by, event.fact)).collect()
    };
    assert_eq!(read(rig.log().await), expected);
    let rig = rig.crash().await;
    assert_eq!(read(rig.log().await), expected);
}
