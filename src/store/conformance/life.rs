//! Opening and closing a store, and many concurrent callers.

use std::collections::BTreeSet;

use super::rig::{Outage, completed};
use super::{Harness, Rig, draft, queue, secs};
use crate::access::AccessCommand;
use crate::access::tests::user;
use crate::job::{EventType, JobQuery, QueueChange, State};
use crate::store::{Control, Enqueued, Settlement, StoreError};

pub(crate) async fn a_closed_store_answers_nothing_but_closed(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.store.health().unwrap();
    rig.store.close().await.unwrap();
    let store = &rig.store;
    let settlement = Settlement { lease: lease.key(), verdict: completed() };
    let answers = [
        store.enqueue(vec![draft().job()]).await.map(drop).map_err(Outage::outage),
        store.claim(rig.claim_request(1)).await.map(drop),
        store.extend(vec![lease.key()], secs(1)).await.map(drop),
        store.settle(vec![settlement]).await.map(drop),
        store.annotate(Vec::new()).await,
        store
            .control(Control::SetQueue(queue("q"), QueueChange::Paused), None)
            .await
            .map(drop)
            .map_err(Outage::outage),
        store
            .control(Control::Cancel(vec![lease.job.id]), None)
            .await
            .map(drop)
            .map_err(Outage::outage),
        store
            .access(AccessCommand::CloseSessionsOf(user("anna")), None)
            .await
            .map(drop)
            .map_err(Outage::outage),
        store.tick().await.map(drop),
        store.get(lease.job.id).await.map(drop),
        store.ahead(lease.job.id, 1).await.map(drop),
        store.list(JobQuery::default()).await.map(drop),
        store.stats().await.map(drop),
        store.events(rig.origin(), 1).await.map(drop),
        store.health(),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Err(StoreError::Closed)), "verb {n}: {answer:?}");
    }
}

pub(crate) async fn closing_twice_is_closing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let id = rig.add(draft()).await.id;
    rig.store.close().await.unwrap();
    rig.store.close().await.unwrap();
    let rig = rig.reopen().await; // closes a third time
    assert_eq!(rig.state(id).await, State::Available);
}

pub(crate) async fn a_follower_reads_to_the_end_when_the_store_closes(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut follower = rig.store.follow(100);
    for _ in 0..5 {
        rig.add(draft()).await;
    }
    rig.claim(1).await; // answered, but perhaps not durable until the store closes
    rig.store.close().await.unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = follower.recv().await {
        seen.extend(batch.iter().map(|event| event.seq));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    assert!(rig.store.follow(1).recv().await.is_none(), "a closed store has nothing to follow");
}

pub(crate) async fn many_callers_lose_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = rig.store.clone();
        let request = rig.claim_request(3);
        tasks.spawn(async move {
            let mut new = Vec::new();
            for m in 0..10 {
                // Two tasks share each key, and one of them creates the job.
                let keyed = draft().key(&format!("{} {m}", n / 2)).job();
                let batch = vec![keyed, draft().job()];
                for answer in store.enqueue(batch).await.unwrap() {
                    match answer {
                        Enqueued::New(job) => new.push(job.id),
                        Enqueued::Existing(_) => {}
                    }
                }
                let leases = store.claim(request.clone()).await.unwrap().leases;
                let settle = |key| Settlement { lease: key, verdict: completed() };
                let settlements = leases.iter().map(|lease| settle(lease.key())).collect();
                for answer in store.settle(settlements).await.unwrap() {
                    answer.unwrap();
                }
            }
            new
        });
    }
    let new = tasks.join_all().await.concat();
    assert_eq!(new.len(), 40 * 10 + 20 * 10);
    while let leases @ [_, ..] = &rig.claim(50).await[..] {
        for lease in leases {
            rig.complete(lease).await;
        }
    }
    let rig = rig.crash().await;
    let stored: BTreeSet<_> = rig.jobs().await.iter().map(|job| job.id).collect();
    assert_eq!(stored, new.into_iter().collect());
    assert_eq!(rig.stats().await.states[&State::Completed], 600);
    let types = rig.types().await;
    assert_eq!(types.len(), 1_800);
    for kind in [EventType::JobEnqueued, EventType::JobStarted, EventType::JobCompleted] {
        assert_eq!(types.iter().filter(|have| **have == kind).count(), 600);
    }
}
