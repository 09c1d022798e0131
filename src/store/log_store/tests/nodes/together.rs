//! What holds between nodes that work at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::memory_log::{Fault, MemoryLog};
use super::{Nodes, TINY};
use crate::access::Role;
use crate::access::tests::{add_user, user};
use crate::job::{
    Concurrency, Cursor, Event, Fact, JobId, JobQuery, Json, QueueChange, State, Verdict,
};
use crate::store::conformance::{clock, draft, kinds, queue};
use crate::store::log_store::Tuning;
use crate::store::log_store::commit::shared_group::MAX_CONTENDED_CLAIMS;
use crate::store::{
    Claim, Claimed, Control, Events, Extension, Lease, SettleError, Settlement, Store, StoreError,
    WorkerPlace,
};

/// The length of the leases in these tests.
const TTL: Duration = Duration::from_secs(30);
/// How long a node may be silent in these tests.
const SILENCE: Duration = Duration::from_millis(500);

pub(super) fn nodes() -> Nodes<MemoryLog> {
    Nodes::new(clock(), Tuning { node_silence: SILENCE, ..TINY }, 0)
}

fn claim(place: WorkerPlace) -> Claim {
    Claim {
        queues: vec![queue("default")],
        kinds: kinds(&["echo"]),
        max: 10,
        worker: crate::job::WorkerName::parse("w").unwrap(),
        place,
        ttl: TTL,
    }
}

pub(super) async fn add(store: &Arc<dyn Store>) -> JobId {
    store.enqueue(vec![draft().job()]).await.unwrap()[0].job().id
}

async fn start(store: &Arc<dyn Store>, place: WorkerPlace) -> Lease {
    let claimed = store.claim(claim(place)).await.unwrap();
    claimed.leases.into_iter().next().expect("a job was available")
}

async fn complete(store: &Arc<dyn Store>, lease: &Lease) -> Result<(), SettleError> {
    let verdict = Verdict::Completed { result: Json::parse("1").unwrap() };
    let settlement = Settlement { lease: lease.key(), verdict };
    store.settle(vec![settlement]).await.unwrap().remove(0).map(drop)
}

async fn state(store: &Arc<dyn Store>, id: JobId) -> Option<State> {
    store.get(id).await.unwrap().0.map(|job| job.status.state)
}

/// Waits until something is a fact.
pub(super) async fn eventually<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.expect("it never happens");
}

/// Waits until a job is in a state on this node.
async fn becomes(store: &Arc<dyn Store>, id: JobId, expected: Option<State>) {
    eventually(|| async { state(store, id).await == expected }).await;
}

/// Lets time pass on a node until it gives a job back whose lease has expired.
async fn expires(nodes: &Nodes<MemoryLog>, store: &Arc<dyn Store>, id: JobId) {
    eventually(|| async {
        nodes.clock.advance(TTL + TTL);
        store.tick().await.unwrap();
        state(store, id).await == Some(State::Available)
    })
    .await;
}

async fn log(store: &Arc<dyn Store>) -> Vec<Event> {
    let start = Cursor { seq: 0, ..store.head() };
    match store.events(start, usize::MAX).await.unwrap() {
        Events::Some(events) => events,
        Events::Gap { .. } => panic!("the log was trimmed"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_one_node_has_accepted_runs_on_another() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let woken = two.wake(&queue("default"));
    let id = add(&one).await;
    woken.notified().await;
    let lease = start(&two, WorkerPlace::InProcess).await;
    assert_eq!((lease.job.id, state(&one, id).await), (id, Some(State::Running)));
    assert!(one.claim(claim(WorkerPlace::InProcess)).await.unwrap().leases.is_empty());
    complete(&two, &lease).await.unwrap();
    assert_eq!(state(&one, id).await, Some(State::Completed));
    assert_eq!(log(&one).await, log(&two).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_of_the_queues_that_another_one_changes() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let (changed, own) = (two.queue_changes(), one.queue_changes());
    let first = add(&one).await;
    changed.notified().await;
    add(&one).await;
    two.get(first).await.unwrap(); // it has read both jobs
    assert!(changed.notified().now_or_never().is_none(), "the queue had a job");
    let limit = QueueChange::ConcurrencySet { concurrency: Some(Concurrency::clamped(3)) };
    for control in [
        Control::SetQueue(queue("default"), limit),
        Control::Move { jobs: vec![first], queue: queue("other") },
    ] {
        one.control(control, None).await.unwrap();
        changed.notified().await;
    }
    assert!(own.notified().now_or_never().is_none(), "whoever changes it knows it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_claim_is_cut_short_while_nodes_compete() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let competing = tokio::spawn(async move {
        loop {
            add(&two).await;
        }
    });
    let large = Claim { max: 1_000, ..claim(WorkerPlace::InProcess) };
    let cut_short = async {
        loop {
            one.enqueue((0..large.max).map(|_| draft().job()).collect()).await.unwrap();
            let Claimed { leases, retry_in } = one.claim(large.clone()).await.unwrap();
            if leases.len() < large.max {
                return (leases.len(), retry_in);
            }
        }
    };
    let (leases, retry_in) = timeout(TTL, cut_short).await.expect("no claim was cut short");
    assert!((1..=MAX_CONTENDED_CLAIMS).contains(&leases), "{leases}");
    assert_eq!(retry_in, Some(Duration::ZERO));
    competing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_the_log_has_what_another_node_has_answered() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    add(&two).await;
    for _ in 0..100 {
        let id = add(&one).await;
        let newest = log(&two).await.pop().unwrap();
        assert!(matches!(newest.fact, Fact::Job { id: newest, .. } if newest == id), "{newest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempts_of_a_silent_node_are_given_back() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    let id = add(&one).await;
    let lost = start(&one, WorkerPlace::InProcess).await;
    handle.is_silent.store(true, Ordering::Release);
    becomes(&two, id, Some(State::Available)).await;
    let lease = start(&two, WorkerPlace::InProcess).await;
    assert_eq!(lease.job.id, id);
    assert_eq!(complete(&one, &lost).await, Err(SettleError::Stale), "it belongs to another node");
    complete(&two, &lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_were_silent_because_the_log_was_away_keep_their_attempts() {
    const LONGER_THAN_A_LOOK: Duration = Duration::from_secs(1);
    let tuning = Tuning { node_silence: LONGER_THAN_A_LOOK, ..TINY };
    let nodes = Nodes::<MemoryLog>::new(clock(), tuning, 0);
    let all: Vec<_> = (1..=3).map(|number| nodes.node_with_log(number)).collect();
    let mut leases = Vec::new();
    for (node, _) in &all {
        add(node).await;
        leases.push(start(node, WorkerPlace::InProcess).await);
    }
    for (node, handle) in &all {
        handle.is_away.store(true, Ordering::Release);
        handle.fail_next(Fault::Before);
        assert!(node.enqueue(vec![draft().job()]).await.is_err());
    }
    let silent = || nodes.log.silences();
    eventually(|| async { silent().iter().all(|silent| *silent > LONGER_THAN_A_LOOK) }).await;
    for (_, handle) in &all {
        handle.is_away.store(false, Ordering::Release);
    }
    eventually(|| async { silent().iter().all(|silent| *silent < LONGER_THAN_A_LOOK) }).await;
    for ((node, _), lease) in all.iter().zip(&leases) {
        complete(node, lease).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_gives_back_its_own_attempts_at_once() {
    let nodes = Nodes::<MemoryLog>::new(clock(), TINY, 0); // with the silence of a real node, which would fail this test by its time
    let (one, two) = (nodes.node(1), nodes.node(2));
    let id = add(&two).await;
    let lost = start(&one, WorkerPlace::InProcess).await;
    drop(one); // as a crash
    let one = nodes.node(1);
    assert_eq!(state(&two, id).await, Some(State::Available));
    assert_eq!(complete(&two, &lost).await, Err(SettleError::Stale));
    assert_eq!(start(&one, WorkerPlace::InProcess).await.job.id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leases_of_remote_workers_outlive_their_node() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let id = add(&one).await;
    let lease = start(&one, WorkerPlace::Remote).await;
    one.close().await.unwrap();
    drop(one);
    let extended = two.extend(vec![lease.key()], TTL).await.unwrap();
    assert_eq!(extended, [Extension::Kept]);
    complete(&two, &lease).await.unwrap();
    assert_eq!(state(&two, id).await, Some(State::Completed));
}

/// Nobody extends the lease, so the node that has taken it over lets it expire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_taken_over_expires() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let id = add(&one).await;
    start(&one, WorkerPlace::Remote).await;
    drop(one); // it falls silent
    expires(&nodes, &two, id).await;
}

/// The node does not know at first that it has the lease, because the answer of its append was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_taken_over_without_an_answer_expires_too() {
    let nodes = nodes();
    let (one, (two, handle)) = (nodes.node(1), nodes.node_with_log(2));
    let id = add(&one).await;
    let lease = start(&one, WorkerPlace::Remote).await;
    assert_eq!(state(&two, id).await, Some(State::Running)); // node 2 has read on, so it appends at once
    handle.fail_next(Fault::After);
    let refused = two.extend(vec![lease.key()], TTL).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    eventually(|| async { two.health().is_ok() }).await;
    one.close().await.unwrap();
    drop(one);
    expires(&nodes, &two, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_changes_to_another_node_keeps_its_lease() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let id = add(&one).await;
    let lease = start(&one, WorkerPlace::Remote).await;
    nodes.clock.advance(TTL / 2);
    assert_eq!(two.extend(vec![lease.key()], TTL).await.unwrap(), [Extension::Kept]);
    nodes.clock.advance(TTL * 2 / 3);
    one.tick().await.unwrap();
    two.tick().await.unwrap();
    assert_eq!(state(&one, id).await, Some(State::Running), "only node 2 knows when it expires");
    complete(&one, &lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_users_and_kinds_follow_on_every_node() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let mut table = two.access_table();
    one.access(add_user("ada", Role::Admin), None).await.unwrap();
    table.wait_for(|table| table.user(&user("ada")).is_some()).await.unwrap();
    let again = two.access(add_user("ada", Role::Admin), None).await;
    assert!(again.is_err(), "node 2 has the user as well: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_append_is_refused_and_leaves_nothing() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    for fault in [Fault::Before, Fault::After] {
        handle.fail_next(fault);
        let refused = one.enqueue(vec![draft().job()]).await;
        assert!(refused.is_err(), "{fault:?}: {refused:?}");
        eventually(|| async { one.health().is_ok() }).await;
        let jobs = || async { two.list(JobQuery::default()).await.unwrap().jobs };
        // A job whose append was answered too late is deleted again.
        eventually(|| async { jobs().await.is_empty() }).await;
        add(&one).await;
        let lease = start(&two, WorkerPlace::InProcess).await;
        complete(&two, &lease).await.unwrap();
        let ids: Vec<JobId> = jobs().await.iter().map(|job| job.id).collect();
        two.control(crate::store::Control::Delete(ids), None).await.unwrap();
    }
}

/// The server that was asked first can still commit when the node has found the log without the chunk, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_written_after_the_outage_is_taken_back_too() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    handle.fail_next(Fault::Late);
    assert!(one.enqueue(vec![draft().job()]).await.is_err());
    eventually(|| async { one.health().is_ok() }).await;
    let jobs = || async { two.list(JobQuery::default()).await.unwrap().jobs };
    assert!(jobs().await.is_empty());
    handle.commit_late();
    eventually(|| async { jobs().await.is_empty() }).await;
    assert!(two.head().seq >= 2, "it was enqueued and deleted");
    assert!(one.health().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_ended_in_order_sends_no_more_heartbeats() {
    let nodes = nodes();
    for number in 1..=20 {
        let (store, handle) = nodes.node_with_log(number);
        store.close().await.unwrap();
        drop(store); // waits for its threads
        assert!(handle.silences().is_empty());
    }
}

/// A client that is refused repeats its submission on another node, which finds the job by its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_job_that_another_node_has_accepted_meanwhile_stays() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    let job = || vec![draft().key("once").job()];
    handle.is_away.store(true, Ordering::Release);
    handle.fail_next(Fault::After);
    assert!(one.enqueue(job()).await.is_err());
    let id = two.enqueue(job()).await.unwrap()[0].job().id;
    handle.is_away.store(false, Ordering::Release);
    eventually(|| async { one.health().is_ok() }).await;
    assert_eq!(state(&one, id).await, Some(State::Available));
    assert_eq!(state(&two, id).await, Some(State::Available));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_job_that_another_node_has_run_meanwhile_stays() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    handle.is_away.store(true, Ordering::Release);
    handle.fail_next(Fault::After);
    assert!(one.enqueue(vec![draft().job()]).await.is_err());
    let lease = start(&two, WorkerPlace::InProcess).await;
    complete(&two, &lease).await.unwrap();
    handle.is_away.store(false, Ordering::Release);
    eventually(|| async { one.health().is_ok() }).await;
    assert_eq!(state(&one, lease.job.id).await, Some(State::Completed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_begins_to_follow_during_an_outage_gets_what_comes_after_it() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    handle.is_away.store(true, Ordering::Release);
    handle.fail_next(Fault::Before);
    assert!(one.enqueue(vec![draft().job()]).await.is_err());
    let mut follower = one.follow(10);
    handle.is_away.store(false, Ordering::Release);
    add(&two).await;
    let events = timeout(Duration::from_secs(60), follower.recv()).await.unwrap();
    assert!(events.is_some(), "the channel has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_was_lost_is_taken_back() {
    let nodes = nodes();
    let ((one, handle), two) = (nodes.node_with_log(1), nodes.node(2));
    let id = add(&two).await;
    state(&one, id).await; // node 1 has read on, so the next append is the claim
    handle.fail_next(Fault::After);
    let refused = one.claim(claim(WorkerPlace::InProcess)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    becomes(&two, id, Some(State::Available)).await;
}

/// Every node submits and runs jobs at the same time. Their appends collide, and yet the log is dense, the same on every
/// node, and each attempt starts and ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_contend_keep_one_dense_log() {
    const JOBS: usize = 40;
    let nodes = Nodes::<MemoryLog>::new(clock(), TINY, 0);
    let stores: Vec<Arc<dyn Store>> = (1..=4).map(|number| nodes.node(number)).collect();
    let followers: Vec<_> = stores.iter().map(|store| store.follow(100_000)).collect();
    let work = stores.iter().cloned().map(|store| {
        tokio::spawn(async move {
            let mut completed = Vec::new();
            for _ in 0..JOBS {
                add(&store).await;
                for lease in store.claim(claim(WorkerPlace::InProcess)).await.unwrap().leases {
                    complete(&store, &lease).await.unwrap();
                    completed.push(lease.job.id);
                }
            }
            completed
        })
    });
    let mut completed = Vec::new();
    for work in work.collect::<Vec<_>>() {
        completed.extend(work.await.unwrap());
    }
    completed.sort_unstable();
    completed.dedup();
    assert_eq!(completed.len(), 4 * JOBS, "every job has run once");
    assert!(nodes.log.lost() > 0, "no append was lost, so nothing was tested");
    let events = log(&stores[0]).await;
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq), "the log is not dense");
    let mut starts: BTreeMap<JobId, usize> = BTreeMap::new();
    for event in &events {
        if let Fact::Job { id, change: crate::job::Change::Started { .. }, .. } = &event.fact {
            *starts.entry(*id).or_default() += 1;
        }
    }
    assert!(starts.len() == 4 * JOBS && starts.values().all(|starts| *starts == 1), "{starts:?}");
    for (store, mut follower) in stores.iter().zip(followers) {
        assert_eq!(log(store).await, events);
        let mut seq = 0;
        while seq < events.len() as u64 {
            for event in follower.recv().await.unwrap().iter() {
                seq += 1;
                assert_eq!(event.seq, seq, "a follower has missed an event");
            }
        }
    }
}
