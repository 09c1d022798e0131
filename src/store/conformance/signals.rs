//! Wake-ups: the store notifies a dispatcher of possible work, and the timer of an earlier tick.

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::rig::{TTL, failed};
use super::{Harness, Rig, draft, queue, secs};
use crate::job::{Interruption, Verdict};

/// Consumes the notifications sent so far.
fn forget(hint: &Notify) {
    while hint.notified().now_or_never().is_some() {}
}

/// Waits for a notification.
async fn heard(hint: &Notify, what: &str) {
    let waited = tokio::time::timeout(secs(20), hint.notified()).await;
    assert!(waited.is_ok(), "no hint after {what}");
}

pub(crate) async fn a_queue_is_woken_for_a_new_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let (a, b) = (rig.store.wake(&queue("a")), rig.store.wake(&queue("b")));
    rig.add(draft().queue("a")).await;
    heard(&a, "enqueue").await;
    assert!(b.notified().now_or_never().is_none(), "another queue was woken");
    rig.add(draft().queue("a")).await;
    heard(&rig.store.wake(&queue("a")), "a second enqueue").await;
}

pub(crate) async fn a_queue_is_woken_whenever_a_job_becomes_available(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let hint = rig.store.wake(&queue("default"));
    let id = rig.add(draft().after(secs(5))).await.id;
    forget(&hint);
    rig.pass(secs(5));
    rig.tick().await;
    heard(&hint, "its time came").await;

    let lease = rig.claim_one().await;
    forget(&hint);
    let why = Interruption::Stop;
    rig.settle(&lease, Verdict::Interrupted { why }).await.unwrap();
    heard(&hint, "an interruption").await;

    rig.claim_one().await;
    forget(&hint);
    rig.pass(TTL);
    rig.tick().await;
    heard(&hint, "a rescue").await;

    rig.cancel(id).await.unwrap();
    forget(&hint);
    rig.retry(id).await.unwrap();
    heard(&hint, "a retry").await;

    rig.pause("default").await;
    forget(&hint);
    rig.resume("default").await;
    heard(&hint, "a resume").await;
}

pub(crate) async fn a_waiter_is_woken_while_it_waits(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let hint = rig.store.wake(&queue("default"));
    let waiter = tokio::spawn(async move { hint.notified().await });
    rig.add(draft()).await;
    tokio::time::timeout(secs(20), waiter).await.expect("no hint").unwrap();
}

pub(crate) async fn the_timer_is_woken_for_an_earlier_end(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let hint = rig.store.wake_timer();
    rig.tick().await;
    rig.add(draft().after(secs(100))).await;
    heard(&hint, "the first timer").await;
    rig.tick().await;
    forget(&hint);

    rig.add(draft().after(secs(90))).await;
    heard(&hint, "an earlier job").await;
    rig.tick().await;
    forget(&hint);

    let lease = rig.start(draft()).await;
    heard(&hint, "a lease").await;
    rig.tick().await;
    forget(&hint);

    rig.settle(&lease, failed(secs(7))).await.unwrap();
    heard(&hint, "a retry that is near").await;
    rig.tick().await;
    rig.pass(secs(7));
    rig.tick().await;
    let lease = rig.claim_one().await;
    rig.tick().await;
    forget(&hint);
    rig.settle(&lease, Verdict::Snoozed { delay: secs(1) }).await.unwrap();
    heard(&hint, "a short snooze").await;
}

pub(crate) async fn the_timer_is_woken_for_a_shorter_lease(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.tick().await;
    let hint = rig.store.wake_timer();
    forget(&hint);
    rig.extend(&lease, secs(2)).await;
    heard(&hint, "a shorter lease").await;
}
