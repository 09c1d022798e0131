//! Which jobs a claim returns, and in which order.

use super::rig::TTL;
use super::{Harness, Rig, draft, kinds, queue, secs};
use crate::job::{Change, Fact, JobId, State};
use crate::store::{Claim, Lease};

fn ids(leases: &[Lease]) -> Vec<JobId> {
    leases.iter().map(|lease| lease.job.id).collect()
}

pub(crate) async fn a_lease_holds_the_job_as_it_was_claimed(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let id = rig.add(draft()).await.id;
    rig.pass(secs(5));
    let lease = rig.claim_one().await;
    assert_eq!((lease.job.id, lease.expires), (id, rig.now().after(TTL)));
    assert_eq!(*lease.job, rig.job(id).await);
    assert_eq!((lease.job.status.state, lease.job.status.attempt), (State::Running, 1));
    let attempts = lease.job.attempts();
    assert_eq!((attempts.len(), attempts[0].worker.as_str()), (1, "w1"));
}

pub(crate) async fn running_jobs_are_read_together_and_others_left_out(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let done = rig.finish(draft()).await;
    let [first, second] = [rig.start(draft()).await, rig.start(draft()).await];
    rig.note(&second, &["half done"]).await;
    let waiting = rig.add(draft()).await.id;
    let (first, second) = (first.job.id, second.job.id);
    let asked = vec![second, JobId::from_u128(1), done, first, waiting];
    let mut running = rig.store.running(asked).await.unwrap();
    running.sort_by_key(|job| job.id);
    assert_eq!(running, [rig.job(first).await, rig.job(second).await]);
    assert_eq!(rig.store.running(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn the_token_is_the_number_of_the_started_event(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for _ in 0..3 {
        rig.add(draft()).await;
    }
    let leases = rig.claim(3).await;
    let log = rig.log().await;
    for lease in leases {
        let event = log.iter().find(|event| event.seq == lease.token).unwrap();
        let Fact::Job { id, state, attempt, change: Change::Started { worker }, .. } = &event.fact
        else {
            panic!("not a start: {event:?}");
        };
        assert_eq!((*id, *state, *attempt), (lease.job.id, State::Running, 1));
        assert_eq!((worker.name().as_str(), lease.job.seq), ("w1", lease.token));
    }
}

pub(crate) async fn the_highest_priority_goes_first_then_the_earliest_then_the_oldest(
    harness: impl Harness,
) {
    let rig = Rig::open(harness).await;
    let low = rig.add(draft().priority(i16::MIN)).await.id;
    let a = rig.add(draft()).await.id;
    let b = rig.add(draft()).await.id;
    let late = rig.add(draft().after(secs(2))).await.id;
    let early = rig.add(draft().after(secs(1))).await.id;
    let high = rig.add(draft().priority(i16::MAX).after(secs(3))).await.id;
    rig.pass(secs(10));
    let newest = rig.add(draft()).await.id;
    rig.tick().await;
    assert_eq!(ids(&rig.claim(3).await), [high, a, b]);
    assert_eq!(ids(&rig.claim(9).await), [early, late, newest, low]);
}

pub(crate) async fn a_claim_never_gives_more_than_asked_for(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for _ in 0..5 {
        rig.add(draft()).await;
    }
    assert_eq!(rig.claim(0).await.len(), 0);
    assert_eq!(rig.claim(2).await.len(), 2);
    assert_eq!(rig.claim(99).await.len(), 3);
    assert_eq!(rig.claim(99).await.len(), 0);
}

pub(crate) async fn a_claim_takes_from_its_queue_only(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let a = rig.add(draft().queue("a")).await.id;
    let b = rig.add(draft().queue("b").priority(9)).await.id;
    assert_eq!(ids(&rig.claim_from("c", 9).await), []);
    assert_eq!(ids(&rig.claim_from("a", 9).await), [a]);
    assert_eq!(ids(&rig.claim_from("b", 9).await), [b]);
}

pub(crate) async fn a_claim_takes_only_the_kinds_of_its_worker(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let [k1, k2] = ["k1", "k2"].map(|kind| draft().kind(kind));
    let (first, second) = (rig.add(k1).await.id, rig.add(k2.priority(9)).await.id);
    let ask = async |names: &[&str]| {
        let kinds = kinds(names);
        ids(&rig.store.claim(Claim { kinds, ..rig.claim_request(9) }).await.unwrap().leases)
    };
    assert_eq!((ask(&[]).await, ask(&["echo", "sleep"]).await), (vec![], vec![]));
    assert_eq!(ask(&["k1", "echo"]).await, [first]);
    assert_eq!(ask(&["k1"]).await, []);
    assert_eq!(rig.store.ahead(second, 9).await.unwrap(), Some(0));
    assert_eq!(ask(&["k2", "k1"]).await, [second]);
}

pub(crate) async fn the_order_holds_over_kinds_and_queues(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut batch = Vec::new();
    for n in 0..120 {
        let (kind, name) = (["k1", "k2", "echo"][n % 3], ["a", "b", "c", "d"][n % 4]);
        let after = secs((n * 7 % 11) as u64);
        batch.push(draft().kind(kind).queue(name).priority((n * 5 % 3) as i16).after(after).job());
    }
    let mut expected: Vec<_> = batch
        .iter()
        .filter(|job| job.labels.kind.as_str() != "echo" && job.labels.queue.as_str() != "d")
        .map(|job| (std::cmp::Reverse(job.spec.priority), job.run_at(rig.now()), job.id))
        .collect();
    expected.sort();
    rig.store.enqueue(batch).await.unwrap();
    rig.pass(secs(20));
    rig.catch_up().await;
    let queues = ["c", "a", "b"].map(queue).to_vec();
    let request = Claim { queues, kinds: kinds(&["k1", "k2"]), ..rig.claim_request(13) };
    let mut claimed = Vec::new();
    for _ in 0..5 {
        claimed.extend(ids(&rig.store.claim(request.clone()).await.unwrap().leases));
    }
    assert_eq!(claimed, expected.iter().map(|(_, _, id)| *id).collect::<Vec<_>>());
}

pub(crate) async fn unknown_and_repeated_queues_are_harmless(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let [a, b] = [rig.add(draft()).await.id, rig.add(draft()).await.id];
    let queues = ["none", "default", "default", "other"].map(queue).to_vec();
    let request = Claim { queues, ..rig.claim_request(9) };
    let claimed = rig.store.claim(request).await.unwrap();
    assert_eq!((ids(&claimed.leases), claimed.retry_in), (vec![a, b], None));
    let request = Claim { queues: Vec::new(), ..rig.claim_request(9) };
    assert_eq!(ids(&rig.store.claim(request).await.unwrap().leases), []);
    assert_eq!(rig.stats().await.queues.len(), 1);
}

pub(crate) async fn only_available_jobs_are_claimed(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let retryable = rig.start(draft()).await;
    rig.settle(&retryable, super::rig::failed(secs(5))).await.unwrap();
    rig.finish(draft()).await;
    rig.start(draft()).await;
    rig.add(draft().after(secs(5))).await;
    let cancelled = rig.add(draft()).await;
    rig.cancel(cancelled.id).await.unwrap();
    assert_eq!(ids(&rig.claim(9).await), []);
    rig.pass(secs(6));
    assert_eq!(ids(&rig.claim(9).await), []); // due, but only a tick makes them available
    rig.tick().await;
    assert_eq!(rig.claim(9).await.len(), 2);
}

pub(crate) async fn a_paused_queue_gives_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add(draft().queue("a")).await;
    rig.add(draft().queue("b")).await;
    rig.pause("a").await;
    rig.add(draft().queue("a")).await;
    assert_eq!(rig.claim_from("a", 9).await.len(), 0);
    assert_eq!(rig.claim_from("b", 9).await.len(), 1);
    rig.resume("a").await;
    assert_eq!(rig.claim_from("a", 9).await.len(), 2);
}

pub(crate) async fn every_attempt_is_counted_and_has_its_own_token(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let first = rig.start(draft()).await;
    rig.settle(&first, super::rig::failed(secs(0))).await.unwrap();
    rig.tick().await;
    let second = rig.claim_one().await;
    assert_eq!((second.job.id, second.job.status.attempt), (first.job.id, 2));
    assert!(second.token > first.token);
    assert_eq!(second.job.attempts().len(), 2);
}

pub(crate) async fn concurrent_claims_share_the_jobs(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let batch = (0..200).map(|_| draft().job()).collect();
    rig.store.enqueue(batch).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = rig.store.clone();
        let request = Claim { queues: vec![queue("default")], ..rig.claim_request(7) };
        tasks.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leases = store.claim(request.clone()).await.unwrap().leases;
                if leases.is_empty() {
                    return mine;
                }
                mine.extend(ids(&leases));
            }
        });
    }
    let mut claimed: Vec<JobId> = tasks.join_all().await.concat();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 200);
    assert_eq!(rig.stats().await.states[&State::Running], 200);
}
