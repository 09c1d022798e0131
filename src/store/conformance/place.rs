//! Moving a waiting job to another queue, and changing its priority.

use std::time::Duration;

use super::rig::failed;
use super::{Harness, Rig, draft, queue, secs};
use crate::job::{Change, Event, EventType, Fact, JobId, Refused, State, Step};
use crate::store::{Control, ControlError, JobControlError, StoreLimits, TooManyQueues};

fn refused(state: State, step: Step) -> JobControlError {
    JobControlError::Refused(Refused { state, step })
}

pub(crate) async fn a_moved_job_waits_in_its_new_queue(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let job = rig.add(draft().queue("a").tag("red")).await;
    let wake = rig.store.wake(&queue("b"));
    assert_eq!(rig.move_to(job.id, "b").await, Ok(job.status));
    let moved = rig.job(job.id).await;
    assert_eq!((&moved.labels.queue, &moved.labels.tags), (&queue("b"), &job.labels.tags));
    let event = rig.log().await.pop().unwrap();
    let Event { fact: Fact::Job { labels, state, attempt, change, .. }, .. } = event else {
        panic!()
    };
    assert_eq!((&labels, state, attempt), (&moved.labels, State::Available, 0));
    assert_eq!(change, Change::Moved { from: queue("a") });
    let stats = rig.stats().await;
    assert_eq!(stats.queues.keys().collect::<Vec<_>>(), [&queue("b")]);
    tokio::time::timeout(Duration::from_secs(20), wake.notified()).await.expect("b is woken");
    assert_eq!(rig.claim_from("a", 1).await.len(), 0);
    assert_eq!(*rig.claim_from("b", 1).await[0].job.labels, *moved.labels);
}

pub(crate) async fn a_job_keeps_its_place_in_time_when_it_moves(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let later = rig.add(draft().queue("a").after(secs(10))).await;
    let failing = rig.start(draft().queue("a")).await;
    rig.settle(&failing, failed(secs(10))).await.unwrap();
    for id in [later.id, failing.job.id] {
        rig.move_to(id, "b").await.unwrap();
        rig.reprioritise(id, 3).await.unwrap();
    }
    assert_eq!(rig.job(later.id).await.run_at, later.run_at);
    assert_eq!(rig.claim_from("b", 9).await.len(), 0);
    rig.pass(secs(10));
    assert_eq!(rig.catch_up().await.due, 2);
    assert_eq!(rig.claim_from("b", 9).await.len(), 2);
}

pub(crate) async fn a_reprioritised_job_runs_when_its_priority_says(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let [first, second, third] =
        [rig.add(draft()).await.id, rig.add(draft()).await.id, rig.add(draft()).await.id];
    rig.reprioritise(third, 5).await.unwrap();
    rig.reprioritise(first, -5).await.unwrap();
    assert_eq!(rig.job(third).await.spec.priority, 5);
    assert_eq!(rig.story(first).await.pop(), Some(EventType::JobReprioritised));
    let claimed: Vec<JobId> = rig.claim(9).await.iter().map(|lease| lease.job.id).collect();
    assert_eq!(claimed, [third, second, first]);
}

pub(crate) async fn moving_to_the_same_place_is_no_event(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let job = rig.add(draft().queue("a").priority(2)).await;
    let head = rig.store.head();
    assert_eq!(rig.move_to(job.id, "a").await, Ok(job.status));
    assert_eq!(rig.reprioritise(job.id, 2).await, Ok(job.status));
    assert_eq!(rig.store.head(), head);
}

pub(crate) async fn only_waiting_jobs_are_moved_or_reprioritised(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let done = rig.finish(draft()).await;
    let running = rig.start(draft()).await.job.id;
    for (id, state) in [(done, State::Completed), (running, State::Running)] {
        assert_eq!(rig.move_to(id, "b").await, Err(refused(state, Step::Move)));
        assert_eq!(rig.reprioritise(id, 1).await, Err(refused(state, Step::Reprioritise)));
    }
    assert_eq!(rig.move_to(JobId::generate(), "b").await, Err(JobControlError::NotFound));
    assert_eq!(rig.stats().await.queues.len(), 1);
}

pub(crate) async fn one_queue_too_many_is_not_moved_to(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_queues: 1, ..StoreLimits::default() }).await;
    let job = rig.add(draft().queue("a")).await;
    let control = Control::Move { jobs: vec![job.id], queue: queue("b") };
    let answer = rig.store.control(control, None).await;
    assert!(
        matches!(answer, Err(ControlError::TooManyQueues(TooManyQueues { limit: 1 }))),
        "{answer:?}"
    );
    assert_eq!(rig.job(job.id).await, job);
}

pub(crate) async fn moved_and_reprioritised_jobs_survive_a_restart(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let ids = [rig.add(draft().queue("a")).await.id, rig.add(draft().queue("a")).await.id];
    for id in ids {
        rig.move_to(id, "b").await.unwrap();
    }
    rig.reprioritise(ids[1], 9).await.unwrap();
    let before = rig.jobs().await;
    let rig = rig.crash().await;
    assert_eq!(rig.jobs().await, before);
    let rig = rig.reopen().await;
    assert_eq!(rig.jobs().await, before);
    assert_eq!(rig.stats().await.queues.keys().collect::<Vec<_>>(), [&queue("b")]);
    let claimed: Vec<JobId> = rig.claim_from("b", 9).await.iter().map(|l| l.job.id).collect();
    assert_eq!(claimed, [ids[1], ids[0]]);
}
