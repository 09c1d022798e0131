//! Only the holder of the current lease may end an attempt, and only once.

use super::rig::{TTL, completed, failed};
use super::{Harness, Rig, draft, secs};
use crate::job::{JobId, State};
use crate::store::{LeaseRef, SettleError, Settlement};

pub(crate) async fn a_lease_settles_once(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.complete(&lease).await;
    let (before, head) = (rig.job(lease.job.id).await, rig.store.head());
    assert_eq!(rig.settle(&lease, failed(secs(1))).await, Err(SettleError::Stale));
    assert_eq!((rig.job(lease.job.id).await, rig.store.head()), (before, head));
}

pub(crate) async fn a_stale_lease_is_refused(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let old = rig.start(draft()).await;
    rig.pass(TTL);
    assert_eq!(rig.tick().await.rescued, 1);
    assert_eq!(rig.settle(&old, completed()).await, Err(SettleError::Stale)); // no lease is current
    let new = rig.claim_one().await;
    assert_eq!(rig.settle(&old, completed()).await, Err(SettleError::Stale)); // another lease is
    assert_eq!(rig.state(new.job.id).await, State::Running);
    rig.complete(&new).await;
}

pub(crate) async fn a_lease_of_nothing_is_refused(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let waiting = rig.add(draft()).await;
    let lease = rig.start(draft().queue("q").priority(1)).await;
    let cases = [
        LeaseRef { job: waiting.id, token: 0 },
        LeaseRef { job: waiting.id, token: waiting.seq },
        LeaseRef { job: lease.job.id, token: lease.token + 1 },
        LeaseRef { job: waiting.id, token: lease.token },
        LeaseRef { job: JobId::generate(), token: lease.token },
    ];
    for lease in cases {
        let settlement = Settlement { lease, verdict: completed() };
        let answers = rig.store.settle(vec![settlement]).await.unwrap();
        assert_eq!(answers, [Err(SettleError::Stale)], "{lease:?}");
    }
}

pub(crate) async fn a_lease_of_a_deleted_job_is_refused(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.complete(&lease).await;
    rig.delete(lease.job.id).await.unwrap();
    assert_eq!(rig.settle(&lease, completed()).await, Err(SettleError::Stale));
    assert_eq!(rig.find(lease.job.id).await, None);
}

pub(crate) async fn a_lease_that_ran_out_settles_until_it_is_rescued(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.pass(TTL * 10);
    assert_eq!(rig.complete(&lease).await.state, State::Completed);
    assert_eq!(rig.tick().await.rescued, 0);
}

pub(crate) async fn one_refusal_does_not_touch_the_others(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for _ in 0..3 {
        rig.add(draft()).await;
    }
    let leases = rig.claim(3).await;
    let key = |n: usize| leases[n].key();
    let settlements = [key(2), LeaseRef { token: 1, ..key(0) }, key(2), key(0), key(1)];
    let settlements = settlements.map(|lease| Settlement { lease, verdict: completed() }).into();
    let answers = rig.store.settle(settlements).await.unwrap();
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, false, true, true]);
    assert_eq!(rig.stats().await.states[&State::Completed], 3);
    let log = rig.log().await;
    let ended = [&log[6], &log[7], &log[8]].map(|event| match &event.fact {
        crate::job::Fact::Job { id, .. } => *id,
        crate::job::Fact::Queue { .. }
        | crate::job::Fact::Schedule { .. }
        | crate::job::Fact::Access { .. }
        | crate::job::Fact::Kind { .. }
        | crate::job::Fact::Worker { .. } => panic!(),
    });
    assert_eq!(ended, [leases[2].job.id, leases[0].job.id, leases[1].job.id]);
}

pub(crate) async fn nothing_to_settle_changes_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    assert_eq!(rig.store.settle(Vec::new()).await.unwrap(), []);
    assert_eq!(rig.store.head().seq, 0);
}

pub(crate) async fn only_one_of_many_settlers_wins(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = rig.store.clone();
        let settlement = Settlement { lease: lease.key(), verdict: completed() };
        tasks.spawn(async move { store.settle(vec![settlement]).await.unwrap().remove(0) });
    }
    let won = tasks.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((won, rig.story(lease.job.id).await.len()), (1, 3));
}

pub(crate) async fn a_repeated_settlement_can_be_answered_from_the_record(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let first = rig.start(draft()).await;
    let status = rig.settle(&first, failed(secs(0))).await.unwrap();
    rig.tick().await;
    let lost = rig.claim_one().await;
    rig.pass(TTL);
    rig.tick().await;
    let last = rig.claim_one().await;
    rig.complete(&last).await;
    let rig = rig.reopen().await;
    for lease in [&first, &lost, &last] {
        assert_eq!(rig.settle(lease, completed()).await, Err(SettleError::Stale));
    }
    let job = rig.job(first.job.id).await;
    let answers = [&first, &lost, &last].map(|lease| job.settled_by(lease.token));
    assert_eq!(answers, [Some(status.state), None, Some(State::Completed)]);
}
