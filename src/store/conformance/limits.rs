//! The limits of queues hold over all workers: how many attempts run at once, and how many start within a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::rig::{TTL, completed, failed};
use super::{Harness, Rig, draft, per_minute, queue, secs};
use crate::job::{Concurrency, RateLimit, RateRule, State};
use crate::store::{Claim, Claimed, ConfiguredLimits, Lease, StoreLimits};

/// The most by which a start counts too long for a limit per minute.
const GRAIN: Duration = Duration::from_millis(60);

async fn add_many<H: Harness>(rig: &Rig<H>, name: &str, count: usize) {
    let batch = (0..count).map(|_| draft().queue(name).job()).collect();
    rig.store.enqueue(batch).await.unwrap();
}

async fn ask<H: Harness>(rig: &Rig<H>, names: &[&str], max: usize) -> Claimed {
    let queues = names.iter().map(|name| queue(name)).collect();
    rig.store.claim(Claim { queues, ..rig.claim_request(max) }).await.unwrap()
}

/// Lets 16 workers claim from the default queue at once, each as often as it gets something.
async fn claim_together<H: Harness>(rig: &Rig<H>, max: usize) -> Vec<Lease> {
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let (store, request) = (rig.store.clone(), rig.claim_request(max));
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leases = store.claim(request.clone()).await.unwrap().leases;
                if leases.is_empty() {
                    return mine;
                }
                mine.extend(leases);
            }
        });
    }
    workers.join_all().await.concat()
}

pub(crate) async fn many_claimers_never_run_more_than_the_concurrency(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    add_many(&rig, "default", 100).await;
    rig.set_concurrency("default", Some(7)).await;
    let mut leases = claim_together(&rig, 3).await;
    assert_eq!((leases.len(), rig.stats().await.states[&State::Running]), (7, 7));
    for lease in leases.drain(..4) {
        rig.complete(&lease).await;
    }
    leases.extend(claim_together(&rig, 3).await);
    assert_eq!((leases.len(), rig.stats().await.states[&State::Running]), (7, 7));
    rig.settle(&leases[0], failed(secs(99))).await.unwrap();
    rig.set_concurrency("default", None).await;
    assert_eq!(claim_together(&rig, 50).await.len(), 89);
}

pub(crate) async fn many_claimers_never_start_more_than_the_rate(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    add_many(&rig, "default", 100).await;
    rig.set_rate_limit("default", Some(per_minute(9))).await;
    for lease in claim_together(&rig, 2).await {
        rig.complete(&lease).await;
    }
    assert_eq!(rig.stats().await.states[&State::Completed], 9);
    rig.pass(secs(59));
    assert_eq!(claim_together(&rig, 2).await.len(), 0);
    rig.pass(secs(1) + GRAIN);
    assert_eq!(claim_together(&rig, 2).await.len(), 9);
}

pub(crate) async fn a_limit_leaves_the_rest_of_a_claim_to_other_queues(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for name in ["slow", "rare", "free"] {
        add_many(&rig, name, 10).await;
    }
    rig.set_concurrency("slow", Some(1)).await;
    rig.set_rate_limit("rare", Some(per_minute(2))).await;
    let claimed = ask(&rig, &["slow", "rare", "free"], 20).await;
    let of = |name: &str| {
        let of_queue = claimed.leases.iter().filter(|one| one.job.labels.queue.as_str() == name);
        of_queue.count()
    };
    assert_eq!((of("slow"), of("rare"), of("free")), (1, 2, 10));
}

pub(crate) async fn a_claim_that_a_rate_holds_back_says_when_to_ask_again(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_rate_limit("a", Some(per_minute(2))).await;
    add_many(&rig, "a", 2).await;
    assert_eq!(ask(&rig, &["a"], 9).await.retry_in, None, "it got all that there was");
    rig.pass(secs(20));
    add_many(&rig, "a", 1).await;
    let held = ask(&rig, &["a", "b"], 9).await;
    let wait = held.retry_in.expect("the rate holds a job back");
    assert!(held.leases.is_empty() && wait >= secs(40) && wait <= secs(40) + GRAIN, "{wait:?}");
    assert_eq!(ask(&rig, &["b"], 9).await.retry_in, None);
    assert_eq!(ask(&rig, &["a"], 0).await.retry_in, None);
    assert_eq!(rig.stats().await.queues[&queue("a")].rate_wait, Some(wait));

    add_many(&rig, "b", 3).await;
    let full = ask(&rig, &["a", "b"], 2).await;
    assert_eq!((full.leases.len(), full.retry_in), (2, None), "it can ask again at once");
    let rest = ask(&rig, &["a", "b"], 2).await;
    assert_eq!((rest.leases.len(), rest.retry_in), (1, Some(wait)));

    // The end of an attempt is what a full queue waits for, whatever its rate says.
    rig.set_concurrency("a", Some(2)).await;
    assert_eq!(ask(&rig, &["a"], 9).await.retry_in, None);
    rig.set_concurrency("a", None).await;
    rig.pass(wait);
    assert_eq!(ask(&rig, &["a"], 9).await.leases.len(), 1);
}

pub(crate) async fn a_claim_of_other_kinds_is_not_held_back(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_rate_limit("default", Some(per_minute(1))).await;
    rig.add(draft().kind("k1")).await;
    rig.add(draft().kind("k2")).await;
    let ask = async |kind| {
        let kinds = super::kinds(&[kind]);
        rig.store.claim(Claim { kinds, ..rig.claim_request(9) }).await.unwrap()
    };
    assert_eq!(ask("k1").await.leases.len(), 1);
    assert_eq!(ask("k1").await.retry_in, None);
    assert!(ask("k2").await.retry_in.is_some());
}

pub(crate) async fn configured_limits_hold_until_others_are_set(harness: impl Harness) {
    let concurrency = Some(Concurrency::clamped(3));
    let rate_limit = Some(RateLimit { starts: 4, within: secs(60) });
    let limits = StoreLimits {
        queues: [
            (queue("slow"), ConfiguredLimits { concurrency, ..ConfiguredLimits::default() }),
            (queue("rare"), ConfiguredLimits { rate_limit, ..ConfiguredLimits::default() }),
        ]
        .into(),
        ..StoreLimits::default()
    };
    let rig = Rig::open_with(harness, limits).await;
    for name in ["slow", "rare"] {
        add_many(&rig, name, 20).await;
    }
    assert_eq!(rig.claim_from("slow", 9).await.len(), 3);
    assert_eq!(rig.claim_from("rare", 9).await.len(), 4);
    assert_eq!(rig.stats().await.queues[&queue("slow")].concurrency, concurrency);
    rig.set_concurrency("slow", Some(5)).await;
    rig.set_rate_limit("rare", Some(per_minute(5))).await;
    assert_eq!(rig.claim_from("slow", 9).await.len(), 2);
    assert_eq!(rig.claim_from("rare", 9).await.len(), 1, "earlier starts count");
    rig.set_concurrency("slow", None).await;
    rig.set_rate_limit("rare", None).await;
    assert_eq!(rig.claim_from("slow", 9).await.len(), 0);
    assert_eq!(rig.claim_from("rare", 9).await.len(), 0);
    rig.set_rate_limit("rare", Some(RateRule::Unlimited)).await;
    assert_eq!(rig.claim_from("rare", 9).await.len(), 9);
}

pub(crate) async fn a_limit_that_is_lowered_ends_no_attempt(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    add_many(&rig, "default", 9).await;
    rig.set_concurrency("default", Some(4)).await;
    let leases = rig.claim(9).await;
    rig.set_concurrency("default", Some(2)).await;
    assert_eq!(rig.stats().await.states[&State::Running], 4);
    for (lease, next) in leases.iter().zip([0, 0, 1, 1]) {
        rig.complete(lease).await;
        assert_eq!(rig.claim(9).await.len(), next);
    }
}

pub(crate) async fn a_full_queue_is_woken_when_an_attempt_ends(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    add_many(&rig, "default", 9).await;
    rig.set_concurrency("default", Some(2)).await;
    let wake = rig.store.wake(&queue("default"));
    let leases = rig.claim(9).await;
    forget(&wake);
    rig.complete(&leases[0]).await;
    heard(&wake, "the end of an attempt").await;
    assert_eq!(rig.claim(9).await.len(), 1);
    forget(&wake);
    rig.pass(TTL);
    rig.tick().await;
    heard(&wake, "a rescue").await;
    assert_eq!(rig.claim(9).await.len(), 2);
    forget(&wake);
    rig.set_concurrency("default", Some(3)).await;
    heard(&wake, "a higher concurrency").await;
    rig.set_rate_limit("default", Some(per_minute(50))).await;
    heard(&wake, "a rate").await;
}

pub(crate) async fn a_rate_holds_over_restarts(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    add_many(&rig, "default", 20).await;
    rig.set_rate_limit("default", Some(per_minute(5))).await;
    for lease in rig.claim(3).await {
        rig.complete(&lease).await;
    }
    rig.pass(secs(30));
    let rig = rig.reopen().await;
    let leases = rig.claim(9).await;
    assert_eq!(leases.len(), 2);
    for lease in leases {
        rig.complete(&lease).await;
    }
    let rig = rig.crash().await;
    assert_eq!(rig.claim(9).await.len(), 0);
    rig.pass(secs(30) + GRAIN);
    assert_eq!(rig.claim(9).await.len(), 3);
}

pub(crate) async fn a_rate_does_not_follow_a_clock_that_is_set(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    add_many(&rig, "default", 20).await;
    rig.set_rate_limit("default", Some(per_minute(2))).await;
    assert_eq!(rig.claim(9).await.len(), 2);
    rig.clock().set(rig.now().after(secs(100_000)));
    assert_eq!(rig.claim(9).await.len(), 0);
    rig.clock().set(rig.now().before(secs(300_000)));
    rig.pass(secs(60) + GRAIN);
    assert_eq!(rig.claim(9).await.len(), 2);
}

pub(crate) async fn a_job_that_is_settled_or_given_back_frees_its_slot(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_concurrency("default", Some(1)).await;
    add_many(&rig, "default", 3).await;
    let why = crate::job::Interruption::Returned;
    let snoozed = crate::job::Verdict::Snoozed { delay: secs(100) };
    let back = crate::job::Verdict::Interrupted { why };
    for verdict in [completed(), failed(secs(100)), snoozed, back] {
        rig.tick().await;
        let lease = rig.claim_one().await;
        assert_eq!(rig.claim(9).await.len(), 0);
        rig.settle(&lease, verdict).await.unwrap();
        rig.add(draft()).await;
    }
    assert_eq!(rig.claim(9).await.len(), 1);
    let rig = rig.crash().await;
    assert_eq!(rig.claim(9).await.len(), 1, "the crash has ended the attempt");
}

/// Consumes the notifications sent so far.
fn forget(wake: &Arc<Notify>) {
    while wake.notified().now_or_never().is_some() {}
}

async fn heard(wake: &Arc<Notify>, what: &str) {
    let waited = tokio::time::timeout(secs(20), wake.notified()).await;
    assert!(waited.is_ok(), "no wake-up after {what}");
}
