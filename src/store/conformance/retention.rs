//! How long finished jobs and the log are kept.

use super::rig::failure;
use super::{Harness, Rig, draft, secs};
use crate::job::{Cursor, JobId, State, Verdict};
use crate::store::{Events, Keep, Retention, StoreLimits};

const LONG: Keep = Keep { age: secs(1_000_000), count: 1_000_000 };
const KEEP_ALL: Retention =
    Retention { completed: LONG, cancelled: LONG, discarded: LONG, events: LONG };

fn limits(retention: Retention) -> StoreLimits {
    StoreLimits { retention, ..StoreLimits::default() }
}

async fn cancelled<H: Harness>(rig: &Rig<H>) -> JobId {
    let id = rig.add(draft()).await.id;
    rig.cancel(id).await.unwrap();
    id
}

async fn discarded<H: Harness>(rig: &Rig<H>) -> JobId {
    let lease = rig.start(draft().queue("dead")).await;
    rig.settle(&lease, Verdict::Discarded { failure: failure() }).await.unwrap();
    lease.job.id
}

pub(crate) async fn finished_jobs_go_when_they_are_too_old(harness: impl Harness) {
    let keep = |age| Keep { age: secs(age), ..LONG };
    let (completed, cancel, discard) = (keep(10), keep(20), keep(30));
    let retention = Retention { completed, cancelled: cancel, discarded: discard, events: LONG };
    let rig = Rig::open_with(harness, limits(retention)).await;
    let ids = [rig.finish(draft()).await, cancelled(&rig).await, discarded(&rig).await];
    let waiting = rig.add(draft().after(secs(90))).await.id;
    let head = rig.store.head();
    rig.pass(secs(9));
    assert_eq!(rig.catch_up().await.pruned, 0);
    for (wait, gone) in [(1, ids[0]), (10, ids[1]), (10, ids[2])] {
        assert!(rig.find(gone).await.is_some());
        rig.pass(secs(wait));
        assert_eq!(rig.catch_up().await.pruned, 1);
        assert_eq!(rig.find(gone).await, None);
    }
    assert_eq!((rig.jobs().await.len(), rig.state(waiting).await), (1, State::Scheduled));
    assert_eq!(rig.store.head(), head); // pruning is not an event
}

pub(crate) async fn the_oldest_finished_jobs_go_when_they_are_too_many(harness: impl Harness) {
    let completed = Keep { count: 2, ..LONG };
    let rig = Rig::open_with(harness, limits(Retention { completed, ..KEEP_ALL })).await;
    for _ in 0..4 {
        rig.add(draft()).await;
    }
    let dead = discarded(&rig).await;
    let mut leases = rig.claim(9).await;
    leases.reverse(); // finish in a different order than enqueued
    for lease in &leases {
        rig.pass(secs(1));
        rig.complete(lease).await;
    }
    let finished: Vec<JobId> = leases.iter().map(|lease| lease.job.id).collect();
    assert_eq!(rig.catch_up().await.pruned, finished.len() - 2);
    let mut left: Vec<JobId> = rig.jobs().await.iter().map(|job| job.id).collect();
    left.retain(|id| *id != dead);
    left.reverse();
    let mut newest = finished[finished.len() - 2..].to_vec();
    newest.sort();
    assert_eq!(left, newest);
    assert_eq!(rig.catch_up().await.pruned, 0);
}

pub(crate) async fn a_tick_prunes_one_step_and_asks_for_more(harness: impl Harness) {
    let completed = Keep { count: 0, ..LONG };
    let retention = Retention { completed, ..KEEP_ALL };
    let rig = Rig::open_with(harness, StoreLimits { tick_step: 2, ..limits(retention) }).await;
    for _ in 0..3 {
        rig.finish(draft()).await;
    }
    let mut left = 3;
    for _ in 0..1_000 {
        let ticked = rig.tick().await;
        assert!(ticked.pruned <= 2, "{ticked:?}"); // fewer is allowed if it asks for another tick
        left -= ticked.pruned;
        assert_eq!(rig.jobs().await.len(), left);
        assert!(left == 0 || ticked.next.is_some_and(|next| next <= rig.now()), "{ticked:?}");
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0);
    assert_eq!(rig.catch_up().await.pruned, 0);
}

pub(crate) async fn a_retried_job_is_pruned_by_its_last_end(harness: impl Harness) {
    let completed = Keep { age: secs(10), ..LONG };
    let rig = Rig::open_with(harness, limits(Retention { completed, ..KEEP_ALL })).await;
    let id = rig.finish(draft()).await;
    rig.pass(secs(9));
    rig.retry(id).await.unwrap();
    let lease = rig.claim_one().await;
    rig.pass(secs(9));
    assert_eq!(rig.catch_up().await.pruned, 0);
    rig.complete(&lease).await;
    rig.pass(secs(9));
    assert_eq!(rig.catch_up().await.pruned, 0);
    rig.pass(secs(1));
    assert_eq!(rig.catch_up().await.pruned, 1);
}

pub(crate) async fn a_pruned_job_stays_gone_and_counts_nowhere(harness: impl Harness) {
    let completed = Keep { count: 1, ..LONG };
    let rig = Rig::open_with(harness, limits(Retention { completed, ..KEEP_ALL })).await;
    let gone = rig.finish(draft().queue("a")).await;
    let kept = rig.finish(draft()).await;
    rig.catch_up().await;
    let rig = rig.reopen().await.crash().await;
    assert_eq!((rig.find(gone).await, rig.jobs().await.len()), (None, 1));
    let stats = rig.stats().await;
    assert_eq!(stats.states[&State::Completed], 1);
    assert!(!stats.queues.contains_key("a"), "a queue without jobs is unknown");
    assert_eq!(rig.state(kept).await, State::Completed);
}

pub(crate) async fn an_age_without_end_keeps_for_ever(harness: impl Harness) {
    let for_ever = Keep { age: std::time::Duration::MAX, count: u64::MAX };
    let retention = Retention { completed: for_ever, events: for_ever, ..KEEP_ALL };
    let rig = Rig::open_with(harness, limits(retention)).await;
    let id = rig.finish(draft()).await;
    rig.pass(secs(3_000_000_000));
    rig.catch_up().await;
    assert_eq!((rig.state(id).await, rig.log().await.len()), (State::Completed, 3));
}

/// Adds events until the log is trimmed, because a store may keep more than it has to.
async fn until_trimmed<H: Harness>(rig: &Rig<H>, between: std::time::Duration) -> (Cursor, u64) {
    for _ in 0..200 {
        let batch = (0..100).map(|_| draft().job()).collect();
        rig.store.enqueue(batch).await.unwrap();
        rig.pass(between);
        rig.catch_up().await;
        let stats = rig.stats().await;
        if stats.oldest.seq > 0 {
            return (stats.oldest, rig.store.head().seq);
        }
    }
    panic!("the log is never trimmed");
}

async fn is_a_gap<H: Harness>(rig: &Rig<H>, oldest: Cursor) {
    let head = rig.store.head();
    for seq in [0, oldest.seq - 1] {
        let answer = rig.store.events(Cursor { seq, ..head }, 10).await.unwrap();
        assert_eq!(answer, Events::Gap { oldest, head }, "after {seq}");
    }
    let log = rig.log_after(oldest).await;
    assert_eq!(log.first().map(|event| event.seq), Some(oldest.seq + 1));
    assert_eq!(log.len() as u64, head.seq - oldest.seq);
}

pub(crate) async fn the_log_is_trimmed_by_count_and_shows_the_gap(harness: impl Harness) {
    let events = Keep { count: 50, ..LONG };
    let rig = Rig::open_with(harness, limits(Retention { events, ..KEEP_ALL })).await;
    let (oldest, head) = until_trimmed(&rig, secs(0)).await;
    assert!(head - oldest.seq >= 50, "{} events are left", head - oldest.seq);
    is_a_gap(&rig, oldest).await;
    let rig = rig.reopen().await;
    let oldest = rig.stats().await.oldest;
    assert!(oldest.seq > 0 && rig.store.head().seq == head);
    is_a_gap(&rig, oldest).await;
}

pub(crate) async fn the_log_is_trimmed_by_age(harness: impl Harness) {
    let events = Keep { age: secs(10), ..LONG };
    let rig = Rig::open_with(harness, limits(Retention { events, ..KEEP_ALL })).await;
    let (oldest, head) = until_trimmed(&rig, secs(1)).await;
    assert!(head - oldest.seq >= 900, "nine batches are younger than ten seconds");
    is_a_gap(&rig, oldest).await;
}

pub(crate) async fn a_job_outlives_its_events(harness: impl Harness) {
    let events = Keep { count: 10, ..LONG };
    let rig = Rig::open_with(harness, limits(Retention { events, ..KEEP_ALL })).await;
    let done = rig.finish(draft().key("k")).await;
    let lease = rig.start(draft()).await;
    rig.note(&lease, &["still here"]).await;
    until_trimmed(&rig, secs(0)).await;
    let before = (rig.job(done).await, rig.job(lease.job.id).await);
    let rig = rig.crash().await;
    assert_eq!(rig.job(done).await, before.0);
    assert_eq!(rig.job(lease.job.id).await.log, before.1.log);
    assert_eq!(rig.add_existing(draft().key("k")).await.id, done);
}
