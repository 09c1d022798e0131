//! How a tick changes waiting and running jobs.

use super::rig::{TTL, failed};
use super::{Harness, Rig, draft, secs};
use crate::job::{Change, EventType, Fact, FailureClass, Interruption, Job, JobId, State};
use crate::store::{StoreLimits, Ticked};

fn last_change(job: &Job) -> (Change, u16) {
    let moment = job.history.last().unwrap();
    (moment.change.clone(), moment.attempt)
}

pub(crate) async fn a_tick_with_nothing_to_do_does_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    assert_eq!(rig.tick().await, Ticked::default());
    rig.add(draft()).await;
    rig.finish(draft().priority(1)).await;
    let next = rig.tick().await.next; // may still be the expiry of the settled lease
    assert_eq!(rig.tick().await, Ticked { next, ..Ticked::default() });
    assert_eq!(rig.log().await.len(), 4);
}

pub(crate) async fn a_job_becomes_available_when_its_time_comes(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let scheduled = rig.add(draft().after(secs(10))).await.id;
    let running = rig.start(draft()).await.job.id;
    rig.pass(secs(9));
    assert_eq!((rig.tick().await.due, rig.state(scheduled).await), (0, State::Scheduled));
    rig.pass(secs(1));
    assert_eq!((rig.tick().await.due, rig.state(scheduled).await), (1, State::Available));
    let job = rig.job(scheduled).await;
    assert_eq!((job.run_at, last_change(&job)), (rig.now(), (Change::BecameAvailable, 0)));
    assert_eq!(rig.tick().await.due, 0); // a second tick changes nothing
    assert_eq!(rig.state(running).await, State::Running);
}

pub(crate) async fn a_failed_job_becomes_available_when_its_wait_is_over(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.settle(&lease, failed(secs(7))).await.unwrap();
    rig.pass(secs(7));
    rig.pass(secs(5)); // the tick is late; the job is ordered by its `run_at`
    assert_eq!(rig.tick().await.due, 1);
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 1));
    assert_eq!(last_change(&job), (Change::BecameAvailable, 1));
    assert_eq!(rig.now().since(job.run_at), secs(5));
}

pub(crate) async fn due_jobs_come_in_the_order_of_their_times(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut expected = Vec::new();
    for delay in [30, 10, 20, 10] {
        expected.push((delay, rig.add(draft().after(secs(delay))).await.id));
    }
    expected.sort();
    rig.pass(secs(60));
    assert_eq!(rig.tick().await.due, 4);
    let log = rig.log().await;
    let ids: Vec<JobId> = log[4..].iter().map(job_of).collect();
    assert_eq!(ids, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

fn job_of(event: &crate::job::Event) -> JobId {
    match &event.fact {
        Fact::Job { id, .. } => *id,
        Fact::Queue { queue, .. } => panic!("an event of queue {queue}"),
        Fact::Schedule { schedule, .. } => panic!("an event of schedule {schedule}"),
        Fact::Access { subject, .. } => panic!("an event of {subject:?}"),
        Fact::Kind { kind, .. } => panic!("an event of kind {kind}"),
        Fact::Worker { worker, .. } => panic!("an event of worker {worker}"),
    }
}

pub(crate) async fn a_lease_that_runs_out_is_rescued(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(2)).await;
    rig.pass(TTL - secs(1));
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(secs(1));
    assert_eq!(rig.tick().await.rescued, 1);
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 1)); // the attempt stays charged
    let why = Interruption::LeaseExpired;
    assert_eq!((last_change(&job), job.run_at), ((Change::Rescued { why }, 1), rig.now()));
    assert_eq!(rig.tick().await.rescued, 0);
    assert_eq!(rig.claim_one().await.job.status.attempt, 2);
}

pub(crate) async fn a_last_attempt_that_is_lost_discards_the_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    rig.pass(TTL);
    assert_eq!(rig.tick().await.rescued, 1);
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Discarded, 1));
    let failure = job.last_failure().unwrap();
    assert_eq!(failure.class, FailureClass::Lost);
    assert_eq!(&*failure.message, Interruption::LeaseExpired.lost_message());
}

pub(crate) async fn a_lost_job_that_was_to_be_cancelled_is_cancelled(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.cancel(lease.job.id).await.unwrap();
    rig.pass(TTL);
    assert_eq!(rig.tick().await.rescued, 1);
    assert_eq!(rig.state(lease.job.id).await, State::Cancelled);
    assert_eq!(rig.story(lease.job.id).await.pop(), Some(EventType::JobCancelled));
}

pub(crate) async fn a_tick_does_one_step_of_due_jobs_and_asks_for_more(harness: impl Harness) {
    let rig = Rig::open_with(harness, StoreLimits { tick_step: 4, ..StoreLimits::default() }).await;
    for _ in 0..10 {
        rig.add(draft().after(secs(5))).await;
    }
    rig.pass(secs(5));
    for (due, more) in [(4, true), (4, true), (2, false)] {
        let ticked = rig.tick().await;
        assert_eq!(ticked.due, due);
        assert_eq!(ticked.next.is_some_and(|next| next <= rig.now()), more);
    }
}

pub(crate) async fn a_tick_does_one_step_of_rescues_and_asks_for_more(harness: impl Harness) {
    let rig = Rig::open_with(harness, StoreLimits { tick_step: 3, ..StoreLimits::default() }).await;
    for _ in 0..4 {
        rig.add(draft()).await;
    }
    rig.claim(4).await;
    rig.pass(TTL);
    for (rescued, more) in [(3, true), (1, false)] {
        let ticked = rig.tick().await;
        assert_eq!(ticked.rescued, rescued);
        assert_eq!(ticked.next.is_some_and(|next| next <= rig.now()), more);
    }
}

pub(crate) async fn a_tick_tells_when_the_next_one_is_needed(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let start = rig.now();
    rig.add(draft().after(secs(50))).await;
    assert_eq!(rig.tick().await.next, Some(start.after(secs(50))));
    rig.start(draft()).await;
    assert_eq!(rig.tick().await.next, Some(start.after(TTL)));
    rig.pass(TTL);
    assert_eq!(rig.tick().await.next, Some(start.after(secs(50))));
    rig.pass(secs(20));
    let ticked = rig.tick().await;
    assert_eq!((ticked.due, ticked.next), (1, None));
}
